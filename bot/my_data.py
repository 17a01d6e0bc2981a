"""Everything that is kept of one customer, as one JSON document (C16).

Which rows are theirs follows from the tables: those that name the customer, and those that belong to such rows.
"""

import json
from collections.abc import Iterable, Mapping
from datetime import datetime
from enum import Enum
from typing import Any

from sqlalchemy import ColumnElement, Table, or_, select
from sqlalchemy.ext.asyncio import AsyncSession

from billing.clock import Month
from billing.models import Base, Customer
from billing.money import Currency

_PARENTS = {
    "credit_note_lines": ("credit_note_id", "credit_notes"),
    "former_machines": ("former_user_id", "former_users"),
    "intervals": ("subscription_id", "subscriptions"),
    "invoice_lines": ("invoice_id", "invoices"),
    "nodes": ("deployment_id", "deployments"),
    "payment_allocations": ("payment_id", "payments"),
}
"""Table -> the column that names a row of theirs, and the table of that row."""

NOT_THEIRS = frozenset(
    {
        "administrators",  # who runs the business
        "announcements",  # to everybody; what reached the customer is among their notices
        "chat_updates",  # what Telegram sent, kept for three days
        "findings",  # machines that nobody owns
        "job_runs",
        "month_runs",
        "number_series",
        "prices",
        "replicas",  # processes of ours
        "provider_events",  # what the payment service told us; what came of it is among the payments
        "switches",
        "watermarks",
    }
)
"""Tables that hold nothing of one customer's own."""

_SECRET = frozenset({"code_hash", "fingerprint", "host_key", "idempotency_key", "token_hash"})
_PEOPLE = frozenset({"actor", "created_by", "decided_by"})
_WORKING = frozenset(
    {"attempts", "check_at", "checks", "leased_by", "leased_until", "mail_at", "mail_error", "reconcile_at"}
)
HIDDEN = _SECRET | _PEOPLE | _WORKING
"""Columns that are left out: secrets, who of the house did something, and what only the program needs."""


async def document(session: AsyncSession, customer: Customer, *, currency: Currency, now: datetime) -> bytes:
    """Return the document, UTF-8; amounts are integers of minor units, instants ISO text in UTC."""
    tables = {
        table.name: [_plain(row) for row in (await session.execute(_rows(table, customer))).mappings()]
        for table in sorted(Base.metadata.tables.values(), key=lambda table: table.name)
        if table.name not in NOT_THEIRS
    }
    made = {
        "made_at": now.isoformat(),
        "currency": currency.code.upper(),
        "decimals_of_amounts": currency.exponent,
        **{name: rows for name, rows in tables.items() if rows},
    }
    return json.dumps(made, ensure_ascii=False, indent=2).encode("utf-8", "replace")


def _rows(table: Table, customer: Customer) -> Any:  # noqa: ANN401 a select of whatever columns the table has
    shown = [column for column in table.columns if column.name not in HIDDEN]
    return select(*shown).where(_theirs(table, customer)).order_by(*table.primary_key.columns)


def _theirs(table: Table, customer: Customer) -> ColumnElement[bool]:
    """Return the condition that a row is the customer's.

    Raises:
        LookupError: nobody has said whose the table's rows are.
    """
    columns = table.columns
    match table.name:
        case "customers":
            return columns["id"] == customer.id
        case "transfers":
            return or_(*(columns[side].in_(_ids("accounts", customer)) for side in ("debit_id", "credit_id")))
        case "vouchers":
            return columns["redeemed_by"] == customer.id
        case "notices":
            # Those for the house speak of the customer, and are not to them.
            to_them = or_(columns["recipient"] == customer.telegram_id, columns["channel"] == "mail")
            return (columns["customer_id"] == customer.id) & to_them
    if "customer_id" in columns:
        return columns["customer_id"] == customer.id
    if "telegram_id" in columns:
        return columns["telegram_id"] == customer.telegram_id
    if table.name not in _PARENTS:
        raise LookupError(f"whose are the rows of {table.name}?")
    column, parent = _PARENTS[table.name]
    return columns[column].in_(_ids(parent, customer))


def _ids(name: str, customer: Customer) -> Any:  # noqa: ANN401 a subquery, which SQLAlchemy types by its columns
    columns = Base.metadata.tables[name].columns
    return select(columns["id"]).where(columns["customer_id"] == customer.id)


def _plain(row: Mapping[Any, Any]) -> dict[str, Any]:
    return {str(name): _value(value) for name, value in row.items() if value is not None and value != ""}


def _value(value: object) -> object:
    match value:
        case datetime():
            return value.isoformat()
        case Month():
            return str(value)
        case Enum():
            return value.value
    return value


def undecided() -> Iterable[str]:
    """Yield the tables of which nobody has said whose their rows are."""
    nobody = Customer(id=0, telegram_id=0)
    for table in Base.metadata.tables.values():
        if table.name not in NOT_THEIRS:
            try:
                _theirs(table, nobody)
            except LookupError:
                yield table.name
