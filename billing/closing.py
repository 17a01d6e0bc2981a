"""Closing an account, and coming back (rules.md 7.3): money stays in the books, what is personal goes."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import delete, exists, func, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from billing import accounts, cards, ledger
from billing.errors import BillingError
from billing.models import (
    Card,
    Customer,
    EmailConfirmation,
    Invoice,
    Payment,
    PaymentStatus,
    Quote,
    SettlementWish,
    Subscription,
)

_UNDER_WAY = (PaymentStatus.CREATED, PaymentStatus.UNKNOWN)
"""A payment page that nobody finishes keeps no account open."""


@dataclass(frozen=True, slots=True)
class Standing:
    """What keeps an account open, and what would be given up.

    Attributes:
        deployments: how many are active.
        debt: what is owed, in minor units.
        usage: whether hours were used that no invoice holds yet.
        dispute: whether a bank is asked to take money back.
        payment: whether a payment is under way.
        left: voucher and balance, in minor units.
    """

    deployments: int
    debt: int
    usage: bool
    dispute: bool
    payment: bool
    left: int

    @property
    def may_close(self) -> bool:
        """Whether nothing keeps it open."""
        return not (self.deployments or self.debt > 0 or self.usage or self.dispute or self.payment)


class NotYet(BillingError):
    """Something keeps the account open."""

    def __init__(self, standing: Standing) -> None:
        """Keep what."""
        super().__init__(f"account stays open: {standing}")
        self.standing = standing


async def standing(session: AsyncSession, customer: Customer) -> Standing:
    """Return what keeps a customer's account open."""
    held = await ledger.balances(session, customer.id)
    running = select(func.count()).where(Subscription.customer_id == customer.id, Subscription.ended_at.is_(None))
    disputed = select(exists().where(Invoice.customer_id == customer.id, Invoice.disputed > 0))
    moving = select(exists().where(Payment.customer_id == customer.id, Payment.status.in_(_UNDER_WAY)))
    return Standing(
        deployments=await session.scalar(running) or 0,
        debt=held.receivable,
        usage=await cards.has_uninvoiced_usage(session, customer.id),
        dispute=bool(await session.scalar(disputed)),
        payment=bool(await session.scalar(moving)),
        left=held.voucher + held.balance,
    )


async def close(session: AsyncSession, customer: Customer, *, now: datetime) -> None:
    """Close an account: cards are forgotten here and at the provider, personal fields are cleared; harmless twice.

    Invoices, payments and the ledger stay as they are (rules.md 2.5, 5.3), and so does money that is left.

    Raises:
        NotYet: something keeps it open.
    """
    customer = await accounts.lock(session, customer.id)
    if customer.closed_at is not None:
        return
    found = await standing(session, customer)
    if not found.may_close:
        raise NotYet(found)
    customer.default_card_id = None
    await session.execute(
        update(Card)
        .where(Card.customer_id == customer.id, Card.removed_at.is_(None))
        .values(removed_at=now, detach_wanted_at=now)
    )
    await session.execute(update(Quote).where(Quote.customer_id == customer.id).values(kept_until=None))
    await session.execute(delete(SettlementWish).where(SettlementWish.customer_id == customer.id))
    await session.execute(delete(EmailConfirmation).where(EmailConfirmation.customer_id == customer.id))
    customer.username = customer.name = ""
    customer.email = customer.budget = None
    customer.billing_name = customer.billing_address = customer.billing_tax_id = ""
    customer.closed_at = now
    await session.flush()


async def reopen(session: AsyncSession, customer: Customer) -> Customer:
    """Open a closed account again: the customer came back."""
    customer = await accounts.lock(session, customer.id)
    customer.closed_at = None
    await session.flush()
    return customer
