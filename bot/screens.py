"""Screens that several features and the notices show: loaded here, worded in the views."""

from datetime import datetime

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from billing import metering
from billing.clock import Month
from billing.models import Customer, Interval, Subscription
from billing.terms import Terms
from bot.context import Context
from bot.view import View
from bot.views import machines as views
from cloud import deployments
from cloud.cloud_init import USER
from cloud.models import Deployment


async def deployment(ctx: Context, deployment_id: int) -> View:
    """Return the screen of one of the acting customer's deployments.

    Raises:
        NotFound: there is none with this id, or it is another's.
    """
    async with ctx.database.read() as session:
        row = await deployments.get(session, ctx.customer, deployment_id)
        shown = await describe(session, row, now=ctx.now, terms=ctx.terms, real=ctx.services.real)
    return views.one(shown, ctx.terms.currency)


async def describe(session: AsyncSession, row: Deployment, *, now: datetime, terms: Terms, real: bool) -> views.Shown:
    """Return a deployment with all that its screen tells; costs are of this month, with tax."""
    subscription = await session.get_one(Subscription, row.subscription_id)
    intervals = (await session.scalars(select(Interval).where(Interval.subscription_id == row.subscription_id))).all()
    month = Month.of(now)
    so_far = metering.cost(subscription.monthly, metering.hours_in(intervals, month, now), terms.currency)
    at_end = metering.cost(subscription.monthly, metering.hours_in(intervals, month, month.end), terms.currency)
    return views.Shown(
        deployment=row,
        nodes=await deployments.nodes(session, row),
        monthly=subscription.monthly,
        so_far=terms.with_tax(so_far),
        projected=terms.with_tax(at_end),
        user=USER,
        real=real,
    )


async def deployment_for(
    session: AsyncSession, customer: Customer, deployment_id: int, *, now: datetime, terms: Terms, real: bool
) -> View:
    """Return the same screen for a message that is not an answer."""
    row = await deployments.get(session, customer, deployment_id)
    return views.one(await describe(session, row, now=now, terms=terms, real=real), terms.currency)
