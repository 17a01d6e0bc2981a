"""What is sold and used: prices, quotes, subscriptions, running intervals, metered hours (rules.md 3, 4)."""

from datetime import datetime
from enum import StrEnum

import sqlalchemy as sa
from sqlalchemy import CheckConstraint, ForeignKey, Index
from sqlalchemy.orm import Mapped, mapped_column

from billing.clock import Month
from billing.models.base import BIG, Amount, Base, Id


class Price(Base):
    """One entry in an item's price history; the newest that is valid counts (rules.md 3.2)."""

    __tablename__ = "prices"
    __table_args__ = (
        Index(None, "item", "valid_from", "id"),
        CheckConstraint("monthly > 0", name="positive"),
    )

    id: Mapped[Id]
    operation: Mapped[str] = mapped_column(sa.String(96), unique=True)
    """From the tap that set it: tapped twice is set once."""
    item: Mapped[str] = mapped_column(sa.String(32))
    """Catalogue code, `vm-small-public`."""
    monthly: Mapped[Amount]
    valid_from: Mapped[datetime]
    set_by: Mapped[int | None]
    """Telegram id of the administrator; none for the prices that the product starts with."""


class Quote(Base):
    """An order: what, name, and the price at which it may be confirmed for 15 minutes (rules.md 3.3)."""

    __tablename__ = "quotes"
    __table_args__ = (
        Index(None, "customer_id", "id"),
        Index(
            "ix_quotes_kept",
            "customer_id",
            "kept_until",
            sqlite_where=sa.text("kept_until IS NOT NULL"),
            postgresql_where=sa.text("kept_until IS NOT NULL"),
        ),
    )

    id: Mapped[Id]
    customer_id: Mapped[int] = mapped_column(BIG, ForeignKey("customers.id"))
    item: Mapped[str] = mapped_column(sa.String(32))
    name: Mapped[str] = mapped_column(sa.String(63))
    workers: Mapped[int]
    """Worker nodes of a cluster; 0 for a machine."""
    control_monthly: Mapped[Amount]
    """Price of the machine, or of the control plane."""
    worker_monthly: Mapped[Amount]
    """Price of one worker; 0 for a machine."""
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime]
    confirmed_at: Mapped[datetime | None]
    kept_until: Mapped[datetime | None]
    """Set while the order waits for money: it is offered again until then (C2)."""

    @property
    def monthly(self) -> int:
        """The whole monthly price, without tax."""
        return self.control_monthly + self.workers * self.worker_monthly


class Subscription(Base):
    """What is charged: an item at the price that was quoted, for its whole life (rules.md 3.4)."""

    __tablename__ = "subscriptions"
    __table_args__ = (
        Index(None, "customer_id", "id"),
        CheckConstraint("monthly > 0", name="positive"),
    )

    id: Mapped[Id]
    customer_id: Mapped[int] = mapped_column(BIG, ForeignKey("customers.id"))
    quote_id: Mapped[int | None] = mapped_column(BIG, ForeignKey("quotes.id"), unique=True)
    """None for what was adopted from another system."""
    name: Mapped[str] = mapped_column(sa.String(63))
    item: Mapped[str] = mapped_column(sa.String(32))
    workers: Mapped[int]
    monthly: Mapped[Amount]
    created_at: Mapped[datetime]
    ended_at: Mapped[datetime | None]
    """Deletion asked for, or never started; nothing runs after it."""


class Interval(Base):
    """A time in which a subscription ran, `[started_at, ended_at)` (rules.md 4.1, 4.2)."""

    __tablename__ = "intervals"
    __table_args__ = (
        Index(None, "subscription_id", "started_at"),
        Index(
            "uq_intervals_running",
            "subscription_id",
            unique=True,
            sqlite_where=sa.text("ended_at IS NULL"),
            postgresql_where=sa.text("ended_at IS NULL"),
        ),
        Index(
            # All that hourly metering reads, in the order in which it writes.
            "ix_intervals_metering",
            "customer_id",
            "subscription_id",
            "started_at",
            "billed_from",
            "ended_at",
            sqlite_where=sa.text("ended_at IS NULL"),
            postgresql_where=sa.text("ended_at IS NULL"),
        ),
        Index(
            # Without the running ones: SQLite would look for those here rather than in their own index.
            "ix_intervals_ended",
            "ended_at",
            sqlite_where=sa.text("ended_at IS NOT NULL"),
            postgresql_where=sa.text("ended_at IS NOT NULL"),
        ),
        Index(
            # Whether a running interval has others before it, asked for each at every metering.
            "ix_intervals_before",
            "subscription_id",
            "ended_at",
            sqlite_where=sa.text("ended_at IS NOT NULL"),
            postgresql_where=sa.text("ended_at IS NOT NULL"),
        ),
        CheckConstraint("ended_at IS NULL OR ended_at >= started_at", name="forward"),
    )

    id: Mapped[Id]
    subscription_id: Mapped[int] = mapped_column(BIG, ForeignKey("subscriptions.id"))
    customer_id: Mapped[int] = mapped_column(BIG, ForeignKey("customers.id"))
    """The subscription's; here so that a chunk of customers is metered from one range of one index."""
    started_at: Mapped[datetime]
    billed_from: Mapped[datetime]
    """Start of its first billed hour: `started_at`, or the end of the hour that was already billed then."""
    ended_at: Mapped[datetime | None]


class Usage(Base):
    """Hours of one subscription in one month, exact at `metered_until` (rules.md 4.4).

    The key is the order in which metering writes and the monthly run reads: both go through a month's rows once, and
    a new month is added at the end. Without foreign keys: what stands here is counted from intervals, which have them,
    and counted again by the daily check; looking both keys up would be half of the time that a new month takes.
    """

    __tablename__ = "usage"
    __table_args__ = (
        Index(
            "ix_usage_late",
            "customer_id",
            sqlite_where=sa.text("late"),
            postgresql_where=sa.text("late"),
        ),
        {"sqlite_with_rowid": False},
    )

    month: Mapped[Month] = mapped_column(primary_key=True, autoincrement=False)
    customer_id: Mapped[int] = mapped_column(BIG, primary_key=True, autoincrement=False)
    """The subscription's."""
    subscription_id: Mapped[int] = mapped_column(BIG, primary_key=True, autoincrement=False)
    hours: Mapped[int]
    metered_until: Mapped[datetime]
    late: Mapped[bool] = mapped_column(default=False)
    """Changed after the month was metered to its end: what was not invoiced goes on the next invoice (rules.md 5.1)."""


class Watermark(Base):
    """How far a catching-up job has come."""

    __tablename__ = "watermarks"

    name: Mapped[str] = mapped_column(sa.String(32), primary_key=True)
    until: Mapped[datetime]


class Kind(StrEnum):
    """What is sold."""

    VM = "vm"
    K8S = "k8s"
