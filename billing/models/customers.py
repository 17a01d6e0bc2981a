"""Customers, administrators, and what was done by whom."""

from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy import ForeignKey, Index
from sqlalchemy.orm import Mapped, mapped_column

from billing.models.base import BIG, Amount, Base, Id


class Customer(Base):
    """A person who may buy; made at the first message."""

    __tablename__ = "customers"
    __table_args__ = (
        Index(
            "ix_customers_with_budget",
            "id",
            sqlite_where=sa.text("budget IS NOT NULL"),
            postgresql_where=sa.text("budget IS NOT NULL"),
        ),
    )

    id: Mapped[Id]
    telegram_id: Mapped[int] = mapped_column(unique=True)
    """Telegram's user id, which is also the id of the private chat."""
    username: Mapped[str] = mapped_column(sa.String(64), default="")
    """Without @; empty when the person has none."""
    name: Mapped[str] = mapped_column(sa.String(256), default="")
    """As Telegram shows it; may hold anything a person can type."""
    language: Mapped[str] = mapped_column(sa.String(8), default="en")
    created_at: Mapped[datetime]
    legacy: Mapped[bool] = mapped_column(default=False)
    """From before billing existed (A15)."""
    blocked_at: Mapped[datetime | None]
    """An administrator stopped new deployments."""
    unreachable_at: Mapped[datetime | None]
    """The chat refused a message: the person blocked the bot."""
    closed_at: Mapped[datetime | None]
    spared_until: Mapped[datetime | None]
    """An administrator gave time: deployments are not deleted for debt before this day (rules.md 9.3)."""

    email: Mapped[str | None] = mapped_column(sa.String(254))
    """Confirmed address; nothing is sent to any other."""
    billing_name: Mapped[str] = mapped_column(sa.String(200), default="")
    billing_address: Mapped[str] = mapped_column(sa.String(500), default="")
    billing_tax_id: Mapped[str] = mapped_column(sa.String(64), default="")

    credit_limit: Mapped[Amount | None]
    """Set by an administrator; none means the configured one (rules.md 3.7)."""
    budget: Mapped[Amount | None]
    """The customer's own monthly limit (C5)."""

    provider_id: Mapped[str | None] = mapped_column(sa.String(64), unique=True)
    """The payment provider's customer id."""
    default_card_id: Mapped[int | None] = mapped_column(
        BIG, ForeignKey("cards.id", use_alter=True, name="fk_customers_default_card_id_cards")
    )


class EmailConfirmation(Base):
    """A link that was mailed to an address; opened in the customer's own chat it confirms the address."""

    __tablename__ = "email_confirmations"
    __table_args__ = (Index(None, "customer_id", "id"),)

    id: Mapped[Id]
    customer_id: Mapped[int] = mapped_column(BIG, ForeignKey("customers.id"))
    address: Mapped[str] = mapped_column(sa.String(254))
    token_hash: Mapped[str] = mapped_column(sa.String(64), unique=True)
    """SHA-256 of the token in the link; the token itself is in the mail only."""
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime]
    used_at: Mapped[datetime | None]


class Administrator(Base):
    """Who may run the business, beside the ids in `ADMIN_IDS`."""

    __tablename__ = "administrators"

    telegram_id: Mapped[Id] = mapped_column(autoincrement=False)
    granted_by: Mapped[int]
    granted_at: Mapped[datetime]


class AuditEntry(Base):
    """One act of an administrator, or of the system in an administrator's place (C10)."""

    __tablename__ = "audit_log"
    __table_args__ = (Index(None, "customer_id", "id"),)

    id: Mapped[Id]
    at: Mapped[datetime]
    actor: Mapped[int | None]
    """Telegram id; none for the system."""
    action: Mapped[str] = mapped_column(sa.String(64))
    customer_id: Mapped[int | None] = mapped_column(BIG, ForeignKey("customers.id"))
    details: Mapped[dict[str, Any]]
