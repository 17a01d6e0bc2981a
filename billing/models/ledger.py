"""The double-entry ledger (rules.md 2): accounts, and transfers that are only ever added."""

from datetime import datetime
from enum import StrEnum

import sqlalchemy as sa
from sqlalchemy import CheckConstraint, ForeignKey, Index, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from billing.models.base import BIG, Amount, Base, Id


class AccountKind(StrEnum):
    """What an account holds; the first three exist per customer, the others once."""

    VOUCHER = "voucher"
    """Money from vouchers; a liability, credits add."""
    BALANCE = "balance"
    """Money the customer charged; a liability, credits add."""
    RECEIVABLE = "receivable"
    """What the customer owes; an asset, debits add."""

    REVENUE = "revenue"
    TAX = "tax"
    VOUCHERS_ISSUED = "vouchers_issued"
    CARD_CLEARING = "card_clearing"
    STARS_CLEARING = "stars_clearing"
    REFUNDS = "refunds"
    CHARGEBACKS = "chargebacks"
    WRITE_OFF = "write_off"
    CORRECTIONS = "corrections"


CUSTOMER_KINDS = (AccountKind.VOUCHER, AccountKind.BALANCE, AccountKind.RECEIVABLE)
HOUSE_KINDS = tuple(kind for kind in AccountKind if kind not in CUSTOMER_KINDS)


class Phase(StrEnum):
    """What a transfer row does to balances (rules.md 2.4)."""

    POSTED = "posted"
    """Moves money at once."""
    PENDING = "pending"
    """Reserves money; a later row with its id in `pending_id` posts or voids it, once."""
    POST = "post"
    VOID = "void"


class Account(Base):
    """An account. A customer's keep their balance, which the database holds at zero or above (rules.md 2.3).

    The house's accounts keep none: their balance is the sum of their transfers. A stored one would be a row that
    every payment of every customer has to lock.
    """

    __tablename__ = "accounts"
    __table_args__ = (
        UniqueConstraint("customer_id", "kind"),
        Index(
            "uq_accounts_house_kind",
            "kind",
            unique=True,
            sqlite_where=sa.text("customer_id IS NULL"),
            postgresql_where=sa.text("customer_id IS NULL"),
        ),
        CheckConstraint("posted >= 0 AND reserved >= 0 AND reserved <= posted", name="never_below_zero"),
        CheckConstraint("(customer_id IS NULL) = (posted IS NULL)", name="only_customers_keep_a_balance"),
    )

    id: Mapped[Id]
    customer_id: Mapped[int | None] = mapped_column(BIG, ForeignKey("customers.id"))
    kind: Mapped[AccountKind]
    posted: Mapped[Amount | None]
    """Balance on the account's own side: credits for voucher and balance, debits for receivable."""
    reserved: Mapped[Amount | None]
    """Part of `posted` that pending transfers hold: it cannot be spent, or paid a second time."""


class Transfer(Base):
    """Money moved from a debit to a credit account. Rows are never changed or removed (rules.md 2.5)."""

    __tablename__ = "transfers"
    __table_args__ = (
        CheckConstraint("amount > 0", name="amount_positive"),
        CheckConstraint("debit_id <> credit_id", name="two_accounts"),
        CheckConstraint("(phase IN ('post', 'void')) = (pending_id IS NOT NULL)", name="resolves_a_pending_one"),
        Index(None, "debit_id", "id"),
        Index(None, "credit_id", "id"),
        Index(None, "invoice_id"),
        Index(None, "payment_id"),
    )

    id: Mapped[Id]
    operation: Mapped[str] = mapped_column(sa.String(96), unique=True)
    """Made by the caller before: the same operation twice is one transfer (rules.md 2.2)."""
    phase: Mapped[Phase]
    pending_id: Mapped[int | None] = mapped_column(BIG, ForeignKey("transfers.id"), unique=True)
    debit_id: Mapped[int] = mapped_column(BIG, ForeignKey("accounts.id"))
    credit_id: Mapped[int] = mapped_column(BIG, ForeignKey("accounts.id"))
    amount: Mapped[Amount]
    created_at: Mapped[datetime]
    reason: Mapped[str] = mapped_column(sa.String(32))
    """What it is for, a word such as `issue`, `settle`, `topup`, `redeem`, `correction`."""
    note: Mapped[str] = mapped_column(sa.String(200), default="")
    """Why, in a person's words, for corrections."""
    actor: Mapped[int | None]
    """Telegram id of the administrator who made it; none for the system and the customer."""
    invoice_id: Mapped[int | None] = mapped_column(BIG, ForeignKey("invoices.id"))
    payment_id: Mapped[int | None] = mapped_column(BIG, ForeignKey("payments.id"))
    voucher_id: Mapped[int | None] = mapped_column(BIG, ForeignKey("vouchers.id"))
