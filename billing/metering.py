"""Intervals -> hours -> cost: the pure core, and the set-based writer of the usage table (rules.md 4)."""

from collections.abc import Awaitable, Callable, Iterable
from datetime import datetime
from typing import Any, Protocol

import sqlalchemy as sa
from sqlalchemy import ColumnElement, Select, func, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import InstrumentedAttribute, aliased

from billing import accounts
from billing.chunks import Bounds, Chunk
from billing.clock import Month
from billing.db import Database
from billing.models import Instant, Interval, MonthNumber, Subscription, Usage, Watermark
from billing.money import Currency
from billing.sql import Whole, greatest, inserting, least, number, rounded, whole

CAP_HOURS = 672
"""28 days: so many hours cost the whole monthly price (rules.md 4.3)."""

_HOUR = 3600
_ROWS = Bounds(first=5_000, least=1_000, most=50_000)
"""Intervals that one transaction meters, roughly, since customers are not split: a chat that waits for SQLite's writer
waits well under 100 ms."""
_WATERMARK = "meter"
_USAGE_KEY = ("month", "customer_id", "subscription_id")
_RUNS = Interval.ended_at.is_(None)


class Span(Protocol):
    """What the core needs of an interval."""

    @property
    def billed_from(self) -> datetime:
        """Start of the first billed hour."""

    @property
    def ended_at(self) -> datetime | None:
        """End, none while it runs."""


# --- the pure core


