"""links brought along"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Delete the derived links of activities that have no other links."""
    link: Any = sa.table("activity_links", *map(sa.column, ("workspace_id", "activity_id", "derived")))
    other = link.alias()
    beside = sa.exists().where(
        other.c.workspace_id == link.c.workspace_id,
        other.c.activity_id == link.c.activity_id,
        sa.not_(sa.type_coerce(other.c.derived, sa.Boolean)),
    )
    op.execute(sa.delete(link).where(sa.type_coerce(link.c.derived, sa.Boolean), sa.not_(beside)))


def downgrade() -> None:
    """They were of no use."""
