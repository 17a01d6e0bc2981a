"""`/stars`: payments in Telegram Stars, and giving one back (7.5, C10)."""

from billing import stars
from billing.errors import InsufficientFunds
from bot.context import Context
from bot.guards import administrators
from bot.router import Route, command, press
from bot.view import View
from bot.views import admin_stars as views
from bot.views.admin_stars import PAGE, RefundStars, ShowStars, StarsPaid


def handlers() -> tuple[Route, ...]:
    """Return what this feature answers to."""
    return (
        command("stars", _stars, administrators),
        press(StarsPaid, _page, administrators),
        press(ShowStars, _show, administrators),
        press(RefundStars, _refund, administrators),
    )


async def _stars(ctx: Context, _: str) -> View:
    return await _page(ctx, StarsPaid())


async def _page(ctx: Context, press: StarsPaid) -> View:
    number = max(press.page, 0)
    async with ctx.database.read() as session:
        rows, more = await stars.paid(session, offset=number * PAGE, limit=PAGE)
    return views.listing(rows, number, ctx.terms.currency, more=more)


async def _show(ctx: Context, press: ShowStars, problem: str = "") -> View:
    async with ctx.database.read() as session:
        payment, customer = await stars.get_paid(session, press.payment_id)
    return views.one(payment, customer, ctx.terms.currency, problem)


async def _refund(ctx: Context, press: RefundStars) -> View:
    """Take it off the balance, then have the chat give it back; tapped twice it is given back once."""
    shown = ShowStars(payment_id=press.payment_id)
    try:
        async with ctx.database.transaction() as session:
            await stars.begin_refund(session, press.payment_id, actor=ctx.customer.telegram_id, now=ctx.now)
    except InsufficientFunds:
        return await _show(ctx, shown, views.spent())
    await ctx.services.stars.refund(press.payment_id)
    ctx.services.wake("messages")
    return await _show(ctx, shown)
