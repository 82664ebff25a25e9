"""visibility defaults"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from crm_graph.models import types

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

COLUMNS = {
    "Account": "account_visibility",
    "Lead": "lead_visibility",
    "Opportunity": "opportunity_visibility",
    "Case": "case_visibility",
    "Campaign": "campaign_visibility",
}


def upgrade() -> None:
    """Move a workspace's visibility defaults into one column, {entity: visibility}, and drop the log's unused parents.

    The version before cannot work with these tables: stop its servers, migrate, and start the new ones.
    """
    op.add_column("workspaces", sa.Column("visibility_defaults", types.Json(), nullable=False, server_default="{}"))
    build = "jsonb_build_object" if op.get_bind().dialect.name == "postgresql" else "json_object"
    pairs = ", ".join(f"'{entity}', {column}" for entity, column in COLUMNS.items())
    op.execute(f"UPDATE workspaces SET visibility_defaults = {build}({pairs})")
    for column in COLUMNS.values():
        op.drop_column("workspaces", column)
    op.drop_column("changes", "parent_id")


def downgrade() -> None:
    """The log's parents stay empty."""
    op.add_column("changes", sa.Column("parent_id", types.Text(64), nullable=True))
    for entity, column in COLUMNS.items():
        op.add_column("workspaces", sa.Column(column, sa.String(32), nullable=False, server_default="PUBLIC"))
        op.execute(f"UPDATE workspaces SET {column} = coalesce(visibility_defaults ->> '{entity}', 'PUBLIC')")
    op.drop_column("workspaces", "visibility_defaults")
