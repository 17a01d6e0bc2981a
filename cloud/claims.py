"""Who looks after which deployment: leases on rows, so that many workers share the work and none is lost."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, or_, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from billing import accounts, leases
from cloud.models import Deployment, Node, PowerWish, SshKey, State

LEASE = timedelta(minutes=1)
"""A worker that died on another machine holds a deployment no longer; one at work renews it in time."""


@dataclass(frozen=True, slots=True)
class Work:
    """A deployment as it was when a worker took it, with all that is needed to act outside the database.

    Attributes:
        deployment: the row, no longer attached; `wish` says what it asked for.
        nodes: its machines, the one that people log in to first.
        keys: the customer's public key lines, oldest first.
    """

    deployment: Deployment
    nodes: tuple[Node, ...]
    keys: tuple[str, ...]

    @property
    def wish(self) -> tuple[State, PowerWish, bool]:
        """What was to be done; when the row says otherwise afterwards, it is looked at again."""
        return wish_of(self.deployment)


def wish_of(deployment: Deployment) -> tuple[State, PowerWish, bool]:
    """Return what a row asks for."""
    return deployment.state, deployment.power, deployment.reboot_wanted


async def claim(
    session: AsyncSession, owner: str, *, now: datetime, besides: Collection[int], limit: int
) -> list[Work]:
    """Take up to `limit` deployments that are due and that nobody looks after, longest waiting first.

    Args:
        session: a writing transaction, committed before anything is done.
        owner: the worker's name.
        now: the present instant.
        besides: ids that the worker has in hand or has looked at already.
        limit: how many.
    """
    rows = (
        await session.scalars(
            select(Deployment)
            .where(
                Deployment.reconcile_at.is_not(None),
                Deployment.reconcile_at <= now,
                _free(now),
                Deployment.id.not_in(besides),
            )
            .order_by(Deployment.reconcile_at, Deployment.id)
            .limit(limit)
            .with_for_update(skip_locked=True)
        )
    ).all()
    for row in rows:
        row.leased_by, row.leased_until = owner, now + LEASE
    await session.flush()
    return await _load(session, rows)


async def renew(session: AsyncSession, owner: str, ids: Collection[int], *, now: datetime) -> None:
    """Hold on to what this worker has in hand."""
    await session.execute(
        update(Deployment).where(Deployment.id.in_(ids), Deployment.leased_by == owner).values(leased_until=now + LEASE)
    )


async def give_back(session: AsyncSession, owner: str) -> None:
    """Let go of everything that this worker has: it stops, or it is dead."""
    await session.execute(
        update(Deployment)
        .where(Deployment.leased_by == owner, Deployment.reconcile_at.is_not(None))
        .values(leased_until=None, leased_by="")
    )


async def free_the_dead(session: AsyncSession) -> None:
    """Give back what workers of this machine held whose process is gone: no need to wait for their leases."""
    owners = await session.scalars(
        select(Deployment.leased_by)
        .where(Deployment.reconcile_at.is_not(None), Deployment.leased_until.is_not(None))
        .distinct()
    )
    for owner in owners.all():
        if leases.is_dead(owner):
            await give_back(session, owner)


async def hold(session: AsyncSession, work: Work, owner: str, *, now: datetime) -> Deployment | None:
    """Return the deployment's row to write a result into, locked; its lease ends with this transaction.

    The customer is locked first, as everywhere where money may follow. `None` when somebody else has taken it
    over since: what was done meanwhile is not known to them, so it is looked at again, and cleaned again if over.
    """
    await accounts.lock(session, work.deployment.customer_id)
    row = (
        await session.scalars(
            select(Deployment)
            .where(Deployment.id == work.deployment.id)
            .with_for_update()
            .execution_options(populate_existing=True)
        )
    ).one()
    if row.leased_by != owner:
        row.reconcile_at = now
        if row.state in {State.FAILED, State.DELETED}:
            row.cleaned_at = None
        return None
    row.leased_by, row.leased_until = "", None
    return row


def _free(now: datetime) -> ColumnElement[bool]:
    """Nobody holds it, or the lease has run out, or it was given by a clock that has been set back since."""
    return or_(Deployment.leased_until.is_(None), Deployment.leased_until <= now, Deployment.leased_until > now + LEASE)


async def _load(session: AsyncSession, rows: Sequence[Deployment]) -> list[Work]:
    ids = [row.id for row in rows]
    nodes = (await session.scalars(select(Node).where(Node.deployment_id.in_(ids)).order_by(Node.id))).all()
    customers = {row.customer_id for row in rows}
    keys = (await session.scalars(select(SshKey).where(SshKey.customer_id.in_(customers)).order_by(SshKey.id))).all()
    return [
        Work(
            row,
            tuple(node for node in nodes if node.deployment_id == row.id),
            tuple(key.public_key for key in keys if key.customer_id == row.customer_id),
        )
        for row in rows
    ]
