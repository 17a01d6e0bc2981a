"""Words of the operator to many customers at once."""

from datetime import datetime
from enum import StrEnum

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from billing.models.base import Base, Id


class Audience(StrEnum):
    """Whom an announcement is for."""

    ALL = "all"
    MACHINES = "machines"
    """Who has something running."""
    DEBT = "debt"
    """Who owes something."""


class Announcement(Base):
    """One announcement; its messages are written to the outbox some at a time, so that nothing else waits for them."""

    __tablename__ = "announcements"

    id: Mapped[Id]
    operation: Mapped[str] = mapped_column(sa.String(96), unique=True)
    """From the draft that was confirmed: confirmed twice is sent once."""
    text: Mapped[str] = mapped_column(sa.Text)
    """HTML parse mode."""
    audience: Mapped[Audience]
    created_at: Mapped[datetime]
    created_by: Mapped[int]
    """Telegram id of the administrator, who is told when it is done."""
    expected: Mapped[int]
    """How many customers it was for when it was confirmed."""
    written_until: Mapped[int] = mapped_column(default=0)
    """Messages to customers up to this id are in the outbox."""
    written_at: Mapped[datetime | None]
    """All of them are."""
    done_at: Mapped[datetime | None]
    """None of them waits any more, and the author was told."""
