"""The start screen, help, prices, and leaving a question."""

from collections.abc import Sequence

from billing import cards, catalog, invoices, ledger, quotes
from billing.models import Kind
from bot import awaiting
from bot.context import Context
from bot.guards import everyone
from bot.links import Cancel, Home, Prices
from bot.router import Route, command, press
from bot.view import View
from bot.views import home as views
from cloud import deployments, key_ring, offering, sold_out
from cloud.models import ACTIVE, Deployment


def handlers() -> tuple[Route, ...]:
    """Return what this feature answers to."""
    return (
        command("start", _start, everyone),
        command("help", _help, everyone),
        command("prices", _prices, everyone),
        command("cancel", _cancel, everyone),
        press(Home, _home, everyone),
        press(Prices, _prices_tapped, everyone),
        press(Cancel, _cancel_tapped, everyone),
    )


async def _start(ctx: Context, _: str) -> View:
    return await _screen(ctx)


async def _home(ctx: Context, _: Home) -> View:
    if ctx.awaiting is not None:
        await _forget(ctx)
    return await _screen(ctx)


async def _screen(ctx: Context) -> View:
    async with ctx.database.read() as session:
        mine = await deployments.listed(session, ctx.customer)
        kept = await quotes.kept(session, ctx.customer, ctx.now)
        month = await invoices.this_month(session, ctx.customer, now=ctx.now, terms=ctx.terms)
        due = await invoices.total_due(session, ctx.customer)
        has_card = await cards.has_valid(session, ctx.customer.id, now=ctx.now)
        data = views.HomeData(
            name=ctx.customer.name,
            machines=_active(mine, Kind.VM),
            clusters=_active(mine, Kind.K8S),
            this_month=month.total,
            due=due,
            waits=has_card and 0 < due < ctx.terms.card_minimum,
            has_card=has_card,
            funds=(await ledger.balances(session, ctx.customer.id)).funds,
            has_key=await key_ring.has_key(session, ctx.customer),
            waiting=(kept[0].id, kept[0].name) if kept else None,
            is_admin=ctx.is_admin,
            offers_clusters=ctx.services.able.clusters,
        )
    return views.home(data, ctx.terms.currency)


def _active(mine: Sequence[Deployment], kind: Kind) -> int:
    return sum(row.kind is kind and row.state in ACTIVE for row in mine)


async def _help(ctx: Context, _: str) -> View:
    return views.help_text(is_admin=ctx.is_admin, clusters=ctx.services.able.clusters)


async def _prices(ctx: Context, _: str) -> View:
    async with ctx.database.read() as session:
        listed = offering.only(ctx.services.able, await catalog.price_list(session, ctx.now))
        gone = await sold_out.lately(session, ctx.now)
    return views.prices(listed, ctx.terms.currency, clusters=ctx.services.able.clusters, gone=gone)


async def _prices_tapped(ctx: Context, _: Prices) -> View:
    return await _prices(ctx, "")


async def _cancel(ctx: Context, _: str) -> View:
    # The dispatcher has already left the question: a command was typed.
    return (await _screen(ctx)) if ctx.awaiting is None else views.cancelled()


async def _cancel_tapped(ctx: Context, _: Cancel) -> View:
    await _forget(ctx)
    return views.cancelled()


async def _forget(ctx: Context) -> None:
    async with ctx.database.transaction() as session:
        await awaiting.forget(session, ctx.customer.telegram_id)
