"""Vouchers and requests for them (rules.md 8)."""

from datetime import datetime
from enum import StrEnum

import sqlalchemy as sa
from sqlalchemy import CheckConstraint, ForeignKey, Index
from sqlalchemy.orm import Mapped, mapped_column

from billing.models.base import BIG, Amount, Base, Id


class Voucher(Base):
    """Money that an administrator gave away as a code; the code itself is not stored (rules.md 8.1)."""

    __tablename__ = "vouchers"
    __table_args__ = (
        Index(None, "batch"),
        CheckConstraint("amount > 0", name="amount_positive"),
        CheckConstraint("(redeemed_by IS NULL) = (redeemed_at IS NULL)", name="redeemed_once"),
        CheckConstraint("redeemed_at IS NULL OR revoked_at IS NULL", name="redeemed_or_revoked"),
    )

    id: Mapped[Id]
    code_hash: Mapped[str] = mapped_column(sa.String(64), unique=True)
    hint: Mapped[str] = mapped_column(sa.String(8))
    """The code's last letters, by which people tell vouchers apart."""
    amount: Mapped[Amount]
    expires_at: Mapped[datetime | None]
    note: Mapped[str] = mapped_column(sa.String(200), default="")
    batch: Mapped[str] = mapped_column(sa.String(64))
    """What made it, `update:712` or `request:17`: vouchers made by one act have the same."""
    created_by: Mapped[int]
    created_at: Mapped[datetime]
    redeemed_by: Mapped[int | None] = mapped_column(BIG, ForeignKey("customers.id"))
    redeemed_at: Mapped[datetime | None]
    revoked_at: Mapped[datetime | None]
    """An administrator took it back before anybody redeemed it."""


class RequestStatus(StrEnum):
    """What became of a request for a voucher."""

    PENDING = "pending"
    APPROVED = "approved"
    REJECTED = "rejected"


class VoucherRequest(Base):
    """A customer's request for a voucher (B1)."""

    __tablename__ = "voucher_requests"
    __table_args__ = (Index(None, "status", "id"), Index(None, "customer_id", "id"))

    id: Mapped[Id]
    customer_id: Mapped[int] = mapped_column(BIG, ForeignKey("customers.id"))
    amount: Mapped[Amount]
    reason: Mapped[str] = mapped_column(sa.String(500))
    operation: Mapped[str] = mapped_column(sa.String(96), unique=True)
    """What set it off: the same message handled again makes no second request."""
    status: Mapped[RequestStatus]
    created_at: Mapped[datetime]
    decided_at: Mapped[datetime | None]
    decided_by: Mapped[int | None]
    voucher_id: Mapped[int | None] = mapped_column(BIG, ForeignKey("vouchers.id"))


class VoucherAttempt(Base):
    """A wrong code, remembered for an hour to stop guessing (rules.md 8.2)."""

    __tablename__ = "voucher_attempts"
    __table_args__ = (Index(None, "customer_id", "at"),)

    id: Mapped[Id]
    customer_id: Mapped[int] = mapped_column(BIG, ForeignKey("customers.id"))
    at: Mapped[datetime]
