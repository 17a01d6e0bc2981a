"""Money that goes back: disputes, and refunds of charges (rules.md 10)."""

from datetime import datetime
from enum import StrEnum

import sqlalchemy as sa
from sqlalchemy import CheckConstraint, ForeignKey, Index
from sqlalchemy.orm import Mapped, mapped_column

from billing.models.base import BIG, Amount, Base, Id


class DisputeStatus(StrEnum):
    """Where a dispute stands."""

    INQUIRY = "inquiry"
    """The bank asks; it has taken nothing."""
    OPEN = "open"
    """The bank has taken the money until it is settled whose it is."""
    WON = "won"
    """Closed, and the money is ours; an inquiry that came to nothing too."""
    LOST = "lost"


class Dispute(Base):
    """A charge whose owner says that it was not right (rules.md 10.1); what it moved stands in the ledger."""

    __tablename__ = "disputes"
    __table_args__ = (
        Index(None, "customer_id", "id"),
        Index(None, "payment_id"),
        Index(
            "ix_disputes_to_look_at",
            "check_at",
            sqlite_where=sa.text("check_at IS NOT NULL"),
            postgresql_where=sa.text("check_at IS NOT NULL"),
        ),
        CheckConstraint("amount > 0", name="amount_positive"),
    )

    id: Mapped[Id]
    provider_id: Mapped[str] = mapped_column(sa.String(128), unique=True)
    payment_id: Mapped[int] = mapped_column(BIG, ForeignKey("payments.id"))
    customer_id: Mapped[int] = mapped_column(BIG, ForeignKey("customers.id"))
    amount: Mapped[Amount]
    status: Mapped[DisputeStatus]
    reason: Mapped[str] = mapped_column(sa.String(64))
    """The network's word."""
    opened_at: Mapped[datetime]
    closed_at: Mapped[datetime | None]
    check_at: Mapped[datetime | None]
    """When to read it again, should no event come; none once it is closed."""


class RefundStatus(StrEnum):
    """Where the refund of a charge stands."""

    CREATED = "created"
    """Committed; the provider was not called yet, or we died calling. Replayed with its key."""
    UNKNOWN = "unknown"
    """Called, and no answer that says which."""
    PENDING = "pending"
    """The provider is at it."""
    SUCCEEDED = "succeeded"
    """On its way to the card; a bank may still send it back."""
    FAILED = "failed"
    """The card did not take it: the money is in the balance (rules.md 10.3)."""


REFUND_IN_FLIGHT = (RefundStatus.CREATED, RefundStatus.UNKNOWN, RefundStatus.PENDING)


class Refund(Base):
    """A part of a credit note that goes back to the card that paid: the row first, then the call, then the result."""

    __tablename__ = "refunds"
    __table_args__ = (
        Index(None, "invoice_id"),
        Index(None, "payment_id"),
        Index(
            "ix_refunds_to_look_at",
            "check_at",
            sqlite_where=sa.text("check_at IS NOT NULL"),
            postgresql_where=sa.text("check_at IS NOT NULL"),
        ),
        CheckConstraint("amount > 0", name="amount_positive"),
    )

    id: Mapped[Id]
    credit_note_id: Mapped[int] = mapped_column(BIG, ForeignKey("credit_notes.id"))
    invoice_id: Mapped[int] = mapped_column(BIG, ForeignKey("invoices.id"))
    payment_id: Mapped[int] = mapped_column(BIG, ForeignKey("payments.id"))
    customer_id: Mapped[int] = mapped_column(BIG, ForeignKey("customers.id"))
    amount: Mapped[Amount]
    status: Mapped[RefundStatus]
    idempotency_key: Mapped[str] = mapped_column(sa.String(64), unique=True)
    provider_id: Mapped[str | None] = mapped_column(sa.String(128), unique=True)
    failure: Mapped[str] = mapped_column(sa.String(200), default="")
    created_at: Mapped[datetime]
    check_at: Mapped[datetime | None]
    """When to call or look next; a month after it went out nobody looks any more."""
    checks: Mapped[int] = mapped_column(default=0)
    ended_at: Mapped[datetime | None]
