"""What is charged: an item at its quoted price, and the times in which it ran (rules.md 3.4, 4.1, 4.2)."""

from datetime import datetime

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from billing import metering
from billing.clock import HOUR
from billing.errors import Conflict
from billing.models import Interval, Quote, Subscription


async def create(session: AsyncSession, quote: Quote, *, now: datetime) -> Subscription:
    """Return the subscription of a quote, made if this is the first time; nothing runs or is billed yet."""
    found = (await session.scalars(select(Subscription).where(Subscription.quote_id == quote.id))).one_or_none()
    if found is not None:
        return found
    subscription = Subscription(
        customer_id=quote.customer_id,
        quote_id=quote.id,
        name=quote.name,
        item=quote.item,
        workers=quote.workers,
        monthly=quote.monthly,
        created_at=now,
    )
    session.add(subscription)
    await session.flush()
    return subscription


async def start(session: AsyncSession, subscription: Subscription, *, now: datetime) -> Interval:
    """Open the running interval, or return the one that is open.

    An interval that opens inside an hour already billed counts from that hour's end (rules.md 4.2).

    Raises:
        Conflict: the subscription has ended.
    """
    await _hold(session, subscription)
    if subscription.ended_at is not None:
        raise Conflict(f"subscription {subscription.id} has ended")
    last = await _last(session, subscription.id)
    if last is not None and last.ended_at is None:
        return last
    billed_from = now if last is None else max(now, billed_until(last))
    interval = Interval(
        subscription_id=subscription.id, customer_id=subscription.customer_id, started_at=now, billed_from=billed_from
    )
    session.add(interval)
    await session.flush()
    await metering.refresh(session, subscription, since=now)
    return interval


async def stop(session: AsyncSession, subscription: Subscription, *, at: datetime) -> None:
    """Close the running interval, if there is one; never before it started.

    `at` may lie in the past, for a machine that vanished and was last seen then (rules.md 3.8).
    """
    await _hold(session, subscription)
    last = await _last(session, subscription.id)
    if last is None or last.ended_at is not None:
        return
    last.ended_at = max(at, last.started_at)
    await session.flush()
    await metering.refresh(session, subscription, since=last.ended_at)


async def end(session: AsyncSession, subscription: Subscription, *, at: datetime) -> None:
    """End a subscription for good: deletion was asked for, or it never started. Ending it again changes nothing."""
    await stop(session, subscription, at=at)
    if subscription.ended_at is None:
        subscription.ended_at = max(at, subscription.created_at)
        await session.flush()


async def is_running(session: AsyncSession, subscription_id: int) -> bool:
    """Return whether hours are being counted now."""
    last = await _last(session, subscription_id)
    return last is not None and last.ended_at is None


async def live(session: AsyncSession, customer_id: int) -> list[Subscription]:
    """Return a customer's subscriptions that have not ended, oldest first; suspended ones and those to come too."""
    rows = await session.scalars(
        select(Subscription)
        .where(Subscription.customer_id == customer_id, Subscription.ended_at.is_(None))
        .order_by(Subscription.id)
    )
    return list(rows)


def billed_until(interval: Interval) -> datetime:
    """Return the end of the last hour that a closed interval has billed (rules.md 4.2).

    Raises:
        ValueError: the interval is still open.
    """
    if interval.ended_at is None:
        raise ValueError(f"interval {interval.id} is open")
    return interval.billed_from + metering.started_hours(interval.billed_from, interval.ended_at) * HOUR


async def _hold(session: AsyncSession, subscription: Subscription) -> None:
    """Hold the row against others who start and stop it, but not against rows that refer to it."""
    await session.refresh(subscription, with_for_update={"key_share": True})


async def _last(session: AsyncSession, subscription_id: int) -> Interval | None:
    rows = await session.scalars(
        select(Interval).where(Interval.subscription_id == subscription_id).order_by(Interval.id.desc()).limit(1)
    )
    return rows.one_or_none()
