"""Telegram Stars (rules.md 7.5, C11): a way to charge the balance inside the chat itself.

The chat takes the money and tells of it: first it asks whether a payment may go through, which is checked against
the row that was committed before the invoice went out; then it says that it was paid, with an id of its own by which
it is credited once. Nobody can be asked what became of it, and nobody needs to be: what the chat tells is an update,
stored before it is acknowledged.
"""

import hashlib
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from billing import accounts, audit, debit_notes, ledger, outbox, payment_results, payments
from billing.clock import Clock
from billing.db import Database
from billing.errors import Conflict, NotFound
from billing.gateway import Charge, ChargeStatus, GatewayError, GatewayRefused
from billing.ledger import About, Side
from billing.models import AccountKind, Customer, Payment, PaymentKind, PaymentMethod, PaymentStatus, Transfer
from billing.payments import Wanted
from billing.terms import Terms

log = logging.getLogger(__name__)

MOST_STARS = 10_000
"""The most that one invoice asks for: a bound of ours, more is better charged to a card."""
_TIME_TO_PAY = timedelta(hours=1)
"""An invoice that the chat has just asked about stays good for so long: the answer lets its money through."""
_AGAIN = timedelta(minutes=1)
_CHUNK = 50


class StarsGateway(Protocol):
    """What billing needs of the chat to give stars back."""

    async def refund(self, telegram_id: int, charge_id: str) -> None:
        """Give a payment back; one that was given back already is success.

        Raises:
            GatewayRefused: the chat will not, as it stands.
            GatewayError: the chat did not say; asking again is harmless.
        """
        ...


@dataclass(frozen=True, slots=True)
class Receipt:
    """What the chat says was paid.

    Attributes:
        key: names our payment; it is in the invoice's payload.
        charge_id: the chat's own id of it, unique.
        stars: how many.
    """

    key: str
    charge_id: str
    stars: int


# --- asking for money


