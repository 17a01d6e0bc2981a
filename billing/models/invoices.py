"""Invoices, debit notes and their lines (rules.md 5), credit notes (rules.md 10.4)."""

from datetime import datetime
from enum import StrEnum
from typing import Any

import sqlalchemy as sa
from sqlalchemy import CheckConstraint, ForeignKey, Index
from sqlalchemy.orm import Mapped, mapped_column

from billing.clock import Month
from billing.models.base import BIG, Amount, Base, Id


class InvoiceKind(StrEnum):
    """What a document that is owed is."""

    INVOICE = "invoice"
    DEBIT_NOTE = "debit_note"


class Invoice(Base):
    """A document that the customer owes; what is printed on it never changes (rules.md 5.3).

    `due`, `disputed`, `by_hand`, `due_since` and `paid_at` say where it stands; a trigger refuses a change of all else.
    """

    __tablename__ = "invoices"
    __table_args__ = (
        Index(
            "uq_invoices_customer_id_month",
            "customer_id",
            "month",
            unique=True,
            sqlite_where=sa.text("kind = 'invoice'"),
            postgresql_where=sa.text("kind = 'invoice'"),
        ),
        Index(
            "ix_invoices_open",
            "customer_id",
            "due",
            sqlite_where=sa.text("due > 0"),
            postgresql_where=sa.text("due > 0"),
        ),
        Index(None, "month", "id"),
        Index(None, "customer_id", "id"),
        CheckConstraint("total = net + tax AND total > 0 AND net >= 0 AND tax >= 0", name="sum"),
        CheckConstraint("due >= 0 AND due <= total", name="due_within_total"),
        CheckConstraint("disputed >= 0 AND by_hand >= 0 AND disputed + by_hand <= due", name="parts_within_due"),
    )

    id: Mapped[Id]
    kind: Mapped[InvoiceKind]
    number: Mapped[str] = mapped_column(sa.String(20), unique=True)
    customer_id: Mapped[int] = mapped_column(BIG, ForeignKey("customers.id"))
    month: Mapped[Month | None]
    """The billing period; none for a debit note."""
    issued_at: Mapped[datetime]
    net: Mapped[Amount]
    tax_basis_points: Mapped[int]
    """Tax rate in hundredths of a percent: 19 % is 1900."""
    tax: Mapped[Amount]
    total: Mapped[Amount]
    seller: Mapped[dict[str, Any]]
    """`name`, `address`, `tax_id` as they were when it was issued; `buyer` likewise."""
    buyer: Mapped[dict[str, Any]]

    due: Mapped[Amount]
    """What is still owed, disputed money included."""
    disputed: Mapped[Amount] = mapped_column(default=0)
    """Part of `due` that an open dispute holds: not charged, reminded or aged (rules.md 10.1)."""
    by_hand: Mapped[Amount] = mapped_column(default=0)
    """Part of `due` that a lost dispute opened again: no card is charged it by itself (rules.md 10.5)."""
    due_since: Mapped[datetime | None]
    """Set when the customer's total due had reached the least that a card can be charged (rules.md 6.4)."""
    paid_at: Mapped[datetime | None]


class InvoiceLine(Base):
    """Hours of one subscription in one month; never changed."""

    __tablename__ = "invoice_lines"
    __table_args__ = (Index(None, "subscription_id", "month"), {"sqlite_with_rowid": False})

    invoice_id: Mapped[int] = mapped_column(BIG, ForeignKey("invoices.id"), primary_key=True)
    position: Mapped[int] = mapped_column(primary_key=True)
    subscription_id: Mapped[int | None] = mapped_column(BIG, ForeignKey("subscriptions.id"))
    month: Mapped[Month | None]
    """The month in which the hours were used; differs from the invoice's for hours that came to light late."""
    name: Mapped[str] = mapped_column(sa.String(200))
    item: Mapped[str] = mapped_column(sa.String(32))
    workers: Mapped[int] = mapped_column(default=0)
    hours: Mapped[int]
    monthly: Mapped[Amount]
    capped: Mapped[bool]
    amount: Mapped[Amount]


class CreditNote(Base):
    """Lowers an invoice; what was paid beyond the new total is refunded (rules.md 10.3, 10.4). Never changed."""

    __tablename__ = "credit_notes"
    __table_args__ = (
        Index(None, "invoice_id"),
        CheckConstraint("total = net + tax AND total > 0", name="sum"),
    )

    id: Mapped[Id]
    operation: Mapped[str] = mapped_column(sa.String(96), unique=True)
    number: Mapped[str] = mapped_column(sa.String(20), unique=True)
    invoice_id: Mapped[int] = mapped_column(BIG, ForeignKey("invoices.id"))
    customer_id: Mapped[int] = mapped_column(BIG, ForeignKey("customers.id"))
    issued_at: Mapped[datetime]
    net: Mapped[Amount]
    tax: Mapped[Amount]
    total: Mapped[Amount]
    reason: Mapped[str] = mapped_column(sa.String(200))
    actor: Mapped[int | None]


class CreditNoteLine(Base):
    """Hours taken back of one subscription in one month; a credit note of an amount alone has none. Never changed."""

    __tablename__ = "credit_note_lines"
    __table_args__ = (Index(None, "subscription_id", "month"), {"sqlite_with_rowid": False})

    credit_note_id: Mapped[int] = mapped_column(BIG, ForeignKey("credit_notes.id"), primary_key=True)
    position: Mapped[int] = mapped_column(primary_key=True)
    subscription_id: Mapped[int] = mapped_column(BIG, ForeignKey("subscriptions.id"))
    month: Mapped[Month]
    name: Mapped[str] = mapped_column(sa.String(200))
    item: Mapped[str] = mapped_column(sa.String(32))
    workers: Mapped[int]
    hours: Mapped[int]
    monthly: Mapped[Amount]
    amount: Mapped[Amount]
    """Net, in minor units; `hours` and this are positive and taken off."""


class NumberSeries(Base):
    """The last number given in a series and year; taken last in the transaction that issues (rules.md 5.3)."""

    __tablename__ = "number_series"

    series: Mapped[str] = mapped_column(sa.String(4), primary_key=True)
    year: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    last: Mapped[int]
