"""`/usage`: hours and cost of this month, with a picture of its days (C6)."""

from billing import invoices, usage
from bot import charts
from bot.apart import apart
from bot.context import Context
from bot.guards import everyone
from bot.links import Usage
from bot.router import Route, command, press
from bot.view import View
from bot.views import usage as views


def handlers() -> tuple[Route, ...]:
    """Return what this feature answers to."""
    return (command("usage", _usage, everyone), press(Usage, _tapped, everyone))


async def _usage(ctx: Context, _: str) -> View:
    async with ctx.database.read() as session:
        month = await invoices.this_month(session, ctx.customer, now=ctx.now, terms=ctx.terms)
        days = await usage.by_day(session, ctx.customer, now=ctx.now, terms=ctx.terms)
    picture = None
    if month.used:
        picture = await apart(charts.draw, [views.chart(days, month, ctx.terms.currency)])
    return views.usage(month, ctx.terms.currency, picture)


async def _tapped(ctx: Context, _: Usage) -> View:
    return await _usage(ctx, "")
