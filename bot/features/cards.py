"""`/addcard`, `/cards`: the page that adds a card, the list, the default, removal (A13, A14, A16)."""

from billing import cards
from billing.errors import CardNeeded
from bot.context import Context
from bot.guards import everyone
from bot.links import AddCard, Cards
from bot.router import Route, command, press
from bot.view import View
from bot.views import cards as views
from bot.views.cards import MakeDefault, ManageCard, RemoveCard, RemoveCardNow


def handlers() -> tuple[Route, ...]:
    """Return what this feature answers to."""
    return (
        command("addcard", _addcard, everyone),
        command("cards", _cards, everyone),
        press(AddCard, _add, everyone),
        press(Cards, _list, everyone),
        press(ManageCard, _show, everyone),
        press(MakeDefault, _default, everyone),
        press(RemoveCard, _ask_remove, everyone),
        press(RemoveCardNow, _remove, everyone),
    )


async def _addcard(ctx: Context, _: str) -> View:
    checkout = await ctx.services.checkouts.open_for_card(ctx.customer.id)
    return views.page(checkout.url)


async def _add(ctx: Context, _: AddCard) -> View:
    return await _addcard(ctx, "")


async def _cards(ctx: Context, _: str) -> View:
    async with ctx.database.read() as session:
        mine = await cards.listed(session, ctx.customer.id)
    return views.listing(mine, ctx.customer.default_card_id, ctx.now)


async def _list(ctx: Context, _: Cards) -> View:
    return await _cards(ctx, "")


async def _show(ctx: Context, press: ManageCard) -> View:
    async with ctx.database.read() as session:
        card = await cards.get(session, ctx.customer.id, press.card_id)
    return views.one(card, ctx.customer.default_card_id, ctx.now)


async def _default(ctx: Context, press: MakeDefault) -> View:
    async with ctx.database.transaction() as session:
        card = await cards.set_default(session, ctx.customer.id, press.card_id, now=ctx.now)
        mine = await cards.listed(session, ctx.customer.id)
    ctx.services.wake("money")
    return views.listing(mine, card.id, ctx.now)


async def _ask_remove(ctx: Context, press: RemoveCard) -> View:
    async with ctx.database.read() as session:
        return views.ask_remove(await cards.get(session, ctx.customer.id, press.card_id))


async def _remove(ctx: Context, press: RemoveCardNow) -> View:
    try:
        async with ctx.database.transaction() as session:
            await cards.remove(session, ctx.customer.id, press.card_id, now=ctx.now)
            mine = await cards.listed(session, ctx.customer.id)
    except CardNeeded as error:
        return views.needed(error)
    ctx.services.wake("money")
    return views.listing(mine, mine[0].id if mine else None, ctx.now)
