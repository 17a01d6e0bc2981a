"""`/stats`: revenue, debt, deployments and new customers by month (C6)."""

from billing import statistics
from bot import charts
from bot.admin_links import Stats
from bot.apart import apart
from bot.context import Context
from bot.guards import administrators
from bot.router import Route, command, press
from bot.view import View
from bot.views import admin_stats as views
from bot.views.admin_stats import MONTHS


def handlers() -> tuple[Route, ...]:
    """Return what this feature answers to."""
    return (command("stats", _stats, administrators), press(Stats, _tapped, administrators))


async def _stats(ctx: Context, _: str) -> View:
    async with ctx.database.read() as session:
        figures = await statistics.by_month(session, statistics.last_months(ctx.now, MONTHS))
    picture = await apart(charts.draw, views.charts(figures, ctx.terms.currency))
    return views.words(figures, picture, ctx.terms.currency)


async def _tapped(ctx: Context, _: Stats) -> View:
    return await _stats(ctx, "")
