"""What the cloud has lately had no room for: told on the price list before somebody orders it in vain.

No cloud says beforehand how much room it has; it says no to an order. That holds until an order of the same goes
through, and no longer than a while: so nothing is refused for it, the next who wants it finds out.
"""

from collections.abc import Collection
from datetime import datetime, timedelta

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from billing.models import Channel, Kind, Notice
from cloud.models import Deployment, State

Sort = tuple[Kind, str]
"""A kind and a size."""

SOLD_OUT = "sold_out"
"""Why a deployment failed, as its notice says."""
_HOLDS = timedelta(minutes=30)
_LOOKED_AT = 50
"""Failures; more in half an hour say nothing else."""


async def lately(session: AsyncSession, now: datetime) -> frozenset[Sort]:
    """Return what there was no room for at the last try."""
    newest = select(Deployment).where(Deployment.state == State.FAILED).order_by(Deployment.id.desc())
    failed = [
        row
        for row in await session.scalars(newest.limit(_LOOKED_AT))
        if row.ended_at is not None and row.ended_at > now - _HOLDS
    ]
    if not failed:
        return frozenset()
    told = select(Notice).where(Notice.dedup.in_([_told(row) for row in failed]))
    full = {notice.dedup for notice in await session.scalars(told) if notice.data["why"] == SOLD_OUT}
    lacking = [row for row in failed if _told(row) in full]
    return frozenset(
        [sort for row in lacking if not await _made_since(session, row) for sort in _meant(row.kind, row.size)]
    )


def _told(row: Deployment) -> str:
    return f"deployment:{row.id}:deployment_failed:{Channel.CHAT.value}"


async def _made_since(session: AsyncSession, row: Deployment) -> bool:
    later = select(Deployment.id).where(
        Deployment.id > row.id,
        Deployment.kind == row.kind,
        Deployment.size == row.size,
        Deployment.ready_at.is_not(None),
    )
    return await session.scalar(later.limit(1)) is not None


def _meant(kind: Kind, size: str) -> Collection[Sort]:
    """Where one machine has no room a cluster of such has none; where a cluster has none, one machine may."""
    return [(Kind.VM, size), (Kind.K8S, size)] if kind is Kind.VM else [(Kind.K8S, size)]
