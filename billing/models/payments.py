"""Cards, Checkouts, payments and their fate, and what the provider told us (rules.md 6, 7, 10)."""

from datetime import datetime
from enum import StrEnum
from typing import Any

import sqlalchemy as sa
from sqlalchemy import CheckConstraint, ForeignKey, Index, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from billing.models.base import BIG, Amount, Base, Id


class Card(Base):
    """A customer's card; a row counts as soon as the provider says that the card is verified (rules.md 7.1)."""

    __tablename__ = "cards"
    __table_args__ = (
        Index(
            "uq_cards_live_fingerprint",
            "fingerprint",
            unique=True,
            sqlite_where=sa.text("removed_at IS NULL"),
            postgresql_where=sa.text("removed_at IS NULL"),
        ),
        Index(None, "customer_id", "id"),
        Index(
            "ix_cards_to_detach",
            "detach_wanted_at",
            sqlite_where=sa.text("detach_wanted_at IS NOT NULL"),
            postgresql_where=sa.text("detach_wanted_at IS NOT NULL"),
        ),
    )

    id: Mapped[Id]
    customer_id: Mapped[int] = mapped_column(BIG, ForeignKey("customers.id"))
    provider_id: Mapped[str] = mapped_column(sa.String(64), unique=True)
    """The provider's id of the payment method."""
    fingerprint: Mapped[str] = mapped_column(sa.String(64))
    """The same number has the same one: unique among all live cards of all customers (rules.md 7.2)."""
    brand: Mapped[str] = mapped_column(sa.String(32))
    last4: Mapped[str] = mapped_column(sa.String(4))
    expiry_month: Mapped[int]
    expiry_year: Mapped[int]
    added_at: Mapped[datetime]
    removed_at: Mapped[datetime | None]
    detach_wanted_at: Mapped[datetime | None]
    """We want it gone at the provider too; cleared when it is."""
    declined_at: Mapped[datetime | None]
    """Its last charge was declined; cleared by one that went through."""
    decline_code: Mapped[str] = mapped_column(sa.String(64), default="")
    declined_hard: Mapped[bool] = mapped_column(default=False)
    """That decline was for good: the calendar leaves the card alone (rules.md 6.7)."""
    expiry_notice_at: Mapped[datetime | None]


class CheckoutPurpose(StrEnum):
    """What a hosted payment page is for."""

    CARD = "card"
    TOPUP = "topup"
    INVOICES = "invoices"


class CheckoutStatus(StrEnum):
    """Where a hosted payment page stands."""

    WANTED = "wanted"
    """The row is there; the provider was not asked yet, or its answer is not known."""
    OPEN = "open"
    COMPLETE = "complete"
    EXPIRED = "expired"


class Checkout(Base):
    """A hosted payment page that we opened for a customer; noticed by webhook, return page or poll."""

    __tablename__ = "checkouts"
    __table_args__ = (
        Index(None, "customer_id", "id"),
        Index(
            "ix_checkouts_unfinished",
            "check_at",
            sqlite_where=sa.text("status IN ('wanted', 'open')"),
            postgresql_where=sa.text("status IN ('wanted', 'open')"),
        ),
    )

    id: Mapped[Id]
    customer_id: Mapped[int] = mapped_column(BIG, ForeignKey("customers.id"))
    purpose: Mapped[CheckoutPurpose]
    status: Mapped[CheckoutStatus]
    idempotency_key: Mapped[str] = mapped_column(sa.String(64), unique=True)
    provider_id: Mapped[str | None] = mapped_column(sa.String(128), unique=True)
    url: Mapped[str] = mapped_column(sa.Text, default="")
    payment_id: Mapped[int | None] = mapped_column(BIG, ForeignKey("payments.id"))
    """The payment that it brings; none for adding a card."""
    message_id: Mapped[int | None]
    """Not used; stays for one release, since the version before this one reads it."""
    created_at: Mapped[datetime]
    """The page closes by itself a day later, by the provider's own clock: ours may be another."""
    check_at: Mapped[datetime]
    """When to ask the provider next."""
    checks: Mapped[int] = mapped_column(default=0)


class PaymentKind(StrEnum):
    """What money is charged for."""

    INVOICES = "invoices"
    TOPUP = "topup"


class PaymentMethod(StrEnum):
    """How money is charged."""

    CARD = "card"
    """A saved card, off session."""
    CHECKOUT = "checkout"
    """A hosted payment page."""
    STARS = "stars"


class PaymentStatus(StrEnum):
    """Where a payment stands. The first three are in flight: their money is pending in the ledger."""

    CREATED = "created"
    """Committed; the provider was not called yet, or we died calling. Replayed with its key."""
    UNKNOWN = "unknown"
    """Called, and no answer that says which (rules.md 6.6)."""
    ACTION = "action"
    """Waits for the customer: 3-D Secure, or an open payment page."""
    SUCCEEDED = "succeeded"
    DECLINED = "declined"
    CANCELLED = "cancelled"
    FAILED = "failed"
    """The provider knows nothing of it, or refused it as malformed; the operator is told."""


IN_FLIGHT = (PaymentStatus.CREATED, PaymentStatus.UNKNOWN, PaymentStatus.ACTION)


