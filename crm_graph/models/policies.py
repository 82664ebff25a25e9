"""Access policies: who may read and who may edit the rows of an entity, as data on the model.

    class Quote(OwnedEntity):
        read_policy = edit_policy = WorkspaceDefault()

    class QuoteLine(Entity):
        read_policy = edit_policy = InheritsFrom("quote_id")

`crm_graph.access` turns them into SQL. Two rules hold for every policy: no user reaches another workspace, and
an admin reads and edits everything. What a role may do at all is in `crm_graph.access.roles`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass


class Policy:
    """The base of all policies."""

    def parts(self) -> Iterator[Policy]:
        """This policy and the policies that it consists of."""
        yield self


@dataclass(frozen=True)
class Everyone(Policy):
    """Every user of the workspace."""


@dataclass(frozen=True)
class OwnerAndTeam(Policy):
    """The owner, the owner's managers up the chain, and the members of the record's team."""


@dataclass(frozen=True)
class WorkspaceDefault(Policy):
    """`Everyone` or `OwnerAndTeam`, by the workspace's visibility default of the entity.

    Reading is for `OwnerAndTeam` where the default is PRIVATE, and editing unless it is PUBLIC.
    """


@dataclass(frozen=True)
class Unowned(Policy):
    """Everyone, for a record without an owner."""


@dataclass(frozen=True)
class Holder(Policy):
    """The user whose id is in a column."""

    column: str


@dataclass(frozen=True)
class InheritsFrom(Policy):
    """The users with the same access to the record that a column refers to.

    `unlinked` is the policy of rows where the column is null; without it only admins have access to them. If everyone
    may read, or edit, all records that the column can refer to, everyone may do so here, too.
    """

    column: str
    unlinked: Policy | None = None

    def parts(self) -> Iterator[Policy]:
        yield self
        if self.unlinked is not None:
            yield from self.unlinked.parts()


@dataclass(frozen=True)
class LinkedRecords(Policy):
    """The users with the same access to one of the records that the row is linked to.

    `table` holds the links: `column` refers to this row, and each other reference to a record of another entity. Links
    with the flag `ignored` do not count.
    """

    table: str
    column: str
    ignored: str


@dataclass(frozen=True)
class RelatedHolder(Policy):
    """The users whose ids are in the column `holder` of another table's rows that refer to this one by `column`."""

    table: str
    column: str
    holder: str


class _Combination(Policy):
    def __init__(self, *policies: Policy) -> None:
        self.policies = policies

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(map(repr, self.policies))})"

    def parts(self) -> Iterator[Policy]:
        yield self
        for each in self.policies:
            yield from each.parts()


class AllOf(_Combination):
    """The users to whom all of the policies give access."""


class AnyOf(_Combination):
    """The users to whom at least one of the policies gives access.

    Put the likely ones first: the database stops at the first that holds.
    """
