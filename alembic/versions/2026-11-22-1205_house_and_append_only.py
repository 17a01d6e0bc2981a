"""The house's accounts, and triggers that keep what was written from being changed (rules.md 2.5, 5.3).

Written by hand: autogenerate sees neither rows nor triggers.
"""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

HOUSE = (
    "revenue",
    "tax",
    "vouchers_issued",
    "card_clearing",
    "stars_clearing",
    "refunds",
    "chargebacks",
    "write_off",
    "corrections",
)
APPEND_ONLY = ("transfers", "invoice_lines", "credit_notes", "credit_note_lines")
INVOICE_MAY_CHANGE = ("due", "disputed", "by_hand", "due_since", "paid_at")
DEFAULT_CARD = "fk_customers_default_card_id_cards"


def upgrade() -> None:
    accounts = sa.table("accounts", sa.column("kind", sa.String))
    op.bulk_insert(accounts, [{"kind": kind} for kind in HOUSE])
    if op.get_context().dialect.name == "sqlite":
        keep_on_sqlite()
    else:
        # Customers and cards refer to each other; SQLite took the reference before the table that it names.
        op.create_foreign_key(DEFAULT_CARD, "customers", "cards", ["default_card_id"], ["id"])
        keep_on_postgresql()


def downgrade() -> None:
    if op.get_context().dialect.name == "sqlite":
        for table in APPEND_ONLY:
            op.execute(f"DROP TRIGGER {table}_no_update")
            op.execute(f"DROP TRIGGER {table}_no_delete")
        op.execute("DROP TRIGGER invoices_keep_what_is_printed")
        op.execute("DROP TRIGGER invoices_no_delete")
    else:
        for table in (*APPEND_ONLY, "invoices"):
            op.execute(f"DROP TRIGGER {table}_no_truncate ON {table}")
            op.execute(f"DROP TRIGGER {table}_keep ON {table}")
        op.execute("DROP FUNCTION refuse_change()")
        op.execute("DROP FUNCTION refuse_change_of_invoice()")
        op.drop_constraint(DEFAULT_CARD, "customers")
    op.execute("DELETE FROM accounts WHERE customer_id IS NULL")


def keep_on_sqlite() -> None:
    for table in APPEND_ONLY:
        refuse_on_sqlite(f"{table}_no_update", f"UPDATE ON {table}", f"{table} is append-only")
        refuse_on_sqlite(f"{table}_no_delete", f"DELETE ON {table}", f"{table} is append-only")
    refuse_on_sqlite("invoices_no_delete", "DELETE ON invoices", "an invoice cannot be deleted")
    columns = [column["name"] for column in sa.inspect(op.get_bind()).get_columns("invoices")]
    changed = " OR ".join(f"NEW.{name} IS NOT OLD.{name}" for name in columns if name not in INVOICE_MAY_CHANGE)
    refuse_on_sqlite(
        "invoices_keep_what_is_printed",
        f"UPDATE ON invoices WHEN {changed}",
        "an issued invoice never changes",
    )


def refuse_on_sqlite(name: str, event: str, message: str) -> None:
    op.execute(f"CREATE TRIGGER {name} BEFORE {event} BEGIN SELECT RAISE(ABORT, '{message}'); END")


def keep_on_postgresql() -> None:
    op.execute(
        """
        CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            RAISE EXCEPTION '% is append-only', TG_TABLE_NAME USING ERRCODE = 'restrict_violation';
        END $$
        """
    )
    op.execute(
        f"""
        CREATE FUNCTION refuse_change_of_invoice() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            IF TG_OP = 'UPDATE' AND
               to_jsonb(OLD) - '{{{",".join(INVOICE_MAY_CHANGE)}}}'::text[]
               = to_jsonb(NEW) - '{{{",".join(INVOICE_MAY_CHANGE)}}}'::text[] THEN
                RETURN NEW;
            END IF;
            RAISE EXCEPTION 'an issued invoice never changes' USING ERRCODE = 'restrict_violation';
        END $$
        """
    )
    for table in APPEND_ONLY:
        refuse_on_postgresql(table, "refuse_change")
    refuse_on_postgresql("invoices", "refuse_change_of_invoice")


def refuse_on_postgresql(table: str, function: str) -> None:
    op.execute(
        f"CREATE TRIGGER {table}_keep BEFORE UPDATE OR DELETE ON {table} FOR EACH ROW EXECUTE FUNCTION {function}()"
    )
    op.execute(
        f"CREATE TRIGGER {table}_no_truncate BEFORE TRUNCATE ON {table} FOR EACH STATEMENT"
        " EXECUTE FUNCTION refuse_change()"
    )
