"""Payments: the row that is committed before the provider is called, and the money it reserves (rules.md 6.5).

What becomes of them stands in `payment_results`.
"""

import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import func, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from billing import accounts, cards, ledger
from billing.errors import NotFound
from billing.ledger import About, Side
from billing.models import (
    IN_FLIGHT,
    AccountKind,
    Card,
    Customer,
    Invoice,
    Payment,
    PaymentAllocation,
    PaymentKind,
    PaymentMethod,
    PaymentStatus,
    Phase,
    Transfer,
)
from billing.settlement import FundPayment, Part

REPLAY_FOR = timedelta(hours=23)
"""Stripe keeps keys for at least 24 hours; an hour is left for clocks and queues (rules.md 6.6)."""
GIVE_UP_AFTER = timedelta(hours=48)
ACTION_FOR = timedelta(hours=24)
"""How long a payment waits for its customer (rules.md 6.7)."""

_SOON, _SOMETIMES, _SELDOM = timedelta(minutes=1), timedelta(minutes=10), timedelta(hours=1)
_OFTEN_FOR, _SOMETIMES_FOR = timedelta(minutes=10), timedelta(hours=2)


@dataclass(frozen=True, slots=True)
class Wanted:
    """A payment to make.

    Attributes:
        operation: what sets it off; the same one again makes no second payment.
        kind: for invoices, or onto the balance.
        method: a saved card, or a hosted page.
        card: the saved card.
        parts: what it holds for which invoice; for the balance none.
        amount: what is charged.
        funds: voucher and balance money that pays together with it, or not at all (rules.md 6.3).
        by_hand: the customer asked for it.
        stars: how many Telegram Stars the chat takes for it, where it is paid with them.
    """

    operation: str
    kind: PaymentKind
    method: PaymentMethod
    amount: int
    card: Card | None = None
    parts: Sequence[Part] = field(default=())
    funds: Sequence[FundPayment] = field(default=())
    by_hand: bool = False
    stars: int | None = None


async def prepare(session: AsyncSession, customer: Customer, wanted: Wanted, *, now: datetime) -> Payment | None:
    """Write down a payment that is about to be made and reserve its money; under the customer's lock.

    Returns `None` when this operation has made its payment already.
    """
    known = await session.scalar(select(Payment.id).where(Payment.operation == wanted.operation))
    if known is not None:
        return None
    waits = wanted.method is not PaymentMethod.CARD
    payment = Payment(
        customer_id=customer.id,
        kind=wanted.kind,
        method=wanted.method,
        card_id=wanted.card.id if wanted.card else None,
        amount=wanted.amount,
        stars=wanted.stars,
        status=PaymentStatus.ACTION if waits else PaymentStatus.CREATED,
        operation=wanted.operation,
        # Not made from our ids: a second installation on the same account, or a database begun anew, has the same.
        idempotency_key=f"payment-{secrets.token_hex(16)}",
        by_hand=wanted.by_hand,
        created_at=now,
        # The call follows at once; a crash in between is the same as an answer that got lost.
        called_at=None if waits else now,
        check_at=_first_look(wanted.method, now),
    )
    session.add(payment)
    await session.flush()
    await _reserve(session, customer, payment, wanted, now)
    return payment


def _first_look(method: PaymentMethod, now: datetime) -> datetime | None:
    match method:
        case PaymentMethod.CARD:
            return now + _SOON
        case PaymentMethod.STARS:
            return now + ACTION_FOR  # the chat tells us when it is paid; we only end it
        case PaymentMethod.CHECKOUT:
            return None  # a page has a row of its own that says when to look after it


def clearing(method: PaymentMethod) -> Side:
    """Return the account of the house that money paid this way comes through."""
    return Side(AccountKind.STARS_CLEARING if method is PaymentMethod.STARS else AccountKind.CARD_CLEARING)


async def _reserve(session: AsyncSession, customer: Customer, payment: Payment, wanted: Wanted, now: datetime) -> None:
    owed = Side(AccountKind.RECEIVABLE, customer.id)
    paid_in = clearing(wanted.method)
    if wanted.kind is PaymentKind.TOPUP:
        into = Side(AccountKind.BALANCE, customer.id)
        await _pending(session, payment, paid_in, into, wanted.amount, None, now)
        return
    by_card = {part.invoice_id: part.amount for part in wanted.parts}
    touched = sorted(by_card.keys() | {fund.invoice_id for fund in wanted.funds})
    session.add_all(
        PaymentAllocation(
            payment_id=payment.id, invoice_id=invoice_id, amount=by_card.get(invoice_id, 0), in_flight=True
        )
        for invoice_id in touched
    )
    await session.flush()
    for part in wanted.parts:
        await _pending(session, payment, paid_in, owed, part.amount, part.invoice_id, now)
    for fund in wanted.funds:
        await _pending(session, payment, Side(fund.source, customer.id), owed, fund.amount, fund.invoice_id, now)


