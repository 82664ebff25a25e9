"""lists in order"""

from __future__ import annotations

from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

LISTS = {
    "accounts": ["parent_id"],
    "contacts": ["account_id"],
    "opportunities": ["account_id"],
    "cases": ["account_id", "contact_id"],
}


def upgrade() -> None:
    """The records of an account or a contact stand in the order of their lists: a page of them is read as it is."""
    _replace([], ["id"])


def downgrade() -> None:
    _replace(["id"], [])


def _replace(before: list[str], after: list[str]) -> None:
    """Replace the last columns of indexes. On PostgreSQL, writes do not wait for that. If it is interrupted, it can run
    again."""
    with op.get_context().autocommit_block():
        for table, columns in LISTS.items():
            for column in columns:
                old, new = (["workspace_id", column, *end] for end in (before, after))
                _drop(table, new)
                op.create_index(_name(table, new), table, new, postgresql_concurrently=True)
                _drop(table, old)


def _drop(table: str, columns: list[str]) -> None:
    op.drop_index(_name(table, columns), table, if_exists=True, postgresql_concurrently=True)


def _name(table: str, columns: list[str]) -> str:
    return "_".join(["ix", table, *columns])
