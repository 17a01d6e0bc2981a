"""What became of payments (rules.md 6.6 to 6.8): the provider's word, written down once, late or out of order."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from sqlalchemy.ext.asyncio import AsyncSession

from billing import cards, dues, ledger, outbox, payments, settlement, wishes
from billing.gateway import AUTHENTICATION_REQUIRED, CARD_GONE, Charge, ChargeStatus
from billing.ledger import About, Side
from billing.models import IN_FLIGHT, AccountKind, Card, Customer, Payment, PaymentKind, PaymentStatus

_BUSY_FOR = timedelta(minutes=1)


async def record(session: AsyncSession, payment_id: int, charge: Charge, *, now: datetime) -> Payment:
    """Write down what the provider says of a payment; harmless twice, late, or out of order."""
    customer, payment = await payments.locked(session, payment_id)
    known = payment.provider_id or charge.provider_id
    if charge.amount != payment.amount or charge.provider_id not in ("", known):
        await _tell_mismatch(session, payment, charge, now)
        return payment
    payment.provider_id = known or None
    if payment.status in IN_FLIGHT:
        await _advance(session, customer, payment, charge, now)
    elif charge.status is ChargeStatus.SUCCEEDED and payment.status is not PaymentStatus.SUCCEEDED:
        await _arrived_late(session, customer, payment, now)
    await session.flush()
    return payment


async def _advance(session: AsyncSession, customer: Customer, payment: Payment, charge: Charge, now: datetime) -> None:
    match charge.status:
        case ChargeStatus.SUCCEEDED:
            await _succeed(session, customer, payment, now)
        case ChargeStatus.DECLINED:
            await _decline(session, customer, payment, charge, now)
        case ChargeStatus.CANCELLED:
            await _release(session, payment, PaymentStatus.CANCELLED, now)
        case ChargeStatus.ACTION:
            await _wait_for_customer(session, customer, payment, charge, now)
        case ChargeStatus.PROCESSING:
            await unknown(session, payment, now=now)


async def _succeed(session: AsyncSession, customer: Customer, payment: Payment, now: datetime) -> None:
    waited = payment.status is PaymentStatus.ACTION
    payment.status, payment.ended_at, payment.check_at, payment.action_url = PaymentStatus.SUCCEEDED, now, None, ""
    await _land(session, payment)
    if payment.card_id:
        cards.mark_charged(await session.get_one(Card, payment.card_id))
    for transfer in await ledger.unresolved(session, payment.id):
        await ledger.post(session, transfer, now=now)
        if transfer.invoice_id is not None:
            await dues.paid(session, customer, transfer.invoice_id, transfer.amount, now=now)
    if payment.kind is PaymentKind.TOPUP:
        await _tell_topped_up(session, customer, payment, now)
    elif waited and not payment.by_hand:
        # The try stopped where the bank asked; now it goes on with the other invoices.
        await wishes.wish(session, customer.id, cards=True, reason="confirmed", now=now)


async def _tell_topped_up(session: AsyncSession, customer: Customer, payment: Payment, now: datetime) -> None:
    facts = {"payment_id": payment.id, "amount": payment.amount}
    await outbox.tell(session, customer, "balance_charged", facts, now=now, dedup=f"payment:{payment.id}:charged")
    await wishes.wish(session, customer.id, cards=False, reason="balance_charged", now=now)


async def _decline(session: AsyncSession, customer: Customer, payment: Payment, charge: Charge, now: datetime) -> None:
    payment.decline_code, payment.hard = charge.decline_code, charge.hard
    await _release(session, payment, PaymentStatus.DECLINED, now)
    card = await session.get(Card, payment.card_id) if payment.card_id else None
    if card is not None and charge.decline_code != AUTHENTICATION_REQUIRED:
        cards.mark_declined(card, charge.decline_code, hard=charge.hard, now=now)
        await session.flush()
        if charge.decline_code == CARD_GONE:
            await cards.refresh(session, card.provider_id, None, now=now)
    if payment.by_hand:
        await tell_declined(session, customer, [payment], again_at=None, now=now)


async def _wait_for_customer(
    session: AsyncSession, customer: Customer, payment: Payment, charge: Charge, now: datetime
) -> None:
    payment.status = PaymentStatus.ACTION
    payment.check_at = payments.next_look(payment, now)
    if charge.action_url and charge.action_url != payment.action_url:
        payment.action_url = charge.action_url
        facts = await payments.shown(session, payment) | {
            "url": charge.action_url,
            "until": (payment.created_at + payments.ACTION_FOR).isoformat(),
        }
        await outbox.tell(
            session, customer, "payment_action", facts, now=now, dedup=f"payment:{payment.id}:action", mail=True
        )


async def _arrived_late(session: AsyncSession, customer: Customer, payment: Payment, now: datetime) -> None:
    """Take money that came for a payment which we had given up.

    It pays what it was for as far as that is still open, and the rest is the customer's balance (rules.md 6.8).
    """
    payment.status, payment.ended_at, payment.check_at = PaymentStatus.SUCCEEDED, now, None
    meant = {row.invoice_id: row.amount for row in await payments.allocations(session, payment.id)}
    left = payment.amount
    for due in settlement.in_order(await dues.open_dues(session, customer.id, list(meant))):
        amount = min(due.amount, meant[due.invoice_id], left)
        if amount > 0:
            await _take(session, payment, Side(AccountKind.RECEIVABLE, customer.id), amount, due.invoice_id, now)
            await dues.paid(session, customer, due.invoice_id, amount, now=now)
            left -= amount
    if left > 0:
        await _take(session, payment, Side(AccountKind.BALANCE, customer.id), left, None, now)
    if payment.kind is PaymentKind.TOPUP:
        await _tell_topped_up(session, customer, payment, now)
    elif left > 0:
        await wishes.wish(session, customer.id, cards=False, reason="balance_charged", now=now)
        facts = await payments.shown(session, payment) | {"to_balance": left}
        await outbox.tell(session, customer, "payment_surplus", facts, now=now, dedup=f"payment:{payment.id}:surplus")


async def _take(
    session: AsyncSession, payment: Payment, credit: Side, amount: int, invoice_id: int | None, now: datetime
) -> None:
    await ledger.transfer(
        session,
        operation=f"payment:{payment.id}:{invoice_id or 'balance'}:late",
        debit=payments.clearing(payment.method),
        credit=credit,
        amount=amount,
        about=About("late", invoice_id=invoice_id, payment_id=payment.id),
        now=now,
    )


async def _release(session: AsyncSession, payment: Payment, status: PaymentStatus, now: datetime) -> None:
    """End a payment that took nothing: what it reserved is free again."""
    payment.status, payment.ended_at, payment.check_at, payment.action_url = status, now, None, ""
    await _land(session, payment)
    for transfer in await ledger.unresolved(session, payment.id):
        await ledger.void(session, transfer, now=now)


async def _land(session: AsyncSession, payment: Payment) -> None:
    for allocation in await payments.allocations(session, payment.id):
        allocation.in_flight = False
    await session.flush()


# --- no word


async def unknown(session: AsyncSession, payment: Payment, *, now: datetime) -> None:
    """Remember that nobody knows; when to ask again is in `check_at` (rules.md 6.6)."""
    if payment.status is PaymentStatus.ACTION:
        payment.check_at = payments.next_look(payment, now)
    elif payment.status in IN_FLIGHT:
        payment.status = PaymentStatus.UNKNOWN
        payment.check_at = now + settlement.ask_again_after(payment.checks)
        payment.checks += 1
    await session.flush()


async def busy(session: AsyncSession, payment: Payment, *, now: datetime) -> None:
    """Remember that the provider had no time: nothing happened, the same call is made again."""
    if payment.status in IN_FLIGHT:
        payment.check_at = now + _BUSY_FOR
        await session.flush()


async def fail(session: AsyncSession, payment: Payment, reason: str, *, now: datetime) -> None:
    """End a payment that the provider refused as it stands, or knows nothing of; the operator is told."""
    if payment.status in IN_FLIGHT:
        await _release(session, payment, PaymentStatus.FAILED, now)
        facts = await payments.shown(session, payment) | {"reason": reason}
        await outbox.tell_house(
            session,
            "payment_failed",
            facts,
            now=now,
            dedup=f"payment:{payment.id}:failed",
            customer_id=payment.customer_id,
        )


# --- telling


async def tell_declined(
    session: AsyncSession,
    customer: Customer,
    declined: Sequence[Payment],
    *,
    again_at: datetime | None,
    now: datetime,
) -> None:
    """Tell which cards were declined in a try, and when they are tried again, if they are."""
    last = declined[-1]
    facts = await payments.shown(session, last)
    facts["cards"] = [
        {"card": (await payments.shown(session, payment))["card"], "code": payment.decline_code, "hard": payment.hard}
        for payment in declined
    ]
    facts["again_at"] = again_at.isoformat() if again_at else None
    dedup = f"payment:{last.id}:declined"
    await outbox.tell(session, customer, "payment_declined", facts, now=now, dedup=dedup, mail=True)


async def _tell_mismatch(session: AsyncSession, payment: Payment, charge: Charge, now: datetime) -> None:
    """A charge carries our payment's id and is not that payment: nothing is believed, a person looks."""
    facts = {
        "payment_id": payment.id,
        "expected": {"provider_id": payment.provider_id, "amount": payment.amount},
        "found": {"provider_id": charge.provider_id, "amount": charge.amount, "status": charge.status.value},
    }
    dedup = f"payment:{payment.id}:mismatch:{charge.provider_id}"
    await outbox.tell_house(session, "payment_mismatch", facts, now=now, dedup=dedup, customer_id=payment.customer_id)