async def _pending(
    session: AsyncSession,
    payment: Payment,
    debit: Side,
    credit: Side,
    amount: int,
    invoice_id: int | None,
    now: datetime,
) -> None:
    reason = "topup" if invoice_id is None else "settle"
    await ledger.transfer(
        session,
        operation=f"payment:{payment.id}:{invoice_id or 'balance'}:{debit.kind.value}",
        debit=debit,
        credit=credit,
        amount=amount,
        about=About(reason, invoice_id=invoice_id, payment_id=payment.id),
        now=now,
        pending=True,
    )


async def locked(session: AsyncSession, payment_id: int) -> tuple[Customer, Payment]:
    """Return a payment's customer, locked, and the payment as it is under that lock.

    Raises:
        NotFound: there is no such payment.
    """
    customer_id = await session.scalar(select(Payment.customer_id).where(Payment.id == payment_id))
    if customer_id is None:
        raise NotFound("payment", payment_id)
    customer = await accounts.lock(session, customer_id)
    return customer, await session.get_one(Payment, payment_id, populate_existing=True)


# --- reading


async def allocations(session: AsyncSession, payment_id: int) -> Sequence[PaymentAllocation]:
    """Return what a payment holds for which invoice."""
    mine = select(PaymentAllocation).where(PaymentAllocation.payment_id == payment_id)
    return (await session.scalars(mine.order_by(PaymentAllocation.id))).all()


async def brought(session: AsyncSession, payment_id: int) -> int:
    """Return what went through with a payment in all: its charge, and the funds that paid together with it."""
    posted = select(func.coalesce(func.sum(Transfer.amount), 0)).where(
        Transfer.payment_id == payment_id, Transfer.phase == Phase.POST
    )
    return int(await session.scalar(posted) or 0)


async def in_flight(session: AsyncSession, customer_id: int) -> Sequence[Payment]:
    """Return a customer's payments for invoices that are not known to have ended, oldest first."""
    return (
        await session.scalars(
            select(Payment)
            .where(
                Payment.customer_id == customer_id,
                Payment.kind == PaymentKind.INVOICES,
                Payment.status.in_(IN_FLIGHT),
            )
            .order_by(Payment.id)
        )
    ).all()


async def waits_for_bank(session: AsyncSession, provider_id: str) -> bool:
    """Return whether a charge of ours waits for its owner to confirm it with their bank."""
    mine = select(Payment.id).where(Payment.provider_id == provider_id, Payment.status == PaymentStatus.ACTION)
    return await session.scalar(mine) is not None


async def first_decline(session: AsyncSession, customer_id: int) -> datetime | None:
    """Return when the present row of declines began, from which the calendar counts (rules.md 6.7).

    A charge that went through and a card that was added each begin a new row.
    """
    mine = (Payment.customer_id == customer_id, Payment.kind == PaymentKind.INVOICES)
    paid = await session.scalar(
        select(func.max(Payment.ended_at)).where(*mine, Payment.status == PaymentStatus.SUCCEEDED)
    )
    added = await session.scalar(
        select(func.max(Card.added_at)).where(Card.customer_id == customer_id, Card.removed_at.is_(None))
    )
    declined = select(func.min(Payment.ended_at)).where(
        *mine, Payment.status == PaymentStatus.DECLINED, Payment.by_hand.is_(False)
    )
    for since in (paid, added):
        if since is not None:
            declined = declined.where(Payment.created_at >= since)
    return await session.scalar(declined)


async def shown(session: AsyncSession, payment: Payment) -> dict[str, Any]:
    """Return what notices say of a payment: `payment_id`, `amount`, `card`, `numbers` of its invoices."""
    card = await session.get(Card, payment.card_id) if payment.card_id else None
    numbers = await session.scalars(
        select(Invoice.number)
        .join(PaymentAllocation, PaymentAllocation.invoice_id == Invoice.id)
        .where(PaymentAllocation.payment_id == payment.id)
        .order_by(Invoice.id)
    )
    return {
        "payment_id": payment.id,
        "amount": payment.amount,
        "card": cards.label(card) if card else "",
        "numbers": list(numbers),
    }


def title(facts: dict[str, Any]) -> str:
    """Return what a charge is for, in the words of the provider's own pages: at most 100 characters."""
    numbers: list[str] = facts["numbers"]
    if not numbers:
        return "Balance"
    return numbers[0] if len(numbers) == 1 else f"{numbers[0]} and {len(numbers) - 1} more"


def next_look(payment: Payment, now: datetime) -> datetime:
    """Return when to look again after a payment that waits for its customer; its time being over at the latest."""
    age = now - payment.created_at
    wait = _SOON if age < _OFTEN_FOR else _SOMETIMES if age < _SOMETIMES_FOR else _SELDOM
    end = payment.created_at + ACTION_FOR
    return min(now + wait, end) if now < end else now + wait


async def hurry(session: AsyncSession, *, now: datetime) -> None:
    """Have every payment whose result is open looked at in the next round, whenever its time was.

    One that somebody is charging at this moment as well: the same key twice is one charge, and of one whose process
    died nobody can tell.
    """
    open_ones = Payment.status.in_(IN_FLIGHT)
    # Nobody can be asked about stars: the chat tells of them by itself.
    asked = Payment.method != PaymentMethod.STARS
    await session.execute(update(Payment).where(open_ones, asked, Payment.check_at > now).values(check_at=now))
