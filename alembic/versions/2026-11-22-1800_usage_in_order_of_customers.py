"""Usage in the order in which it is written and read: month, customer, subscription; intervals name their customer."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
RUNNING = {"sqlite_where": sa.text("ended_at IS NULL"), "postgresql_where": sa.text("ended_at IS NULL")}
ENDED = {"sqlite_where": sa.text("ended_at IS NOT NULL"), "postgresql_where": sa.text("ended_at IS NOT NULL")}
LATE = {"sqlite_where": sa.text("late"), "postgresql_where": sa.text("late")}


def upgrade() -> None:
    op.add_column("intervals", sa.Column("customer_id", BIG, nullable=True))
    op.execute(
        "UPDATE intervals SET customer_id ="
        " (SELECT customer_id FROM subscriptions WHERE subscriptions.id = intervals.subscription_id)"
    )
    with op.batch_alter_table("intervals") as intervals:
        intervals.alter_column("customer_id", existing_type=BIG, nullable=False)
        intervals.create_foreign_key(op.f("fk_intervals_customer_id_customers"), "customers", ["customer_id"], ["id"])
    columns = ["customer_id", "subscription_id", "started_at", "billed_from", "ended_at"]
    op.create_index("ix_intervals_metering", "intervals", columns, unique=False, **RUNNING)
    op.create_index("ix_intervals_before", "intervals", ["subscription_id", "ended_at"], unique=False, **ENDED)
    make_usage_again("month", "customer_id", "subscription_id")


def downgrade() -> None:
    make_usage_again(
        "subscription_id",
        "month",
        foreign=(
            sa.ForeignKeyConstraint(["customer_id"], ["customers.id"], name=op.f("fk_usage_customer_id_customers")),
            sa.ForeignKeyConstraint(
                ["subscription_id"], ["subscriptions.id"], name=op.f("fk_usage_subscription_id_subscriptions")
            ),
        ),
    )
    op.create_index(op.f("ix_usage_month_customer_id"), "usage", ["month", "customer_id"], unique=False)
    op.drop_index("ix_intervals_before", table_name="intervals", **ENDED)
    op.drop_index("ix_intervals_metering", table_name="intervals", **RUNNING)
    with op.batch_alter_table("intervals") as intervals:
        intervals.drop_constraint(op.f("fk_intervals_customer_id_customers"), type_="foreignkey")
        intervals.drop_column("customer_id")


def make_usage_again(*key: str, foreign: Sequence[sa.ForeignKeyConstraint] = ()) -> None:
    """Make the table with another key; what stands in it waits in a temporary one."""
    op.execute('CREATE TEMPORARY TABLE usage_kept AS SELECT * FROM "usage"')
    op.drop_table("usage")
    op.create_table(
        "usage",
        sa.Column("subscription_id", BIG, autoincrement=False, nullable=False),
        sa.Column("month", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("customer_id", BIG, autoincrement=False, nullable=False),
        sa.Column("hours", BIG, nullable=False),
        sa.Column("metered_until", sa.BigInteger(), nullable=False),
        sa.Column("late", sa.Boolean(), nullable=False),
        *foreign,
        sa.PrimaryKeyConstraint(*key, name=op.f("pk_usage")),
        sqlite_with_rowid=False,
    )
    columns = "subscription_id, month, customer_id, hours, metered_until, late"
    # In the order of the key: the table is written from one end to the other.
    op.execute(f'INSERT INTO "usage" ({columns}) SELECT {columns} FROM usage_kept ORDER BY {", ".join(key)}')  # noqa: S608 ours
    op.execute("DROP TABLE usage_kept")
    op.create_index("ix_usage_late", "usage", ["customer_id"], unique=False, **LATE)
