"""`/setprice`: shows the effect, then sets the price (A6, C14)."""

from billing import catalog
from billing.catalog import Item
from billing.errors import Conflict, NotFound
from bot import awaiting
from bot.context import Context
from bot.guards import administrators
from bot.router import Route, command, press
from bot.view import View
from bot.views import admin_prices as views
from bot.views.admin_prices import SetPrice

_DRAFT = "price"
_WORDS = (3, 4)


def handlers() -> tuple[Route, ...]:
    """Return what this feature answers to."""
    return (command("setprice", _setprice, administrators), press(SetPrice, _set, administrators))


async def _setprice(ctx: Context, text: str) -> View:
    words = text.lower().split()
    if len(words) not in _WORDS or (len(words) == _WORDS[1] and words[3] != "public"):
        return views.usage()
    try:
        item = Item.parse("-".join((words[0], words[1], *words[3:])))
    except NotFound:
        return views.usage()
    monthly = ctx.terms.currency.parse(words[2])
    async with ctx.database.transaction() as session:
        shown = await catalog.effect(session, item, ctx.now)
        # The price waits here and not in the button: a button never carries money.
        await awaiting.ask(session, ctx, _DRAFT, {"draft": ctx.update_id, "item": item.code, "monthly": monthly})
    return views.effect(shown, monthly, ctx.update_id, ctx.terms.currency)


async def _set(ctx: Context, press: SetPrice) -> View:
    operation = f"price:{press.draft}"
    async with ctx.database.transaction() as session:
        done = await catalog.by_operation(session, operation)
        if done is not None:
            return views.done(Item.parse(done.item), done.monthly, ctx.terms.currency)
        if ctx.awaiting is None or ctx.awaiting[0] != _DRAFT or ctx.awaiting[1].get("draft") != press.draft:
            raise Conflict("the price was drafted on an older screen")
        item, monthly = Item.parse(ctx.awaiting[1]["item"]), int(ctx.awaiting[1]["monthly"])
        await catalog.set_price(
            session, item, monthly, operation=operation, actor=ctx.customer.telegram_id, now=ctx.now
        )
        await awaiting.forget(session, ctx.customer.telegram_id)
    return views.done(item, monthly, ctx.terms.currency)
