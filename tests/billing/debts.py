"""Invoices that are due, payments under way and messages that went out, made with few words."""

import itertools
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncSession

from billing import ledger
from billing.clock import Month
from billing.db import Database
from billing.ledger import About, Side
from billing.models import (
    AccountKind,
    Card,
    Customer,
    Invoice,
    InvoiceKind,
    InvoiceLine,
    Notice,
    NoticeStatus,
    Payment,
    PaymentKind,
    PaymentMethod,
    PaymentStatus,
)

_numbers = itertools.count(1)


async def owe(
    session: AsyncSession, customer: Customer, amount: int, since: datetime, *, waits: bool = False, disputed: int = 0
) -> Invoice:
    """An invoice of one line, issued and due since then; or one that waits for the card's minimum."""
    number = next(_numbers)
    row = Invoice(
        kind=InvoiceKind.INVOICE,
        number=f"INV-2026-{number:06d}",
        customer_id=customer.id,
        month=Month(2000 + number // 12, number % 12 + 1),
        issued_at=since,
        net=amount,
        tax_basis_points=0,
        tax=0,
        total=amount,
        seller={"name": "VM Shop", "address": "", "tax_id": ""},
        buyer={"name": "Ann", "address": "", "tax_id": ""},
        due=amount,
        disputed=disputed,
        due_since=None if waits else since,
    )
    session.add(row)
    await session.flush()
    session.add(
        InvoiceLine(
            invoice_id=row.id,
            position=1,
            month=row.month,
            name="web",
            item="vm-small",
            workers=0,
            hours=672,
            monthly=amount,
            capped=True,
            amount=amount,
        )
    )
    await ledger.transfer(
        session,
        operation=f"issue:{row.id}",
        debit=Side(AccountKind.RECEIVABLE, customer.id),
        credit=Side(AccountKind.REVENUE),
        amount=amount,
        about=About("issue", invoice_id=row.id),
        now=since,
    )
    return row


async def settle(session: AsyncSession, invoice: Invoice, now: datetime) -> None:
    """Pay an invoice, wherever the money came from."""
    await ledger.transfer(
        session,
        operation=f"pay:{invoice.id}",
        debit=Side(AccountKind.CORRECTIONS),
        credit=Side(AccountKind.RECEIVABLE, invoice.customer_id),
        amount=invoice.due,
        about=About("settle", invoice_id=invoice.id),
        now=now,
    )
    await session.execute(update(Invoice).where(Invoice.id == invoice.id).values(due=0, paid_at=now))


async def pays(session: AsyncSession, customer: Customer, status: PaymentStatus, now: datetime) -> Payment:
    """A payment that stands so at the provider."""
    number = next(_numbers)
    row = Payment(
        customer_id=customer.id,
        kind=PaymentKind.INVOICES,
        method=PaymentMethod.CARD,
        amount=500,
        status=status,
        operation=f"test:{number}",
        idempotency_key=f"test-{number}",
        created_at=now,
    )
    session.add(row)
    await session.flush()
    return row


def a_card(customer: Customer, now: datetime, **fields: Any) -> Card:
    """A card that is valid unless the fields say otherwise."""
    number = f"pm_debts_{next(_numbers)}"
    values: dict[str, Any] = {"provider_id": number, "fingerprint": number, "brand": "visa", "last4": "4242"}
    values |= {"expiry_month": 12, "expiry_year": 2040, "added_at": now}
    return Card(customer_id=customer.id, **values | fields)


async def delivered(
    database: Database, now: datetime, status: NoticeStatus = NoticeStatus.SENT, *, kind: str | None = None
) -> None:
    """All that waits has gone out, or was refused, five seconds later."""
    async with database.transaction() as session:
        waiting = update(Notice).where(Notice.status == NoticeStatus.WAITING)
        if kind is not None:
            waiting = waiting.where(Notice.kind == kind)
        await session.execute(waiting.values(status=status, ended_at=now + timedelta(seconds=5)))


async def told(database: Database, customer: Customer | None = None) -> list[Notice]:
    """All notices, or those that concern a customer, oldest first."""
    async with database.read() as session:
        rows = select(Notice).order_by(Notice.id)
        return list(await session.scalars(rows if customer is None else rows.where(Notice.customer_id == customer.id)))
