"""The outbox as administrators see it: what was told to a customer, and what cannot be delivered (rules.md 11.2)."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import func, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from billing import audit
from billing.models import Notice, NoticeStatus


async def of_customer(session: AsyncSession, customer_id: int, *, offset: int, limit: int) -> Sequence[Notice]:
    """Return the messages about a customer, newest first."""
    told = select(Notice).where(Notice.customer_id == customer_id).order_by(Notice.id.desc())
    return (await session.scalars(told.offset(offset).limit(limit))).all()


async def parked(session: AsyncSession, *, limit: int) -> Sequence[Notice]:
    """Return the newest messages that cannot be delivered."""
    found = select(Notice).where(Notice.status == NoticeStatus.PARKED).order_by(Notice.id.desc()).limit(limit)
    return (await session.scalars(found)).all()


async def count_parked(session: AsyncSession) -> int:
    """Return how many messages cannot be delivered."""
    return await session.scalar(select(func.count()).where(Notice.status == NoticeStatus.PARKED)) or 0


async def try_again(session: AsyncSession, *, up_to: int, actor: int, now: datetime) -> int:
    """Have parked messages with ids up to this one delivered after all; return how many there were."""
    found = await session.scalars(
        update(Notice)
        .where(Notice.status == NoticeStatus.PARKED, Notice.id <= up_to)
        .values(status=NoticeStatus.WAITING, send_at=now, attempts=0, ended_at=None, leased_until=None, leased_by=None)
        .returning(Notice.id)
        .execution_options(synchronize_session=False)
    )
    again = len(found.all())
    if again:
        audit.record(session, "retry_messages", actor=actor, now=now, count=again)
    return again


async def give_up(session: AsyncSession, *, up_to: int, actor: int, now: datetime) -> int:
    """Leave parked messages with ids up to this one undelivered for good; return how many there were."""
    found = await session.scalars(
        update(Notice)
        .where(Notice.status == NoticeStatus.PARKED, Notice.id <= up_to)
        .values(status=NoticeStatus.REFUSED, ended_at=now)
        .returning(Notice.id)
        .execution_options(synchronize_session=False)
    )
    gone = len(found.all())
    if gone:
        audit.record(session, "drop_messages", actor=actor, now=now, count=gone)
    return gone
