"""Messages to people, written with the fact they tell (rules.md 11)."""

from datetime import datetime
from enum import StrEnum
from typing import Any

import sqlalchemy as sa
from sqlalchemy import ForeignKey, Index
from sqlalchemy.orm import Mapped, mapped_column

from billing.clock import Month
from billing.models.base import BIG, Base, Id


class Channel(StrEnum):
    """How a message goes out."""

    CHAT = "chat"
    MAIL = "mail"


class NoticeStatus(StrEnum):
    """Where a message stands."""

    WAITING = "waiting"
    SENT = "sent"
    """Taken by the chat, or accepted by the mail server."""
    REFUSED = "refused"
    """The person cannot be reached this way: bot blocked, address refused."""
    PARKED = "parked"
    """Can never be sent as it is; shown to the operator."""
    MOOT = "moot"
    """No longer so when its turn came: nothing was said."""


class Notice(Base):
    """One message on one channel: facts only, the words are made by a view when it is delivered."""

    __tablename__ = "notices"
    __table_args__ = (
        Index(
            "ix_notices_waiting",
            "channel",
            "send_at",
            "id",
            sqlite_where=sa.text("status = 'waiting'"),
            postgresql_where=sa.text("status = 'waiting'"),
        ),
        Index(
            "ix_notices_of_chat",
            "recipient",
            "id",
            sqlite_where=sa.text("status = 'waiting'"),
            postgresql_where=sa.text("status = 'waiting'"),
        ),
        Index(None, "customer_id", "id"),
        Index(
            "ix_notices_of_announcement",
            "announcement_id",
            "status",
            sqlite_where=sa.text("announcement_id IS NOT NULL"),
            postgresql_where=sa.text("announcement_id IS NOT NULL"),
        ),
    )

    id: Mapped[Id]
    dedup: Mapped[str | None] = mapped_column(sa.String(96), unique=True)
    """A fact that may be found twice is told once: `invoice:17:issued:chat`."""
    customer_id: Mapped[int | None] = mapped_column(BIG, ForeignKey("customers.id"))
    """Whom the fact concerns; none for what concerns only the house."""
    channel: Mapped[Channel]
    recipient: Mapped[int | None]
    """Telegram chat; none on mail, and for every administrator at once."""
    kind: Mapped[str] = mapped_column(sa.String(48))
    """Names the view that makes the words."""
    data: Mapped[dict[str, Any]]
    announcement_id: Mapped[int | None] = mapped_column(BIG, ForeignKey("announcements.id"))
    """Which announcement it is one of; its words are there."""
    created_at: Mapped[datetime]
    send_at: Mapped[datetime]
    status: Mapped[NoticeStatus] = mapped_column(default=NoticeStatus.WAITING)
    attempts: Mapped[int] = mapped_column(default=0)
    leased_until: Mapped[datetime | None]
    leased_by: Mapped[str | None] = mapped_column(sa.String(64))
    ended_at: Mapped[datetime | None]
    error: Mapped[str] = mapped_column(sa.String(200), default="")


class JobRun(Base):
    """When a scheduled job last ran, so that each runs once per tick whoever runs it, and catches up after a gap."""

    __tablename__ = "job_runs"

    name: Mapped[str] = mapped_column(sa.String(32), primary_key=True)
    tick_at: Mapped[datetime]
    """The newest tick that somebody took."""
    leased_until: Mapped[datetime | None]
    leased_by: Mapped[str] = mapped_column(sa.String(64), default="")
    finished_at: Mapped[datetime | None]
    error: Mapped[str] = mapped_column(sa.String(200), default="")


class MonthRun(Base):
    """A month whose invoices are all issued (rules.md 5.5)."""

    __tablename__ = "month_runs"

    month: Mapped[Month] = mapped_column(primary_key=True, autoincrement=False)
    finished_at: Mapped[datetime]
