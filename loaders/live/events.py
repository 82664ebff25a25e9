"""Input and output of a live list: rows of the change log, and the events that they mean to a viewer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from crm_graph.changelog import ChangeRow
from crm_graph.models import Action, Entity
from loaders.live.audience import Audience

SIGN_IN_ACTIONS = {Action.SIGNED_IN, Action.SIGNED_OUT, Action.SIGN_IN_FAILED}
"""Actions that change no record."""
Members = set[str]
"""The ids of the records of a list."""


class ChangeBatch(NamedTuple):
    """Rows of the change log, all read from one snapshot.

    `access_changes` are the rows that changed which other records the viewer sees. `audience`, where it is known, has
    the users who see the records of `rows`.
    """

    rows: Sequence[ChangeRow]
    access_changes: Sequence[ChangeRow] = ()
    audience: Audience | None = None


@dataclass
class RecordEvent:
    """A change of one record of a list. `record` is None if the record left the list.

    `rows` are the log's rows about the record; empty if only its visibility changed. `last` is the newest row that
    caused the event.
    """

    model: type[Entity]
    record_id: str
    record: Any
    was_member: bool
    last: ChangeRow
    rows: Sequence[ChangeRow] = ()

    @property
    def actions(self) -> set[Action]:
        return {row.action for row in self.rows}

    @property
    def names(self) -> set[str]:
        """The fields that changed."""
        return {name for row in self.rows for name in row.names}


class ListUpdate(NamedTuple):
    """The events of a batch, and the members of the list after it; None if they are not tracked."""

    events: Sequence[RecordEvent]
    members: Members | None
