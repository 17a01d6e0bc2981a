"""My data as a file, and closing the account (C16, rules.md 7.3)."""

from billing import closing
from billing.closing import NotYet
from bot import awaiting, my_data
from bot.context import Context
from bot.guards import everyone
from bot.router import Route, press
from bot.view import View
from bot.views import account as views
from bot.views.account import CloseNow
from bot.views.settings import AskClose, MyData
from cloud import key_ring


def handlers() -> tuple[Route, ...]:
    """Return what this feature answers to."""
    return (
        press(MyData, _data, everyone),
        press(AskClose, _ask_close, everyone),
        press(CloseNow, _close, everyone),
    )


async def _data(ctx: Context, _: MyData) -> View:
    async with ctx.database.read() as session:
        content = await my_data.document(session, ctx.customer, currency=ctx.terms.currency, now=ctx.now)
    return views.data(content)


async def _ask_close(ctx: Context, _: AskClose) -> View:
    async with ctx.database.read() as session:
        return views.ask_close(await closing.standing(session, ctx.customer), ctx.terms.currency)


async def _close(ctx: Context, _: CloseNow) -> View:
    try:
        async with ctx.database.transaction() as session:
            await closing.close(session, ctx.customer, now=ctx.now)
            await key_ring.clear(session, ctx.customer)
            await awaiting.forget(session, ctx.customer.telegram_id)
    except NotYet as error:
        return views.not_yet(error.standing, ctx.terms.currency)
    ctx.services.wake("money")
    return views.closed()
