"""The operator's words to many customers: who they are for, sending them, and who was not reached.

The messages are written to the outbox some at a time, each portion in one statement: an invoice that is due in the
meantime waits for a portion and not for everybody.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy import ColumnElement, Select, exists, func, select
from sqlalchemy.ext.asyncio import AsyncSession

from billing import audit, outbox, sql
from billing.db import Database
from billing.errors import NotFound
from billing.models import (
    Account,
    AccountKind,
    Announcement,
    Audience,
    Channel,
    Customer,
    Instant,
    Notice,
    NoticeStatus,
    Subscription,
)

KIND = "announcement"
_PORTION = 100
"""Messages written at once; no more are written while so many wait."""


@dataclass(frozen=True, slots=True)
class Progress:
    """How far an announcement has come.

    Attributes:
        announcement: which.
        sent: taken by the chat.
        unreached: refused, or never to be delivered.
        waiting: still to be delivered, as far as is known.
    """

    announcement: Announcement
    sent: int
    unreached: int
    waiting: int


async def count(session: AsyncSession, audience: Audience) -> int:
    """Return how many customers are in an audience now."""
    return await session.scalar(select(func.count()).select_from(Customer).where(*_in(audience))) or 0


async def by_operation(session: AsyncSession, operation: str) -> Announcement | None:
    """Return the announcement that an operation has made, if it has."""
    return (await session.scalars(select(Announcement).where(Announcement.operation == operation))).one_or_none()


async def announce(
    session: AsyncSession, text: str, audience: Audience, *, operation: str, actor: int, now: datetime
) -> Announcement:
    """Begin to send a text (HTML parse mode) to an audience; the same operation again returns the first one."""
    row = await by_operation(session, operation)
    if row is None:
        expected = await count(session, audience)
        row = Announcement(
            operation=operation, text=text, audience=audience, created_at=now, created_by=actor, expected=expected
        )
        session.add(row)
        await session.flush()
        audit.record(
            session, "announce", actor=actor, now=now, announcement=row.id, audience=audience.value, customers=expected
        )
    return row


async def get(session: AsyncSession, announcement_id: int) -> Announcement:
    """Return an announcement.

    Raises:
        NotFound: there is none with this id.
    """
    row = await session.get(Announcement, announcement_id)
    if row is None:
        raise NotFound("announcement", announcement_id)
    return row


async def latest(session: AsyncSession, limit: int) -> Sequence[Announcement]:
    """Return the newest announcements."""
    return (await session.scalars(select(Announcement).order_by(Announcement.id.desc()).limit(limit))).all()


async def progress(session: AsyncSession, announcement_id: int) -> Progress:
    """Return how far an announcement has come.

    Raises:
        NotFound: there is none with this id.
    """
    row = await get(session, announcement_id)
    by_status = await _statuses(session, row)
    sent, waiting = by_status.get(NoticeStatus.SENT, 0), by_status.get(NoticeStatus.WAITING, 0)
    written = sum(by_status.values())
    if row.written_at is None:
        waiting += max(row.expected - written, 0)
    return Progress(row, sent, sum(by_status.values()) - by_status.get(NoticeStatus.WAITING, 0) - sent, waiting)


async def unreached(
    session: AsyncSession, announcement_id: int, *, offset: int, limit: int
) -> Sequence[tuple[Customer, Notice]]:
    """Return who an announcement did not reach, with the message that says why."""
    rows = await session.execute(
        select(Customer, Notice)
        .join(Notice, Notice.customer_id == Customer.id)
        .where(
            Notice.announcement_id == announcement_id,
            Notice.status.not_in((NoticeStatus.WAITING, NoticeStatus.SENT)),
        )
        .order_by(Notice.id)
        .offset(offset)
        .limit(limit)
    )
    return [(customer, notice) for customer, notice in rows]


async def step(database: Database, *, now: datetime) -> bool:
    """Write the next messages of what is being announced; return whether any were written."""
    async with database.read() as session:
        row = await session.scalar(select(Announcement.id).where(Announcement.done_at.is_(None)).limit(1))
    if row is None:
        return False
    async with database.transaction() as session:
        return await _step(session, now)


async def _step(session: AsyncSession, now: datetime) -> bool:
    # Locked: two processes must not write the same portion. SQLite has one writer anyway.
    row = await session.scalar(
        select(Announcement)
        .where(Announcement.done_at.is_(None))
        .order_by(Announcement.id)
        .limit(1)
        .with_for_update(skip_locked=True)
    )
    if row is None or (await _statuses(session, row)).get(NoticeStatus.WAITING, 0) >= _PORTION:
        return False
    if row.written_at is None:
        return await _write(session, row, now)
    await _conclude(session, row, now)
    return False


async def _write(session: AsyncSession, row: Announcement, now: datetime) -> bool:
    portion = (
        select(Customer.id, Customer.telegram_id)
        .where(*_in(row.audience), Customer.id > row.written_until)
        .order_by(Customer.id)
        .limit(_PORTION)
    )
    last = await session.scalar(select(func.max(portion.subquery().c.id)))
    if last is None:
        row.written_at = now
        return True
    await session.execute(_notices(session, row, portion, now))
    row.written_until = last
    return True


def _notices(session: AsyncSession, row: Announcement, portion: Select[int, int], now: datetime) -> sa.Executable:
    """Return one statement that writes the messages of a portion."""
    to = portion.subquery()
    names, values = sql.columns(
        {
            "announcement_id": sa.literal(row.id),
            "customer_id": to.c.id,
            "recipient": to.c.telegram_id,
            "channel": sa.literal(Channel.CHAT.value),
            "kind": sa.literal(KIND),
            "data": sql.json_object({"announcement_id": sql.number(row.id)}),
            "dedup": sa.literal(f"announcement:{row.id}:") + sa.cast(to.c.id, sa.String()),
            "created_at": sa.literal(now, Instant()),
            "send_at": sa.literal(now, Instant()),
            "status": sa.literal(NoticeStatus.WAITING.value),
            "attempts": sa.literal(0),
            "error": sa.literal(""),
        }
    )
    return sql.inserting(session, Notice).from_select(names, select(*values).select_from(to), include_defaults=False)


async def _conclude(session: AsyncSession, row: Announcement, now: datetime) -> None:
    """Tell the author what came of it, once no message waits any more."""
    found = await progress(session, row.id)
    if found.waiting:
        return
    row.done_at = now
    author = await session.scalar(select(Customer).where(Customer.telegram_id == row.created_by))
    if author is not None:
        facts = {"announcement_id": row.id, "sent": found.sent, "unreached": found.unreached}
        await outbox.tell(session, author, "announcement_done", facts, now=now, dedup=f"announcement:{row.id}:done")


async def _statuses(session: AsyncSession, row: Announcement) -> Mapping[NoticeStatus, int]:
    rows = await session.execute(
        select(Notice.status, func.count()).where(Notice.announcement_id == row.id).group_by(Notice.status)
    )
    return {status: count for status, count in rows}  # noqa: C416 a Row is no tuple to mypy


def _in(audience: Audience) -> Sequence[ColumnElement[bool]]:
    """Return the conditions on customers; who closed their account is in none."""
    there = Customer.closed_at.is_(None)
    match audience:
        case Audience.ALL:
            return (there,)
        case Audience.MACHINES:
            return there, exists().where(Subscription.customer_id == Customer.id, Subscription.ended_at.is_(None))
        case Audience.DEBT:
            owed = exists().where(
                Account.customer_id == Customer.id, Account.kind == AccountKind.RECEIVABLE, Account.posted > 0
            )
            return there, owed