class Payment(Base):
    """One charge at the provider: the row first, then the call, then the result (rules.md 6.5)."""

    __tablename__ = "payments"
    __table_args__ = (
        Index(None, "customer_id", "id"),
        Index(
            "ix_payments_in_flight",
            "check_at",
            sqlite_where=sa.text("status IN ('created', 'unknown', 'action')"),
            postgresql_where=sa.text("status IN ('created', 'unknown', 'action')"),
        ),
        Index(
            "ix_payments_refunding",
            "refund_try_at",
            sqlite_where=sa.text("refund_try_at IS NOT NULL"),
            postgresql_where=sa.text("refund_try_at IS NOT NULL"),
        ),
        CheckConstraint("amount > 0", name="amount_positive"),
        CheckConstraint("(method = 'stars') = (stars IS NOT NULL)", name="stars_are_counted"),
    )

    id: Mapped[Id]
    customer_id: Mapped[int] = mapped_column(BIG, ForeignKey("customers.id"))
    kind: Mapped[PaymentKind]
    method: Mapped[PaymentMethod]
    card_id: Mapped[int | None] = mapped_column(BIG, ForeignKey("cards.id"))
    amount: Mapped[Amount]
    stars: Mapped[int | None]
    """What the chat takes for it, in Telegram Stars; the rate of that day is in these two numbers."""
    status: Mapped[PaymentStatus]
    operation: Mapped[str] = mapped_column(sa.String(96), unique=True)
    """What set it off: the same tap, or the same try of the calendar, makes one payment."""
    idempotency_key: Mapped[str] = mapped_column(sa.String(64), unique=True)
    provider_id: Mapped[str | None] = mapped_column(sa.String(255), unique=True)
    decline_code: Mapped[str] = mapped_column(sa.String(64), default="")
    hard: Mapped[bool] = mapped_column(default=False)
    """The decline is for good: wait for a new card (rules.md 6.7)."""
    by_hand: Mapped[bool] = mapped_column(default=False)
    """The customer asked for exactly this split: it or nothing (rules.md 6.3)."""
    action_url: Mapped[str] = mapped_column(sa.Text, default="")
    created_at: Mapped[datetime]
    called_at: Mapped[datetime | None]
    """First call to the provider; its key may be replayed for 23 hours from here."""
    check_at: Mapped[datetime | None]
    """When to look after it next."""
    checks: Mapped[int] = mapped_column(default=0)
    ended_at: Mapped[datetime | None]
    refunded: Mapped[Amount] = mapped_column(default=0)
    refund_try_at: Mapped[datetime | None]
    """When to ask the chat (again) to give its stars back; cleared when the chat has said what became of it."""
    disputed: Mapped[Amount] = mapped_column(default=0)


class PaymentAllocation(Base):
    """The part of a payment that is for one invoice (rules.md 6.4).

    Its amount is what the card pays. What voucher and balance add in a split by hand are pending transfers of the
    same payment, so an invoice that they cover alone has an allocation of zero: it is in flight all the same.
    """

    __tablename__ = "payment_allocations"
    __table_args__ = (
        UniqueConstraint("payment_id", "invoice_id"),
        Index(
            "uq_payment_allocations_in_flight",
            "invoice_id",
            unique=True,
            sqlite_where=sa.text("in_flight"),
            postgresql_where=sa.text("in_flight"),
        ),
        Index(None, "invoice_id"),
        CheckConstraint("amount >= 0", name="amount_not_negative"),
    )

    id: Mapped[Id]
    payment_id: Mapped[int] = mapped_column(BIG, ForeignKey("payments.id"))
    invoice_id: Mapped[int] = mapped_column(BIG, ForeignKey("invoices.id"))
    amount: Mapped[Amount]
    in_flight: Mapped[bool]
    """At most one payment in flight touches an invoice (rules.md 6.5): the unique index says so."""


class EventKind(StrEnum):
    """What an event of the provider is about, whatever it calls it."""

    PAGE = "page"
    CHARGE = "charge"
    CARD = "card"
    REFUND = "refund"
    DISPUTE = "dispute"
    OTHER = "other"


class ProviderEvent(Base):
    """An event as the provider sent it, stored before it is answered, handled once."""

    __tablename__ = "provider_events"
    __table_args__ = (
        UniqueConstraint("source", "event_id"),
        Index(
            "ix_provider_events_waiting",
            "retry_at",
            sqlite_where=sa.text("handled_at IS NULL"),
            postgresql_where=sa.text("handled_at IS NULL"),
        ),
    )

    id: Mapped[Id]
    source: Mapped[str] = mapped_column(sa.String(16))
    event_id: Mapped[str] = mapped_column(sa.String(128))
    type: Mapped[str] = mapped_column(sa.String(64))
    """The provider's own name for it."""
    kind: Mapped[EventKind]
    object_id: Mapped[str] = mapped_column(sa.String(128))
    payload: Mapped[dict[str, Any]]
    received_at: Mapped[datetime]
    retry_at: Mapped[datetime]
    attempts: Mapped[int] = mapped_column(default=0)
    handled_at: Mapped[datetime | None]
    error: Mapped[str] = mapped_column(sa.String(200), default="")


class SettlementWish(Base):
    """A customer's dues are to be settled: written with the fact that calls for it, so that a crash loses none.

    At most two rows a customer, since a top-up must not bring forward a card charge (rules.md 6.1).
    """

    __tablename__ = "settlement_wishes"
    __table_args__ = (Index(None, "wanted_at"),)

    customer_id: Mapped[int] = mapped_column(BIG, ForeignKey("customers.id"), primary_key=True, autoincrement=False)
    cards: Mapped[bool] = mapped_column(primary_key=True)
    """Cards may be charged too, not only voucher and balance used."""
    wanted_at: Mapped[datetime]
    """When to do it: at once, or when the calendar tries again."""
    reason: Mapped[str] = mapped_column(sa.String(32))
    attempt_at: Mapped[datetime | None]
    """When the try that is under way began; a new wish sets it to none, so that an old try cannot end it."""
    leased_until: Mapped[datetime | None]
    leased_by: Mapped[str | None] = mapped_column(sa.String(64))
