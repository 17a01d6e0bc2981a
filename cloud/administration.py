"""What administrators do to customers' deployments: with a trail, and told to the customer (B7, C10)."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncSession

from billing import accounts, audit, outbox
from billing.errors import Conflict
from billing.models import Customer
from cloud import deployments, records
from cloud.models import ACTIVE, Deployment, State


async def delete(session: AsyncSession, deployment_id: int, *, actor: int, now: datetime) -> Deployment:
    """Ask for the deletion of anybody's deployment; asking again changes nothing.

    Raises:
        NotFound: there is none with this id.
    """
    customer = await accounts.lock(session, (await deployments.find(session, deployment_id)).customer_id)
    row = await session.get_one(Deployment, deployment_id, populate_existing=True)
    alive = row.state in {*ACTIVE, State.FAILED}
    row = await deployments.delete(session, customer, deployment_id, now=now)
    if alive:
        await _told(session, customer, [row], actor, now)
    return row


async def delete_all(session: AsyncSession, customer_id: int, *, actor: int, now: datetime) -> Sequence[Deployment]:
    """Ask for the deletion of everything that a customer has; return what was not being deleted already.

    Raises:
        NotFound: there is no such customer.
    """
    customer = await accounts.get(session, customer_id)
    gone = await deployments.delete_all(session, customer, now=now)
    if gone:
        await _told(session, customer, gone, actor, now)
    return gone


async def removed_by_hand(session: AsyncSession, deployment_id: int, *, actor: int, now: datetime) -> Deployment:
    """Take an administrator's word that nothing is left of what another system made; again it changes nothing.

    Raises:
        Conflict: nobody asked for its deletion, or a driver looks after it.
        NotFound: there is none with this id.
    """
    customer = await accounts.lock(session, (await deployments.find(session, deployment_id)).customer_id)
    row = await session.get_one(Deployment, deployment_id, populate_existing=True)
    if not row.by_hand or row.state not in {State.DELETING, State.DELETED}:
        raise Conflict(f"deployment {row.id} is {row.state}, by hand: {row.by_hand}")
    if row.state is State.DELETING:
        records.removed(row, now)
        audit.record(session, "removed_by_hand", actor=actor, now=now, customer_id=customer.id, names=[row.name])
        await session.flush()
    return row


async def _told(
    session: AsyncSession, customer: Customer, rows: Sequence[Deployment], actor: int, now: datetime
) -> None:
    names = [row.name for row in rows]
    audit.record(session, "delete_deployments", actor=actor, now=now, customer_id=customer.id, names=names)
    dedup = f"deployment:{rows[0].id}:deleted_by_house"
    await outbox.tell(session, customer, "deleted_by_house", {"names": names}, now=now, dedup=dedup, mail=True)
