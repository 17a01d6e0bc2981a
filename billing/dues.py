"""What invoices still need, and paying them (rules.md 6.1 to 6.3)."""

from collections.abc import Collection
from datetime import datetime
from typing import Any

from sqlalchemy import exists, func, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from billing import cards, ledger, outbox, settlement
from billing import paid as paid_parts
from billing.ledger import About, Side
from billing.models import AccountKind, Card, Customer, Invoice, PaymentAllocation, Transfer
from billing.settlement import Due


async def open_dues(
    session: AsyncSession,
    customer_id: int,
    invoice_ids: Collection[int] | None = None,
    *,
    by_itself: bool = False,
) -> list[Due]:
    """Return what a customer's invoices need, of all or of those named.

    Disputed money is set aside, and so are invoices that a payment in flight touches (rules.md 6.5); for a card that
    nobody asked to be charged (`by_itself`), what a lost dispute opened again too (rules.md 10.5).
    """
    in_flight = exists().where(PaymentAllocation.invoice_id == Invoice.id, PaymentAllocation.in_flight)
    chosen = select(Invoice).where(
        Invoice.customer_id == customer_id, Invoice.due > 0, Invoice.due > Invoice.disputed, ~in_flight
    )
    if invoice_ids is not None:
        chosen = chosen.where(Invoice.id.in_(invoice_ids))
    found = []
    for invoice in await session.scalars(chosen.order_by(Invoice.id)):
        amount = invoice.due - invoice.disputed - (invoice.by_hand if by_itself else 0)
        if amount > 0:
            found.append(Due(invoice.id, amount, invoice.issued_at))
    return found


async def settle_from_funds(session: AsyncSession, customer: Customer, *, now: datetime) -> int:
    """Pay what voucher and balance can pay, and return how much that was; under the customer's lock."""
    have = await ledger.balances(session, customer.id)
    if not have.funds:
        return 0
    dues = await open_dues(session, customer.id)
    planned = settlement.plan(dues, voucher=have.voucher, balance=have.balance, minimum=1)
    for payment in planned.funds:
        await pay_from(session, customer, payment.invoice_id, payment.source, payment.amount, now=now)
    return sum(payment.amount for payment in planned.funds)


async def pay_from(
    session: AsyncSession, customer: Customer, invoice_id: int, source: AccountKind, amount: int, *, now: datetime
) -> None:
    """Move voucher or balance money onto an invoice; under the customer's lock."""
    # Under the lock the number of an invoice's transfers names the next one for good.
    number = await session.scalar(select(func.count()).where(Transfer.invoice_id == invoice_id))
    await ledger.transfer(
        session,
        operation=f"settle:{invoice_id}:{number}",
        debit=Side(source, customer.id),
        credit=Side(AccountKind.RECEIVABLE, customer.id),
        amount=amount,
        about=About("settle", invoice_id=invoice_id),
        now=now,
    )
    await paid(session, customer, invoice_id, amount, now=now)


async def paid(session: AsyncSession, customer: Customer, invoice_id: int, amount: int, *, now: datetime) -> None:
    """Lower what an invoice needs by what has just been posted for it; tell when that was all."""
    invoice = await lower(session, invoice_id, amount, now=now)
    if invoice.due == 0:
        facts = {
            "invoice_id": invoice.id,
            "number": invoice.number,
            "total": invoice.total,
            "sources": await sources(session, invoice.id),
        }
        dedup = f"invoice:{invoice.id}:paid:{int(now.timestamp())}"
        await outbox.tell(session, customer, "invoice_paid", facts, now=now, dedup=dedup)


async def lower(session: AsyncSession, invoice_id: int, amount: int, *, now: datetime) -> Invoice:
    """Lower what an invoice needs, and return it; what only a person may charge to a card is the last to go."""
    invoice = (
        await session.scalars(select(Invoice).where(Invoice.id == invoice_id).execution_options(populate_existing=True))
    ).one()
    invoice.due -= amount
    invoice.by_hand = min(invoice.by_hand, invoice.due - invoice.disputed)
    if invoice.due == 0:
        invoice.paid_at = now
    await session.flush()
    return invoice


async def mark_due(session: AsyncSession, customer_id: int, *, minimum: int, now: datetime) -> None:
    """Have what waits count as due from now, if all of it together is enough for a card (rules.md 6.4)."""
    total = await session.scalar(
        select(func.sum(Invoice.due - Invoice.disputed)).where(Invoice.customer_id == customer_id, Invoice.due > 0)
    )
    if int(total or 0) >= minimum:
        waiting = (Invoice.customer_id == customer_id, Invoice.due > Invoice.disputed, Invoice.due_since.is_(None))
        await session.execute(update(Invoice).where(*waiting).values(due_since=now))


async def sources(session: AsyncSession, invoice_id: int) -> list[dict[str, Any]]:
    """Return how much of an invoice came from which source: `source` (an account's kind), `amount`, `card`."""
    found: dict[tuple[AccountKind, int | None], int] = {}
    for part in await paid_parts.parts(session, invoice_id):
        key = (part.source, part.card_id)
        found[key] = found.get(key, 0) + part.amount
    return [
        {"source": kind.value, "amount": amount, "card": await _label(session, card_id)}
        for (kind, card_id), amount in found.items()
    ]


async def _label(session: AsyncSession, card_id: int | None) -> str:
    card = await session.get(Card, card_id) if card_id else None
    return cards.label(card) if card else ""
