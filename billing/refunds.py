"""What became of refunds to cards (rules.md 10.3): the provider's word, written down once, late or out of order."""

from datetime import datetime, timedelta

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from billing import accounts, cards, ledger, outbox, payments, settlement, wishes
from billing.errors import NotFound
from billing.gateway import RefundState
from billing.ledger import About, Side
from billing.models import REFUND_IN_FLIGHT, AccountKind, Card, CreditNote, Customer, Payment, Refund, RefundStatus

LOOKED_AFTER_FOR = timedelta(days=35)
"""A bank may send a refund back within about a month."""
LOOK_EVERY = timedelta(days=1)
_BUSY_FOR = timedelta(minutes=1)


async def locked(session: AsyncSession, refund_id: int) -> tuple[Customer, Refund]:
    """Return a refund's customer, locked, and the refund as it is under that lock.

    Raises:
        NotFound: there is no such refund.
    """
    customer_id = await session.scalar(select(Refund.customer_id).where(Refund.id == refund_id))
    if customer_id is None:
        raise NotFound("refund", refund_id)
    customer = await accounts.lock(session, customer_id)
    return customer, await session.get_one(Refund, refund_id, populate_existing=True)


async def record(session: AsyncSession, refund_id: int, seen: RefundState, *, now: datetime) -> Refund:
    """Write down what the provider says of a refund; harmless twice, late, or out of order."""
    customer, row = await locked(session, refund_id)
    if seen.amount != row.amount or row.provider_id not in (None, seen.provider_id):
        facts = {
            "refund_id": row.id,
            "expected": {"provider_id": row.provider_id, "amount": row.amount},
            "found": {"provider_id": seen.provider_id, "amount": seen.amount},
        }
        dedup = f"refund:{row.id}:mismatch"
        await outbox.tell_house(session, "house_refund_mismatch", facts, now=now, dedup=dedup, customer_id=customer.id)
        return row
    row.provider_id = seen.provider_id
    match seen.status:
        case RefundStatus.SUCCEEDED if row.status in REFUND_IN_FLIGHT:
            await _succeed(session, row, now)
        case RefundStatus.FAILED:
            await fail(session, customer, row, seen.failure, now=now)
        case RefundStatus.PENDING if row.status in REFUND_IN_FLIGHT:
            row.status = RefundStatus.PENDING
    if row.status is RefundStatus.PENDING:
        row.check_at = now + settlement.ask_again_after(row.checks)
        row.checks += 1
    elif row.status is RefundStatus.SUCCEEDED:
        row.check_at = now + LOOK_EVERY if now < row.created_at + LOOKED_AFTER_FOR else None
    await session.flush()
    return row


async def _succeed(session: AsyncSession, row: Refund, now: datetime) -> None:
    row.status, row.ended_at = RefundStatus.SUCCEEDED, now
    payment = await session.get_one(Payment, row.payment_id, populate_existing=True)
    payment.refunded += row.amount
    clearing = payments.clearing(payment.method)
    await _move(session, row, "done", Side(AccountKind.REFUNDS), clearing, "refund_card", now)


async def fail(session: AsyncSession, customer: Customer, row: Refund, why: str, *, now: datetime) -> None:
    """Put onto the balance what the card did not take, at once or after all; customer and house are told."""
    if row.status is RefundStatus.FAILED:
        return
    source = Side(AccountKind.REFUNDS)
    if row.status is RefundStatus.SUCCEEDED:
        payment = await session.get_one(Payment, row.payment_id, populate_existing=True)
        payment.refunded -= row.amount
        source = payments.clearing(payment.method)
    row.status, row.ended_at, row.check_at, row.failure = RefundStatus.FAILED, now, None, why[:200]
    await _move(session, row, "balance", source, Side(AccountKind.BALANCE, customer.id), "refund_failed", now)
    facts = await _facts(session, row)
    dedup = f"refund:{row.id}:failed"
    await outbox.tell(session, customer, "refund_failed", facts, now=now, dedup=dedup, mail=True)
    house = facts | {"reason": row.failure, "name": customer.name, "telegram_id": customer.telegram_id}
    await outbox.tell_house(
        session, "house_refund_failed", house, now=now, dedup=f"house:{dedup}", customer_id=customer.id
    )
    await wishes.wish(session, customer.id, cards=False, reason="credit", now=now)
    await session.flush()


async def unknown(session: AsyncSession, row: Refund, *, now: datetime) -> None:
    """Remember that nobody knows; asked again by the calendar of payments (rules.md 6.6)."""
    if row.status in REFUND_IN_FLIGHT:
        row.status = RefundStatus.UNKNOWN
        row.check_at = now + settlement.ask_again_after(row.checks)
        row.checks += 1
    elif row.status is RefundStatus.SUCCEEDED:
        row.check_at = now + LOOK_EVERY
    await session.flush()


async def busy(session: AsyncSession, row: Refund, *, now: datetime) -> None:
    """Remember that the provider had no time: the same call is made again."""
    row.check_at = now + _BUSY_FOR
    await session.flush()


async def _move(
    session: AsyncSession, row: Refund, name: str, debit: Side, credit: Side, reason: str, now: datetime
) -> None:
    await ledger.transfer(
        session,
        operation=f"refund:{row.id}:{name}",
        debit=debit,
        credit=credit,
        amount=row.amount,
        about=About(reason, invoice_id=row.invoice_id, payment_id=row.payment_id),
        now=now,
    )


async def _facts(session: AsyncSession, row: Refund) -> dict[str, object]:
    note = await session.get_one(CreditNote, row.credit_note_id)
    payment = await session.get_one(Payment, row.payment_id)
    card = await session.get(Card, payment.card_id) if payment.card_id else None
    return {"amount": row.amount, "number": note.number, "card": cards.label(card) if card else ""}
