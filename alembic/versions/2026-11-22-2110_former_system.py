"""Users and machines of the former system, until they come; deployments that people look after."""

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

JSON = sa.JSON().with_variant(postgresql.JSONB(), "postgresql")
BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
TO_MAIL: Any = {"sqlite_where": sa.text("mail_at IS NOT NULL"), "postgresql_where": sa.text("mail_at IS NOT NULL")}


def upgrade() -> None:
    op.add_column("deployments", sa.Column("adopted_at", sa.BigInteger(), nullable=True))
    op.create_table(
        "former_users",
        sa.Column("id", BIG, nullable=False),
        sa.Column("former_id", sa.String(length=64), nullable=False),
        sa.Column("email", sa.String(length=254), nullable=False),
        sa.Column("name", sa.String(length=256), nullable=False),
        sa.Column("public_key", sa.Text(), nullable=False),
        sa.Column("funds", BIG, nullable=False),
        sa.Column("imported_at", sa.BigInteger(), nullable=False),
        sa.Column("code_hash", sa.String(length=64), nullable=True),
        sa.Column("expires_at", sa.BigInteger(), nullable=True),
        sa.Column("mail_at", sa.BigInteger(), nullable=True),
        sa.Column("mailed_at", sa.BigInteger(), nullable=True),
        sa.Column("mail_error", sa.String(length=200), nullable=False),
        sa.Column("customer_id", BIG, nullable=True),
        sa.Column("matched_at", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["customer_id"], ["customers.id"], name=op.f("fk_former_users_customer_id_customers")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_former_users")),
        sa.UniqueConstraint("code_hash", name=op.f("uq_former_users_code_hash")),
        sa.UniqueConstraint("former_id", name=op.f("uq_former_users_former_id")),
    )
    op.create_index("ix_former_users_to_mail", "former_users", ["mail_at"], unique=False, **TO_MAIL)
    op.create_table(
        "former_machines",
        sa.Column("id", BIG, nullable=False),
        sa.Column("former_user_id", BIG, nullable=False),
        sa.Column("kind", sa.String(length=32), nullable=False),
        sa.Column("former_id", BIG, nullable=False),
        sa.Column("name", sa.String(length=63), nullable=False),
        sa.Column("size", sa.String(length=16), nullable=False),
        sa.Column("public", sa.Boolean(), nullable=False),
        sa.Column("monthly", BIG, nullable=False),
        sa.Column("made_of", JSON, nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("deployment_id", BIG, nullable=True),
        sa.ForeignKeyConstraint(
            ["deployment_id"], ["deployments.id"], name=op.f("fk_former_machines_deployment_id_deployments")
        ),
        sa.ForeignKeyConstraint(
            ["former_user_id"], ["former_users.id"], name=op.f("fk_former_machines_former_user_id_former_users")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_former_machines")),
        sa.UniqueConstraint("deployment_id", name=op.f("uq_former_machines_deployment_id")),
        sa.UniqueConstraint("kind", "former_id", name=op.f("uq_former_machines_kind_former_id")),
    )
    op.create_index(
        op.f("ix_former_machines_former_user_id_id"), "former_machines", ["former_user_id", "id"], unique=False
    )


def downgrade() -> None:
    op.drop_index(op.f("ix_former_machines_former_user_id_id"), table_name="former_machines")
    op.drop_table("former_machines")
    op.drop_index("ix_former_users_to_mail", table_name="former_users", **TO_MAIL)
    op.drop_table("former_users")
    op.drop_column("deployments", "adopted_at")
