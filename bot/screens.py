"""Screens that several features and the notices show: loaded here, worded in the views."""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import bindparam, select
from sqlalchemy.ext.asyncio import AsyncSession

from billing import metering
from billing.clock import Month
from billing.models import Customer, Interval, Subscription
from billing.terms import Terms
from bot.context import Context
from bot.view import View
from bot.views import machines as views
from cloud import deployments, former
from cloud.cloud_init import USER
from cloud.models import Deployment

_RUNS = (
    select(Subscription.id, Subscription.monthly, Interval.billed_from, Interval.ended_at)
    .outerjoin(Interval, Interval.subscription_id == Subscription.id)
    .where(Subscription.id.in_(bindparam("bought", expanding=True)))
)


class _Span(NamedTuple):
    """A time in which something ran."""

    billed_from: datetime
    ended_at: datetime | None


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
    return (await describe_all(session, [row], now=now, terms=terms, real=real))[0]


async def describe_all(
    session: AsyncSession, rows: Sequence[Deployment], *, now: datetime, terms: Terms, real: bool
) -> list[views.Shown]:
    """Return deployments as `describe` does, in their order: two questions, however many there are."""
    bought = [row.subscription_id for row in rows]
    monthly: dict[int, int] = {}
    spans: dict[int, list[metering.Span]] = {number: [] for number in bought}
    for number, price, billed_from, ended_at in await session.execute(_RUNS, {"bought": bought}):
        monthly[number] = price
        if billed_from is not None:
            spans[number].append(_Span(billed_from, ended_at))
    nodes = await deployments.nodes_of(session, rows)
    month = Month.of(now)

    def cost(row: Deployment, until: datetime) -> int:
        hours = metering.hours_in(spans[row.subscription_id], month, until)
        return terms.with_tax(metering.cost(monthly[row.subscription_id], hours, terms.currency))

    return [
        views.Shown(
            deployment=row,
            nodes=nodes[row.id],
            monthly=monthly[row.subscription_id],
            so_far=cost(row, now),
            projected=cost(row, month.end),
            user=former.USER if row.by_hand else USER,
            real=real or row.by_hand,
        )
        for row in rows
    ]


async def deployment_for(
    session: AsyncSession, customer: Customer, deployment_id: int, *, now: datetime, terms: Terms, real: bool
) -> View:
    """Return the same screen for a message that is not an answer."""
    row = await deployments.get(session, customer, deployment_id)
    return views.one(await describe(session, row, now=now, terms=terms, real=real), terms.currency)
