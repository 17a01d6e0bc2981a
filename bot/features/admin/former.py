"""`/former`: users of the former system who have not come yet, and links for those who lost theirs."""

from bot import invitations
from bot.context import Context
from bot.guards import administrators
from bot.router import Route, command, press
from bot.view import View
from bot.views import admin_former as views
from bot.views.admin_former import PAGE, Missing, SendAgain, ShowFormer
from cloud import former


def handlers() -> tuple[Route, ...]:
    """Return what this feature answers to."""
    return (
        command("former", _former, administrators),
        press(Missing, _page, administrators),
        press(ShowFormer, _show, administrators),
        press(SendAgain, _send, administrators),
    )


async def _former(ctx: Context, _: str) -> View:
    return await _page(ctx, Missing())


async def _page(ctx: Context, press: Missing) -> View:
    page = max(press.page, 0)
    async with ctx.database.read() as session:
        users, total = await former.missing(session, offset=page * PAGE, limit=PAGE)
    return views.listing(users, page, total)


async def _show(ctx: Context, press: ShowFormer) -> View:
    async with ctx.database.read() as session:
        user, machines = await former.get(session, press.user_id)
    return views.one(user, machines, ctx.terms)


async def _send(ctx: Context, press: SendAgain) -> View:
    link = ""
    async with ctx.database.transaction() as session:
        user = await former.send_again(session, press.user_id, actor=ctx.customer.telegram_id, now=ctx.now)
        _, machines = await former.get(session, press.user_id)
        if ctx.services.mailer is None:
            letter = await former.letter(session, user, now=ctx.now)
            link = invitations.url(ctx.services.chat_url, letter.code)
    ctx.services.wake("messages")
    view = views.one(user, machines, ctx.terms, link)
    return view if link else view.with_toast(views.sending())