def started_hours(billed_from: datetime, until: datetime) -> int:
    """Return how many hours counted from `billed_from` have started before `until`."""
    seconds = int((until - billed_from).total_seconds())
    return -(-max(seconds, 0) // _HOUR)


def hours_in(intervals: Iterable[Span], month: Month, until: datetime) -> int:
    """Return the hours of a month that started in the intervals before `until` (rules.md 4.2)."""
    return sum(hours_of(interval, month, until) for interval in intervals)


def hours_of(interval: Span, month: Month, until: datetime) -> int:
    """Return the hours of a month that started in one interval before `until`."""
    stop = min(until, month.end, interval.ended_at or until)
    before = started_hours(interval.billed_from, month.start)
    return max(started_hours(interval.billed_from, stop) - before, 0)


def cost(monthly: int, hours: int, currency: Currency) -> int:
    """Return what hours of one month cost, in minor units, at a monthly price (rules.md 4.3).

    A 672nd of the price an hour, at most the price, rounded once half up, at least the smallest step.
    """
    if hours <= 0:
        return 0
    return max(currency.step, currency.round_half_up(monthly * min(hours, CAP_HOURS), CAP_HOURS))


# --- the same in SQL


def cost_sql(monthly: Whole, hours: Whole, currency: Currency) -> ColumnElement[int]:
    """Return `cost` as SQL, for hours above zero."""
    counted = least(whole(hours), number(CAP_HOURS))
    return greatest(rounded(whole(monthly) * counted, CAP_HOURS, currency.step), number(currency.step))


def hours_sql(month: Month, until: datetime, interval: type[Interval] = Interval) -> ColumnElement[int]:
    """Return `hours_of` an interval row as SQL; the row must end after the month's start."""
    start, stop = _seconds(month.start), _seconds(min(until, month.end))
    last = least(func.coalesce(whole(interval.ended_at), stop), stop)
    return _started_sql(interval, last) - _started_sql(interval, start)


def total_hours_sql(month: Month, until: datetime, interval: type[Interval] = Interval) -> ColumnElement[int]:
    """Return `hours_in` over a group of interval rows as SQL."""
    return sa.cast(func.sum(hours_sql(month, until, interval)), sa.BigInteger())


def overlapping(month: Month, until: datetime, interval: type[Interval] = Interval) -> ColumnElement[bool]:
    """Return the condition that an interval row may have hours in a month before `until`."""
    return sa.and_(
        sa.or_(interval.ended_at.is_(None), interval.ended_at > month.start),
        interval.started_at < min(until, month.end),
    )


def _started_sql(interval: type[Interval], until: ColumnElement[int]) -> ColumnElement[int]:
    """Return `started_hours` of an interval row as SQL."""
    seconds = greatest(until - whole(interval.billed_from), number(0))
    return (seconds + number(_HOUR - 1)) // number(_HOUR)


def _seconds(instant: datetime) -> ColumnElement[int]:
    # A parameter: an instant written into the statement would make a new one to compile, and keep, each time.
    return sa.literal(int(instant.timestamp()), sa.BigInteger())


# --- the writer


async def meter_running(session: AsyncSession, month: Month, until: datetime, chosen: ColumnElement[bool]) -> None:
    """Bring the usage rows of chosen running intervals in one month up to `until`, in one statement.

    Only an interval that started inside the month can have others of its subscription before it there. One whose
    first hour has not begun adds nothing to what those have.
    """
    until = min(until, month.end)
    other = aliased(Interval)
    before = (
        select(func.coalesce(total_hours_sql(month, until, other), 0))
        .where(other.subscription_id == Interval.subscription_id, other.ended_at > month.start)
        .correlate(Interval)
        .scalar_subquery()
    )
    began_inside = Interval.started_at > month.start
    hours = hours_sql(month, until) + sa.case((began_inside, sa.type_coerce(before, sa.BigInteger())), else_=number(0))
    # In the order of the table that is written: each of its pages is visited once.
    rows = (
        _usage_rows(month, until, hours)
        .where(_RUNS, chosen, Interval.billed_from < until)
        .order_by(Interval.customer_id, Interval.subscription_id)
    )
    await _write(session, rows)


async def meter_ended(session: AsyncSession, month: Month, until: datetime, chosen: Select[int]) -> None:
    """Bring the usage rows of chosen subscriptions in one month up to `until`, in one statement."""
    until = min(until, month.end)
    hours = total_hours_sql(month, until)
    rows = (
        _usage_rows(month, until, hours)
        .where(Interval.subscription_id.in_(chosen), overlapping(month, until))
        .group_by(Interval.subscription_id, Interval.customer_id)
        .having(hours > 0)
    )
    await _write(session, rows)


def _usage_rows(month: Month, until: datetime, hours: ColumnElement[int]) -> Select[*tuple[Any, ...]]:
    return select(
        sa.literal(month, MonthNumber()),
        Interval.customer_id,
        Interval.subscription_id,
        hours,
        sa.literal(until, Instant()),
        sa.false(),
    )


async def _write(session: AsyncSession, rows: Select[*tuple[Any, ...]]) -> None:
    """Upsert usage rows.

    A row whose hours are right already is not written; one that somebody metered further is left alone, so that two
    runs at once give the later one's result.
    """
    names = [*_USAGE_KEY, "hours", "metered_until", "late"]
    insert = inserting(session, Usage).from_select(names, rows, include_defaults=False)
    new = insert.excluded
    await session.execute(
        insert.on_conflict_do_update(
            index_elements=_USAGE_KEY,
            set_={"hours": new.hours, "metered_until": new.metered_until},
            where=sa.and_(Usage.hours != new.hours, Usage.metered_until <= new.metered_until),
        )
    )


async def refresh(session: AsyncSession, subscription: Subscription, *, since: datetime) -> None:
    """Correct what was metered already of one subscription whose intervals changed from `since` on.

    Rows of months that were metered to their end are marked late: the next invoice takes what this one missed
    (rules.md 5.1).
    """
    until = await metered_until(session)
    if until is None or until <= since:
        return
    if since < Month.of(until).start:
        await accounts.lock(session, subscription.customer_id)
    spans = (await session.scalars(select(Interval).where(Interval.subscription_id == subscription.id))).all()
    month = Month.of(since)
    while month.start < until:
        await _correct(session, subscription, month, until, hours_in(spans, month, until))
        month = month.next()


async def _correct(
    session: AsyncSession, subscription: Subscription, month: Month, until: datetime, hours: int
) -> None:
    row = await session.get(Usage, (month, subscription.customer_id, subscription.id), populate_existing=True)
    if row is None:
        if not hours:
            return
        row = Usage(subscription_id=subscription.id, month=month, customer_id=subscription.customer_id, hours=0)
        session.add(row)
    if row.hours != hours:
        row.hours, row.metered_until = hours, min(until, month.end)
        row.late = month.end <= until
    await session.flush()


async def metered_until(session: AsyncSession) -> datetime | None:
    """Return the instant up to which every subscription is metered; none before the first run."""
    return await session.scalar(select(Watermark.until).where(Watermark.name == _WATERMARK))


# --- the job


async def catch_up(database: Database, *, now: datetime) -> None:
    """Meter every month since the last run up to `now`, in chunks, each one transaction (rules.md 4.4).

    May run late, twice, or in two processes at once; a run that died is simply run again. A clock that went back
    changes nothing.
    """
    async with database.read() as session:
        since = await metered_until(session) or await session.scalar(select(func.min(Interval.started_at)))
    if since is None or now < since:
        return
    month = Month.of(since)
    while month.start < now:
        await meter_month(database, month, now)
        month = month.next()
    async with database.transaction() as session:
        insert = inserting(session, Watermark).values(name=_WATERMARK, until=now)
        await session.execute(
            insert.on_conflict_do_update(
                index_elements=["name"], set_={"until": now}, where=Watermark.until < insert.excluded.until
            )
        )


async def meter_month(database: Database, month: Month, until: datetime) -> None:
    """Meter one month: what runs in chunks of customers, what ended since its start in chunks of time."""

    async def write_running(session: AsyncSession, chunk: ColumnElement[bool]) -> None:
        await meter_running(session, month, until, chunk)

    async def write_ended(session: AsyncSession, chunk: ColumnElement[bool]) -> None:
        await meter_ended(session, month, until, select(Interval.subscription_id).where(chunk))

    await _in_chunks(database, _RUNS, Interval.customer_id, write_running)
    await _in_chunks(database, Interval.ended_at > month.start, Interval.ended_at, write_ended)


async def _in_chunks(
    database: Database,
    condition: ColumnElement[bool],
    key: InstrumentedAttribute[Any],
    write: Callable[[AsyncSession, ColumnElement[bool]], Awaitable[None]],
) -> None:
    """Part the intervals that meet a condition by a key, and write each chunk in a transaction of its own."""
    rest = condition
    chunk = Chunk(database, _ROWS)
    while True:
        async with chunk.transaction() as session:
            high = await session.scalar(select(key).where(rest).order_by(key).offset(chunk.size - 1).limit(1))
            await write(session, rest if high is None else sa.and_(rest, key <= high))
        if high is None:
            return
        rest = sa.and_(condition, key > high)
