"""Machines that are off for debt, and their way back (rules.md 4.1, 9.5, C17)."""

from collections.abc import Sequence
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy import ColumnElement, select
from sqlalchemy.ext.asyncio import AsyncSession

from billing import subscriptions
from billing.models import Customer, Subscription
from cloud.deployments import wake
from cloud.models import Deployment, PowerWish, State

# SQLite takes a partial index only for a condition that reads like its own, without a parameter.
_IS_SUSPENDED = sa.text("deployments.power = 'suspended'")


async def suspend(session: AsyncSession, customer: Customer, *, now: datetime) -> list[Deployment]:
    """Power off whatever runs, and bill it no longer; return what was switched off. Under the customer's lock.

    What people look after runs on, and is billed: nobody here can switch it.
    """
    ours = Deployment.adopted_at.is_(None)
    rows = await _held(session, customer, Deployment.power != PowerWish.SUSPENDED, ours)
    for row in rows:
        row.power_before, row.power = row.power, PowerWish.SUSPENDED
        wake(row, now)
        await subscriptions.stop(session, await _subscription(session, row), at=now)
    await session.flush()
    return list(rows)


async def resume(session: AsyncSession, customer: Customer, *, now: datetime) -> list[Deployment]:
    """Bring back what was powered off for debt, as it was before; return it. Under the customer's lock."""
    rows = await _held(session, customer, Deployment.power == PowerWish.SUSPENDED)
    for row in rows:
        row.power, row.power_before = row.power_before or PowerWish.ON, None
        wake(row, now)
        await subscriptions.start(session, await _subscription(session, row), now=now)
    await session.flush()
    return list(rows)


async def suspended_customers(session: AsyncSession) -> Sequence[int]:
    """Return the ids of customers who have machines that are off for debt."""
    query = select(Deployment.customer_id).where(_IS_SUSPENDED, Deployment.state == State.SUCCESS)
    return (await session.scalars(query.distinct().order_by(Deployment.customer_id))).all()


async def _held(session: AsyncSession, customer: Customer, *conditions: ColumnElement[bool]) -> Sequence[Deployment]:
    """Return running deployments, held against the worker that looks after them."""
    return (
        await session.scalars(
            select(Deployment)
            .where(Deployment.customer_id == customer.id, Deployment.state == State.SUCCESS, *conditions)
            .order_by(Deployment.id)
            .with_for_update()
            .execution_options(populate_existing=True)
        )
    ).all()


async def _subscription(session: AsyncSession, row: Deployment) -> Subscription:
    return (await session.scalars(select(Subscription).where(Subscription.id == row.subscription_id))).one()
