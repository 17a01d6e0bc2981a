"""`/support`: a question to the people behind the bot, with pictures and files (A28)."""

from typing import Any

from telegram import Message

from bot import awaiting, support
from bot.context import Context
from bot.guards import everyone
from bot.links import Support
from bot.router import Answer, Route, answer, command, press
from bot.view import View
from bot.views import support as views

_QUESTION = "support"


def handlers() -> tuple[Route, ...]:
    """Return what this feature answers to."""
    return (
        command("support", _support, everyone),
        press(Support, _ask_tapped, everyone),
        answer(_QUESTION, _typed, everyone),
    )


async def _support(ctx: Context, text: str) -> View | None:
    if ctx.typed is not None and (text or not ctx.typed.text):
        return await _pass_on(ctx, ctx.typed, text, {})
    return await _ask(ctx)


async def _ask_tapped(ctx: Context, _: Support) -> View:
    return await _ask(ctx)


async def _ask(ctx: Context) -> View:
    async with ctx.database.transaction() as session:
        await awaiting.ask(session, ctx, _QUESTION)
    return views.ask()


async def _typed(ctx: Context, given: Answer) -> View | None:
    return None if ctx.typed is None else await _pass_on(ctx, ctx.typed, given.text, given.data)


async def _pass_on(ctx: Context, message: Message, text: str, data: dict[str, Any]) -> View | None:
    """Pass a message on. Of an album, which comes as several, only the first is answered."""
    if message.effective_attachment is None and not message.text:
        return views.nothing()
    try:
        reached = await support.pass_on(ctx.services, ctx.customer, message, text, now=ctx.now)
    except support.TooMany:
        return views.too_many()
    if not reached:
        return views.not_passed_on()
    album = message.media_group_id
    async with ctx.database.transaction() as session:
        if album:
            await awaiting.ask(session, ctx, _QUESTION, {"album": album})
        else:
            await awaiting.forget(session, ctx.customer.telegram_id)
    return None if album and data.get("album") == album else views.passed_on()
