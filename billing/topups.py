"""Charging the balance (rules.md 7.4): a hosted page, or a saved card with one tap; credited once per charge.

A top-up begins with its page. The payment behind the page is what buttons name, so that none carries an amount; a
saved card, or stars, then pay the same amount in place of the page.
"""

from datetime import datetime

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from billing import accounts, cards, checkouts, payments
from billing.errors import Conflict, NotFound, OutOfRange
from billing.models import (
    IN_FLIGHT,
    Checkout,
    CheckoutPurpose,
    Customer,
    Payment,
    PaymentKind,
    PaymentMethod,
    PaymentStatus,
)
from billing.payments import Wanted
from billing.terms import Terms

_MULTIPLES = (1, 2, 5, 10, 20)


def suggestions(terms: Terms) -> tuple[int, ...]:
    """Return amounts to offer, smallest first; the least is always one of them."""
    return tuple(terms.topup_least * times for times in _MULTIPLES if terms.topup_least * times <= terms.topup_most)


async def want(
    session: AsyncSession, customer: Customer, amount: int, *, operation: str, terms: Terms, now: datetime
) -> Checkout:
    """Write down a top-up and the page that is about to be opened for it; commit, then `Checkouts.open`.

    The same operation again returns the first page.

    Raises:
        OutOfRange: the amount is less or more than the operator lets people charge at once.
    """
    if not terms.topup_least <= amount <= terms.topup_most:
        raise OutOfRange(amount, terms.topup_least, terms.topup_most)
    await accounts.lock(session, customer.id)
    wanted = Wanted(
        operation=f"topup:{operation}",
        kind=PaymentKind.TOPUP,
        method=PaymentMethod.CHECKOUT,
        amount=amount,
        by_hand=True,
    )
    payment = await payments.prepare(session, customer, wanted, now=now)
    if payment is None:
        known = (await session.scalars(select(Payment).where(Payment.operation == wanted.operation))).one()
        return await checkouts.of_payment(session, known.id)
    return await checkouts.want(session, customer.id, CheckoutPurpose.TOPUP, now=now, payment_id=payment.id)


async def get(session: AsyncSession, customer_id: int, payment_id: int) -> Payment:
    """Return a customer's top-up.

    Raises:
        NotFound: there is none with this id, or it is another's.
    """
    payment = await session.get(Payment, payment_id)
    if payment is None or payment.customer_id != customer_id or payment.kind is not PaymentKind.TOPUP:
        raise NotFound("top-up", payment_id)
    return payment


async def by_card(
    session: AsyncSession, customer: Customer, offered: Payment, card_id: int, *, now: datetime
) -> Payment:
    """Return the charge of a saved card that pays a top-up in place of its page; under the customer's lock.

    There is one for each card, tapped however often, and none once the page or another card has paid or may have.

    Raises:
        Conflict: the page is still open.
        NotFound: the card is not theirs.
    """
    if offered.status is PaymentStatus.SUCCEEDED:
        return offered
    if offered.status in IN_FLIGHT:
        raise Conflict(f"the page of payment {offered.id} could not be closed")
    prefix = f"topup:{offered.id}:card:"
    tried = (
        await session.scalars(
            select(Payment).where(
                Payment.customer_id == customer.id, Payment.operation.startswith(prefix, autoescape=True)
            )
        )
    ).all()
    for payment in tried:
        paid = payment.status is PaymentStatus.SUCCEEDED or payment.status in IN_FLIGHT
        if paid or payment.card_id == card_id:
            return payment
    wanted = Wanted(
        operation=f"{prefix}{card_id}",
        kind=PaymentKind.TOPUP,
        method=PaymentMethod.CARD,
        amount=offered.amount,
        card=await cards.get(session, customer.id, card_id),
        by_hand=True,
    )
    charge = await payments.prepare(session, customer, wanted, now=now)
    if charge is None:
        raise Conflict(f"{wanted.operation} is another customer's")
    return charge
