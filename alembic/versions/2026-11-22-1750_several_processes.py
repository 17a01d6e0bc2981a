"""Several processes that serve one chat: who is there, and who has which update in hand."""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

WAITING: Any = {
    "sqlite_where": sa.text("handled_at IS NULL"),
    "postgresql_where": sa.text("handled_at IS NULL"),
}


def upgrade() -> None:
    op.create_table(
        "replicas",
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("started_at", sa.BigInteger(), nullable=False),
        sa.Column("seen_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_replicas")),
    )
    # Without a default, and empty for what the version before writes while both run.
    op.add_column("chat_updates", sa.Column("lane", sa.BigInteger(), nullable=True))
    op.add_column("chat_updates", sa.Column("leased_by", sa.String(length=64), nullable=True))
    op.create_index("ix_chat_updates_lane_waiting", "chat_updates", ["lane", "id"], unique=False, **WAITING)


def downgrade() -> None:
    op.drop_index("ix_chat_updates_lane_waiting", table_name="chat_updates", **WAITING)
    op.drop_column("chat_updates", "leased_by")
    op.drop_column("chat_updates", "lane")
    op.drop_table("replicas")
