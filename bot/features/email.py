"""`/email`: an address is mailed a link; opened in this chat it confirms the address."""

from billing import contacts
from bot import awaiting, mail
from bot.context import Context
from bot.guards import everyone
from bot.letters import composed
from bot.links import AskEmail
from bot.router import Answer, Route, answer, command, press, start
from bot.view import View
from bot.views import email as views
from bot.views.email import ForgetEmail, SkipEmail

_EMAIL = "email"
_LINK = "e"


def handlers() -> tuple[Route, ...]:
    """Return what this feature answers to."""
    return (
        command("email", _email, everyone),
        press(AskEmail, _ask_tapped, everyone),
        press(ForgetEmail, _forget, everyone),
        press(SkipEmail, _skip, everyone),
        answer(_EMAIL, _typed, everyone),
        start(_LINK, _confirm, everyone),
    )


async def _email(ctx: Context, text: str) -> View:
    return await _request(ctx, text) if text else await _ask(ctx)


async def _ask_tapped(ctx: Context, _: AskEmail) -> View:
    return await _ask(ctx)


async def _ask(ctx: Context, problem: str = "") -> View:
    if ctx.services.mailer is None:
        return views.no_mail()
    async with ctx.database.transaction() as session:
        await awaiting.ask(session, ctx, _EMAIL)
    return views.ask(ctx.customer.email or "", problem)


async def _typed(ctx: Context, given: Answer) -> View:
    return await _request(ctx, given.text)


async def _request(ctx: Context, text: str) -> View:
    """Mail a link to an address, and say what became of it."""
    mailer = ctx.services.mailer
    if mailer is None:
        return views.no_mail()
    try:
        async with ctx.database.transaction() as session:
            address, token = await contacts.request_email(session, ctx.customer, text, now=ctx.now)
            await awaiting.forget(session, ctx.customer.telegram_id)
    except contacts.BadAddress:
        return await _ask(ctx, views.bad(text))
    except contacts.TooManyMails:
        return views.too_many()
    link = f"{ctx.services.chat_url}?start={_LINK}_{token}"
    view = views.mail(ctx.services.bot.first_name, link)
    outcome = await mailer.send(composed(f"email-{ctx.update_id}", address, view, ctx.now))
    match outcome.fate:
        case mail.Fate.ACCEPTED:
            return views.sent(address)
        case mail.Fate.LATER:
            return views.unreachable()
        case mail.Fate.NEVER:
            return await _ask(ctx, views.bad(address))


async def _confirm(ctx: Context, token: str) -> View:
    try:
        async with ctx.database.transaction() as session:
            address = await contacts.confirm_email(session, ctx.customer, token, now=ctx.now)
    except contacts.DeadLink:
        return views.dead_link()
    return views.confirmed(address)


async def _forget(ctx: Context, _: ForgetEmail) -> View:
    async with ctx.database.transaction() as session:
        await contacts.forget_email(session, ctx.customer, now=ctx.now)
        await awaiting.forget(session, ctx.customer.telegram_id)
    return views.forgotten()


async def _skip(_: Context, __: SkipEmail) -> View:
    return views.skipped()
