"""What became of a deployment, written down with what follows from it: billing, messages, the next look."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncSession

from billing import accounts, outbox, subscriptions
from billing.models import Subscription
from cloud import sold_out
from cloud.cloud_init import USER
from cloud.machines import Sight
from cloud.models import Deployment, Node, Role, State
from cloud.sizes import SIZES

_DETAIL = 200
_FIRST_WAIT, _LONGEST_WAIT = 5, 60
"""Seconds until the cloud is asked again."""
_TROUBLE_AFTER = 5
"""So many tries in vain, over a minute, are told to the house."""

TROUBLE = "The cloud has trouble at the moment; this is tried again by itself."
BY_HAND = "It is removed by hand, and is not billed any more."
VANISHED = "The machine is gone from the cloud, without anybody having asked for it."


class Why(StrEnum):
    """Why a deployment failed."""

    REFUSED = "refused"
    SOLD_OUT = sold_out.SOLD_OUT
    TOO_LATE = "too_late"


async def ready(session: AsyncSession, row: Deployment, now: datetime) -> None:
    """Everything of it runs: billing starts, and the customer gets what is needed to log in (rules.md 4.1, B4)."""
    row.state, row.ready_at, row.detail = State.SUCCESS, now, ""
    _rest(row)
    await subscriptions.start(session, await _subscription(session, row), now=now)
    nodes = (await session.scalars(select(Node).where(Node.deployment_id == row.id).order_by(Node.id))).all()
    login = next(node for node in nodes if node.role is not Role.WORKER)
    data = {
        "user": USER,
        "host": login.host,
        "port": login.port,
        "host_key_fingerprint": login.host_key_fingerprint,
        "nodes": [{"role": node.role.value, "host": node.host, "private_ip": node.private_ip} for node in nodes],
    }
    await _tell(session, row, "deployment_ready", data, now)


async def failed(session: AsyncSession, row: Deployment, why: Why, reason: str, now: datetime) -> None:
    """It will not come: never billed, its remains removed, customer and house told why (rules.md 3.8)."""
    row.state, row.ended_at, row.detail = State.FAILED, now, reason[:_DETAIL]
    row.reconcile_at, row.attempts = now, 0
    await subscriptions.end(session, await _subscription(session, row), at=now)
    gone = await sold_out.lately(session, now) if why is Why.SOLD_OUT else ()
    others = [size for size in SIZES if size != row.size and (row.kind, size) not in gone]
    data = {"why": why.value, "reason": row.detail, "other_sizes": others if why is Why.SOLD_OUT else []}
    await _tell(session, row, "deployment_failed", data, now)
    await _tell_house(session, row, "house_deployment_failed", data, now)


async def vanished(session: AsyncSession, row: Deployment, last_seen: datetime, now: datetime) -> None:
    """Its machine is gone: billed until it was last seen, what is left is removed, all are told (rules.md 3.8)."""
    row.state, row.delete_asked_at, row.detail = State.DELETING, now, VANISHED
    row.reconcile_at, row.attempts = now, 0
    await subscriptions.end(session, await _subscription(session, row), at=last_seen)
    data = {"last_seen": last_seen.isoformat()}
    await _tell(session, row, "deployment_vanished", data, now, mail=True)
    await _tell_house(session, row, "house_deployment_vanished", data, now)


async def leave_to_people(session: AsyncSession, row: Deployment, now: datetime) -> None:
    """Ask the administrators to remove what another system made; it is `deleting` until one of them says it is gone."""
    row.detail = BY_HAND
    nodes = await session.scalars(select(Node).where(Node.deployment_id == row.id).order_by(Node.id))
    data = {"machines": [{"machine": node.machine, "host": node.host} for node in nodes]}
    await _tell_house(session, row, "house_remove_by_hand", data, now)


def removed(row: Deployment, now: datetime) -> None:
    """Nothing of it is left in the cloud."""
    if row.state is State.DELETING:
        row.state, row.ended_at, row.detail = State.DELETED, now, ""
    row.cleaned_at = now
    _rest(row)


def waiting(row: Deployment, detail: str, now: datetime) -> None:
    """Something is under way: looked at again at the next tick."""
    row.detail, row.reconcile_at, row.attempts = detail[:_DETAIL], now, 0


def done(row: Deployment, detail: str = "") -> None:
    """It is as wished, or as near to it as it gets by itself."""
    row.detail = detail[:_DETAIL]
    _rest(row)


async def again(session: AsyncSession, row: Deployment, reason: str, now: datetime) -> None:
    """The cloud could not do it now: tried again after a growing wait; the house is told when it lasts."""
    row.attempts += 1
    wait = min(_FIRST_WAIT * 2 ** (row.attempts - 1), _LONGEST_WAIT)
    row.reconcile_at = now + timedelta(seconds=wait)
    row.detail = (reason or TROUBLE)[:_DETAIL]
    if row.attempts == _TROUBLE_AFTER:
        dedup = f"deployment:{row.id}:trouble:{now:%Y-%m-%d}"
        await _tell_house(session, row, "house_cloud_trouble", {"reason": row.detail}, now, dedup=dedup)


async def seen(session: AsyncSession, sights: Sequence[Sight], now: datetime) -> None:
    """Write down where machines can be reached, and which of them are ready."""
    for sight in sights:
        values: dict[str, Any] = {"seen_at": now} if sight.ready and sight.machine else {}
        if sight.machine is not None and sight.machine.host:
            machine = sight.machine
            values |= {"host": machine.host, "port": machine.port, "private_ip": machine.private_ip}
        if values:
            await session.execute(update(Node).where(Node.id == sight.node_id).values(values))


async def _subscription(session: AsyncSession, row: Deployment) -> Subscription:
    return (await session.scalars(select(Subscription).where(Subscription.id == row.subscription_id))).one()


def _rest(row: Deployment) -> None:
    """Leave it alone until somebody wishes something."""
    row.reconcile_at, row.attempts = None, 0


def _facts(row: Deployment) -> dict[str, Any]:
    return {"deployment_id": row.id, "name": row.name, "kind": row.kind.value, "item": row.item, "workers": row.workers}


async def _tell(
    session: AsyncSession, row: Deployment, kind: str, data: dict[str, Any], now: datetime, *, mail: bool = False
) -> None:
    customer = await accounts.get(session, row.customer_id)
    dedup = f"deployment:{row.id}:{kind}"
    await outbox.tell(session, customer, kind, _facts(row) | data, now=now, dedup=dedup, mail=mail)


async def _tell_house(
    session: AsyncSession, row: Deployment, kind: str, data: dict[str, Any], now: datetime, *, dedup: str = ""
) -> None:
    dedup = dedup or f"deployment:{row.id}:{kind}"
    await outbox.tell_house(session, kind, _facts(row) | data, now=now, dedup=dedup, customer_id=row.customer_id)
