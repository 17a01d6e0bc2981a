"""The rows of the outbox as those who deliver see them: taken by leases, in order per chat, written down as done."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import sqlalchemy as sa
from sqlalchemy import ColumnElement, exists, or_, select, update
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import aliased

from billing import leases, outbox
from billing.models import Administrator, Channel, Customer, Notice, NoticeStatus

LEASE = timedelta(minutes=2)
"""How long a process that died on another machine keeps a notice from being sent."""
_GIVE_UP_AFTER = timedelta(days=3)
_LEAST_TRIES = 12
"""A clock that jumps, or an outage of ours, makes a notice old before it was tried."""

_earlier = aliased(Notice, name="earlier")
# SQLite takes a partial index only for a condition that reads like its own, without a parameter.
_WAITS = sa.text("notices.status = 'waiting'")
_FOR_THE_HOUSE = sa.and_(_WAITS, Notice.channel == Channel.CHAT, Notice.recipient.is_(None))


@dataclass(frozen=True, slots=True)
class Fate:
    """What became of one try to deliver.

    Attributes:
        status: where the notice stands now.
        error: why it is not sent.
        after: seconds until the next try, when it still waits.
        counts: whether it was a try; waiting as Telegram asks is none.
    """

    status: NoticeStatus
    error: str = ""
    after: float = 0
    counts: bool = True


async def is_anything_due(session: AsyncSession, *, now: datetime) -> bool:
    """Return whether there may be something to take."""
    due = select(Notice.id).where(_WAITS, Notice.send_at <= now, _is_free(now)).limit(1)
    return await session.scalar(due) is not None


async def address(session: AsyncSession, first: Collection[int], *, now: datetime) -> None:
    """Make one notice per administrator of each that is for the house; `first` are those of the settings."""
    notices = (await session.scalars(select(Notice).where(_FOR_THE_HOUSE).order_by(Notice.id))).all()
    if not notices:
        return
    administrators = sorted({*first, *await session.scalars(select(Administrator.telegram_id))})
    for notice in notices:
        for telegram_id in administrators:
            await outbox.copy_to(session, notice, telegram_id)
        notice.status, notice.ended_at = NoticeStatus.SENT if administrators else NoticeStatus.PARKED, now
        notice.error = "" if administrators else "there is no administrator"


async def take(
    session: AsyncSession, channel: Channel, owner: str, *, now: datetime, besides: Collection[int], limit: int
) -> Sequence[Notice]:
    """Lease notices that are due and the first of their chat, longest waiting first.

    Only the first: whoever else delivers at the same time cannot take one that has another before it.
    """
    first = ~exists().where(
        sa.text("earlier.status = 'waiting'"), _earlier.recipient == Notice.recipient, _earlier.id < Notice.id
    )
    rows = (
        await session.scalars(
            select(Notice)
            .where(_WAITS, Notice.channel == channel, Notice.send_at <= now, _is_free(now), first)
            .where(Notice.id.not_in(besides))
            .order_by(Notice.send_at, Notice.id)
            .limit(limit)
            .with_for_update(skip_locked=True, of=Notice)
        )
    ).all()
    for row in rows:
        row.leased_until, row.leased_by = now + LEASE, owner
    await session.flush()
    return rows


async def record(session: AsyncSession, notice_id: int, owner: str, fate: Fate, *, now: datetime) -> None:
    """Write down what became of a notice, and what follows from it."""
    row = await session.get_one(Notice, notice_id, with_for_update=True, populate_existing=True)
    if row.status is not NoticeStatus.WAITING or row.leased_by != owner:
        return  # the lease ran out, and somebody else has it in hand or is done with it
    row.leased_until = row.leased_by = None
    row.attempts += fate.counts
    row.error, row.status = fate.error, fate.status
    if row.status is NoticeStatus.WAITING:
        row.send_at = now + timedelta(seconds=fate.after)
        if row.attempts >= _LEAST_TRIES and now - row.created_at > _GIVE_UP_AFTER:
            row.status = NoticeStatus.PARKED
    if row.status is not NoticeStatus.WAITING:
        row.ended_at = now
    if row.status is NoticeStatus.REFUSED and row.channel is Channel.CHAT:
        await _unreachable(session, row, now)
    if row.status is NoticeStatus.PARKED and row.kind != "notice_parked":
        facts = {"notice": row.id, "kind": row.kind, "error": row.error}
        await outbox.tell_house(session, "notice_parked", facts, now=now, dedup=f"notice:{row.id}:parked")


async def give_back(session: AsyncSession, owner: str) -> None:
    """Let go of everything that a deliverer has: it stops, or it is dead."""
    await session.execute(
        update(Notice).where(_WAITS, Notice.leased_by == owner).values(leased_until=None, leased_by=None)
    )


async def free_the_dead(session: AsyncSession) -> None:
    """Give back what processes of this machine held that are gone."""
    owners = await session.scalars(select(Notice.leased_by).where(_WAITS, Notice.leased_by.is_not(None)).distinct())
    for owner in owners.all():
        if owner is not None and leases.is_dead(owner):
            await give_back(session, owner)


def _is_free(now: datetime) -> ColumnElement[bool]:
    """Nobody holds it, or the lease has run out, or it was given by a clock that has been set back since."""
    return or_(Notice.leased_until.is_(None), Notice.leased_until <= now, Notice.leased_until > now + LEASE)


async def _unreachable(session: AsyncSession, notice: Notice, now: datetime) -> None:
    """Write down that the chat is closed to us, and fall back to mail where there is an address."""
    customer = await session.get(Customer, notice.customer_id) if notice.customer_id else None
    if customer is None or customer.telegram_id != notice.recipient:
        return
    customer.unreachable_at = customer.unreachable_at or now
    if customer.email:
        await outbox.by_mail_instead(session, notice)
