"""What the chat must remember: updates not handled yet, what it waits for, switches of the house."""

from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy import ForeignKey, Index
from sqlalchemy.orm import Mapped, mapped_column

from billing.models import BIG, Base, Id


class ChatUpdate(Base):
    """An update as Telegram sent it, stored before it is acknowledged, handled in order per user."""

    __tablename__ = "chat_updates"
    __table_args__ = (
        Index(
            "ix_chat_updates_waiting",
            "id",
            sqlite_where=sa.text("handled_at IS NULL"),
            postgresql_where=sa.text("handled_at IS NULL"),
        ),
        Index(
            "ix_chat_updates_lane_waiting",
            "lane",
            "id",
            sqlite_where=sa.text("handled_at IS NULL"),
            postgresql_where=sa.text("handled_at IS NULL"),
        ),
        Index(None, "handled_at"),
    )

    id: Mapped[Id] = mapped_column(autoincrement=False)
    """Telegram's update id: the same update twice is one row."""
    lane: Mapped[int | None] = mapped_column(sa.BigInteger())
    """The chat, or the person where there is none: what must stay in order. None where an older version wrote it."""
    payload: Mapped[dict[str, Any]]
    received_at: Mapped[datetime]
    handled_at: Mapped[datetime | None]
    attempts: Mapped[int] = mapped_column(default=0)
    """How many processes died that had it in hand."""
    leased_by: Mapped[str | None] = mapped_column(sa.String(64))
    """Which process has it in hand, as long as that process lives (see `Replica`)."""


class Replica(Base):
    """A process that serves this database. By the database's own clock, which is one for all of them."""

    __tablename__ = "replicas"

    name: Mapped[str] = mapped_column(sa.String(64), primary_key=True)
    started_at: Mapped[datetime]
    seen_at: Mapped[datetime]


class Awaiting(Base):
    """The free text that a person was asked for; one at a time."""

    __tablename__ = "awaiting"

    telegram_id: Mapped[Id] = mapped_column(autoincrement=False)
    what: Mapped[str] = mapped_column(sa.String(32))
    """Names the feature's step that takes the answer."""
    data: Mapped[dict[str, Any]]
    asked_at: Mapped[datetime]


class SupportTopic(Base):
    """A customer's own topic in a support chat that is a forum."""

    __tablename__ = "support_topics"
    __table_args__ = (Index(None, "chat_id", "thread_id", unique=True),)

    customer_id: Mapped[int] = mapped_column(BIG, ForeignKey("customers.id"), primary_key=True)
    chat_id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    thread_id: Mapped[int]
    """Telegram's `message_thread_id`."""


class SupportMessage(Base):
    """A customer's question as it stands in a support chat: a reply to it goes back to them."""

    __tablename__ = "support_messages"
    __table_args__ = (Index(None, "customer_id"),)

    chat_id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    message_id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    customer_id: Mapped[int] = mapped_column(BIG, ForeignKey("customers.id"))
    sent_at: Mapped[datetime]


class Switch(Base):
    """A setting that is changed in the chat, such as maintenance mode."""

    __tablename__ = "switches"

    name: Mapped[str] = mapped_column(sa.String(32), primary_key=True)
    value: Mapped[dict[str, Any]]
    changed_at: Mapped[datetime]
    changed_by: Mapped[int | None]