def price(amount: int, terms: Terms) -> int | None:
    """Return how many stars are worth an amount, or a little more; `None` where they are not taken for it."""
    if not terms.stars_rate:
        return None
    stars = -(-amount // terms.stars_rate)
    return stars if stars <= MOST_STARS else None


async def want(session: AsyncSession, customer: Customer, offered: Payment, *, terms: Terms, now: datetime) -> Payment:
    """Return the payment in stars that pays a top-up in place of its page, written down at the first tap.

    Its amount is what its stars are worth: not less than the top-up's, and more by less than one star.

    Raises:
        Conflict: stars are not taken for it, or the invoice is no longer good.
    """
    stars = price(offered.amount, terms)
    if stars is None:
        raise Conflict(f"no stars for {offered.amount}")
    await accounts.lock(session, customer.id)
    wanted = Wanted(
        operation=f"topup:{offered.id}:stars",
        kind=PaymentKind.TOPUP,
        method=PaymentMethod.STARS,
        amount=stars * terms.stars_rate,
        by_hand=True,
        stars=stars,
    )
    payment = await payments.prepare(session, customer, wanted, now=now)
    if payment is None:
        payment = (await session.scalars(select(Payment).where(Payment.operation == wanted.operation))).one()
        if payment.status is not PaymentStatus.ACTION:
            raise Conflict(f"payment {payment.id} is {payment.status}")
    return payment


async def let_through(session: AsyncSession, customer: Customer, key: str, stars: int, *, now: datetime) -> Payment:
    """Return the payment that the chat asks about, when it may be made by this customer, now, at this price.

    Raises:
        NotFound: there is no such payment of theirs: a forwarded invoice, or one that was made up.
        Conflict: it is paid, too old, or was over another number of stars.
    """
    await accounts.lock(session, customer.id)
    payment = await _by_key(session, customer, key)
    if payment is None:
        raise NotFound("payment in stars", key)
    too_old = now >= payment.created_at + payments.ACTION_FOR
    if payment.status is not PaymentStatus.ACTION or payment.stars != stars or too_old:
        raise Conflict(f"payment {payment.id} is {payment.status}, of {payment.stars} stars")
    payment.check_at = max(payment.check_at or now, now + _TIME_TO_PAY)
    await session.flush()
    return payment


# --- taking it


async def credit(
    session: AsyncSession, customer: Customer, receipt: Receipt, *, terms: Terms, now: datetime
) -> Payment | None:
    """Put onto the balance what the chat took, once per charge of the chat; `None` when nobody knows its worth.

    Money that comes for no payment of ours that waits (an invoice paid twice, say) is the customer's all the same, at
    the rate of that invoice or, without one, of now.
    """
    await accounts.lock(session, customer.id)
    known = select(Payment).where(Payment.provider_id == receipt.charge_id)
    payment = (await session.scalars(known)).one_or_none()
    if payment is None:
        payment = await _by_key(session, customer, receipt.key)
        if payment is None or payment.provider_id is not None or payment.stars != receipt.stars:
            payment = await _surplus(session, customer, receipt, payment, terms, now)
    if payment is None:
        facts = {"stars": receipt.stars, "charge_id": receipt.charge_id, "name": customer.name}
        dedup = f"stars:{_short(receipt.charge_id)}"
        await outbox.tell_house(session, "stars_unclaimed", facts, now=now, dedup=dedup, customer_id=customer.id)
        return None
    charge = Charge(receipt.charge_id, ChargeStatus.SUCCEEDED, payment.amount)
    return await payment_results.record(session, payment.id, charge, now=now)


async def _surplus(
    session: AsyncSession,
    customer: Customer,
    receipt: Receipt,
    meant: Payment | None,
    terms: Terms,
    now: datetime,
) -> Payment | None:
    rate = meant.amount // meant.stars if meant is not None and meant.stars else terms.stars_rate
    if not rate or receipt.stars <= 0:
        return None
    wanted = Wanted(
        operation=f"stars:{_short(receipt.charge_id)}",
        kind=PaymentKind.TOPUP,
        method=PaymentMethod.STARS,
        amount=receipt.stars * rate,
        stars=receipt.stars,
    )
    return await payments.prepare(session, customer, wanted, now=now)


async def _by_key(session: AsyncSession, customer: Customer, key: str) -> Payment | None:
    return (
        await session.scalars(
            select(Payment).where(
                Payment.idempotency_key == key,
                Payment.customer_id == customer.id,
                Payment.method == PaymentMethod.STARS,
            )
        )
    ).one_or_none()


def _short(charge_id: str) -> str:
    """Return a name for a charge of the chat that fits into ours; nobody says how long its own may be."""
    return hashlib.sha256(charge_id.encode()).hexdigest()[:32]


# --- giving it back


async def paid(
    session: AsyncSession, *, offset: int = 0, limit: int = 8
) -> tuple[Sequence[tuple[Payment, Customer]], bool]:
    """Return payments in stars that went through with who made them, newest first, and whether older ones follow."""
    rows = await session.execute(
        select(Payment, Customer)
        .join(Customer, Customer.id == Payment.customer_id)
        .where(Payment.method == PaymentMethod.STARS, Payment.status == PaymentStatus.SUCCEEDED)
        .order_by(Payment.id.desc())
        .offset(offset)
        .limit(limit + 1)
    )
    found = [(payment, customer) for payment, customer in rows]
    return found[:limit], len(found) > limit


async def get_paid(session: AsyncSession, payment_id: int) -> tuple[Payment, Customer]:
    """Return a payment in stars that went through, with who made it; for administrators.

    Raises:
        NotFound: there is none with this id.
    """
    payment = await session.get(Payment, payment_id)
    if payment is None or payment.method is not PaymentMethod.STARS or payment.status is not PaymentStatus.SUCCEEDED:
        raise NotFound("payment in stars", payment_id)
    return payment, await accounts.get(session, payment.customer_id)


async def begin_refund(session: AsyncSession, payment_id: int, *, actor: int, now: datetime) -> Payment:
    """Take a payment's worth off the balance, to be given back by the chat; again, it changes nothing.

    The chat gives back whole payments only. Commit, then `StarsDesk.refund`.

    Raises:
        NotFound: there is no such payment.
        InsufficientFunds: the balance holds less: it was spent, and spent money is not given back this way.
    """
    customer, payment = await payments.locked(session, payment_id)
    await get_paid(session, payment_id)
    if payment.refunded:
        return payment
    await _move_back(
        session, payment, Side(AccountKind.BALANCE, customer.id), payments.clearing(payment.method), actor, now
    )
    payment.refunded, payment.refund_try_at = payment.amount, now
    await session.flush()
    audit.record(
        session,
        "refund_stars",
        actor=actor,
        now=now,
        customer_id=customer.id,
        payment=payment.id,
        amount=payment.amount,
        stars=payment.stars,
    )
    return payment


async def _move_back(
    session: AsyncSession, payment: Payment, debit: Side, credit_: Side, actor: int | None, now: datetime
) -> None:
    # Under the customer's lock the number of a payment's transfers names the next one for good.
    number = await session.scalar(select(func.count()).where(Transfer.payment_id == payment.id))
    await ledger.transfer(
        session,
        operation=f"payment:{payment.id}:refund:{number}",
        debit=debit,
        credit=credit_,
        amount=payment.amount,
        about=About("refund", actor=actor, payment_id=payment.id),
        now=now,
    )


async def _end_refund(session: AsyncSession, payment_id: int, error: GatewayError | None, now: datetime) -> Payment:
    """Write down what the chat said of a refund: given back, will not be, or nothing."""
    customer, payment = await payments.locked(session, payment_id)
    if payment.refund_try_at is None:
        return payment
    facts = {"payment_id": payment.id, "amount": payment.amount, "stars": payment.stars, "name": customer.name}
    dedup = f"payment:{payment.id}:refunded:{int(now.timestamp())}"
    if error is None:
        payment.refund_try_at = None
        await outbox.tell(session, customer, "stars_refunded", facts, now=now, dedup=dedup)
    elif isinstance(error, GatewayRefused):
        payment.refund_try_at, payment.refunded = None, 0
        back = Side(AccountKind.BALANCE, customer.id)
        await _move_back(session, payment, payments.clearing(payment.method), back, None, now)
        facts |= {"reason": str(error)}
        await outbox.tell_house(session, "stars_refund_refused", facts, now=now, dedup=dedup, customer_id=customer.id)
    else:
        payment.refund_try_at = now + _AGAIN
    await session.flush()
    return payment


async def taken_back(
    session: AsyncSession, customer: Customer, charge_id: str, *, terms: Terms, now: datetime
) -> Payment | None:
    """Take off the balance what the chat gave back without us; `None` when we did, or know nothing of it.

    What the balance no longer holds becomes a debit note (rules.md 10.2). Told twice it happens once.
    """
    await accounts.lock(session, customer.id)
    mine = (Payment.provider_id == charge_id, Payment.customer_id == customer.id, Payment.method == PaymentMethod.STARS)
    payment = (await session.scalars(select(Payment).where(*mine))).one_or_none()
    if payment is None or payment.refunded:
        return None
    payment.refunded = payment.amount
    have = min(payment.amount, (await ledger.balances(session, customer.id)).balance)
    if have:
        await ledger.transfer(
            session,
            operation=f"payment:{payment.id}:taken_back",
            debit=Side(AccountKind.BALANCE, customer.id),
            credit=Side(AccountKind.CHARGEBACKS),
            amount=have,
            about=About("chargeback", payment_id=payment.id),
            now=now,
        )
    if have < payment.amount:
        await debit_notes.issue(
            session,
            customer,
            payment.amount - have,
            why="Telegram Stars given back after they were spent",
            operation=f"payment:{payment.id}:taken_back:owed",
            payment_id=payment.id,
            disputed=False,
            terms=terms,
            now=now,
        )
    facts = {"payment_id": payment.id, "amount": have, "stars": payment.stars, "name": customer.name}
    dedup = f"payment:{payment.id}:taken_back"
    await outbox.tell(session, customer, "stars_refunded", facts, now=now, dedup=dedup)
    facts = facts | {"owed": payment.amount - have}
    await outbox.tell_house(
        session, "stars_taken_back", facts, now=now, dedup=f"{dedup}:house", customer_id=customer.id
    )
    return payment


class StarsDesk:
    """The worker that gives stars back: one call between two transactions, and again until the chat has said which."""

    def __init__(self, database: Database, gateway: StarsGateway, clock: Clock) -> None:
        """Take what it works with."""
        self._database = database
        self._gateway = gateway
        self._clock = clock

    async def refund(self, payment_id: int) -> Payment:
        """Have the chat give back what `begin_refund` took; `refund_try_at` is empty when it has said what became."""
        async with self._database.read() as reading:
            payment, customer = await get_paid(reading, payment_id)
        if payment.refund_try_at is None:
            return payment
        error: GatewayError | None = None
        try:
            await self._gateway.refund(customer.telegram_id, payment.provider_id or "")
        except GatewayError as failure:
            log.warning("refund of payment %s: %s", payment_id, failure)
            error = failure
        async with self._database.transaction() as session:
            return await _end_refund(session, payment_id, error, self._clock.now())

    async def look_after(self) -> int:
        """Ask again for every refund whose time has come, and return how many those were."""
        async with self._database.read() as reading:
            due = select(Payment.id).where(Payment.refund_try_at <= self._clock.now()).limit(_CHUNK)
            ids = list(await reading.scalars(due))
        for payment_id in ids:
            await self.refund(payment_id)
        return len(ids)
