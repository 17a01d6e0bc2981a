"""`/announce`: words to many customers, previewed, sent through the outbox, with a report (B7)."""

from html import escape

from telegram import Message

from billing import announcements
from billing.errors import Conflict
from billing.models import Audience
from bot import awaiting
from bot.admin_links import Announce
from bot.context import Context
from bot.guards import administrators
from bot.router import Answer, Route, answer, command, press
from bot.view import View
from bot.views import admin_announce as views
from bot.views.admin_announce import (
    LONGEST,
    PAGE,
    ChooseAudience,
    SendAnnouncement,
    ShowAnnouncement,
    Unreached,
    WriteAnnouncement,
)

_TEXT, _DRAFT = "announcement", "announce_draft"
_LISTED = 8


def handlers() -> tuple[Route, ...]:
    """Return what this feature answers to."""
    return (
        command("announce", _announce, administrators),
        press(Announce, _list, administrators),
        press(WriteAnnouncement, _ask, administrators),
        answer(_TEXT, _typed, administrators),
        answer(_DRAFT, _typed, administrators),
        press(ChooseAudience, _choose, administrators),
        press(SendAnnouncement, _send, administrators),
        press(ShowAnnouncement, _show, administrators),
        press(Unreached, _unreached, administrators),
    )


async def _list(ctx: Context, _: Announce) -> View:
    async with ctx.database.transaction() as session:
        # The list is also the way out of a draft.
        await awaiting.forget(session, ctx.customer.telegram_id)
        return views.listing(await announcements.latest(session, _LISTED))


async def _ask(ctx: Context, _: WriteAnnouncement) -> View:
    return await _ask_again(ctx, "")


async def _ask_again(ctx: Context, problem: str) -> View:
    async with ctx.database.transaction() as session:
        await awaiting.ask(session, ctx, _TEXT)
    return views.ask(problem)


async def _announce(ctx: Context, text: str) -> View:
    return await _draft(ctx, as_typed(ctx.typed, text)) if text else await _ask_again(ctx, "")


async def _typed(ctx: Context, given: Answer) -> View:
    """Take the text, or a better one while the draft is looked at."""
    return await _draft(ctx, as_typed(ctx.typed, given.text))


def as_typed(message: Message | None, text: str) -> str:
    """Return a text as HTML parse mode, with the bold and the links that it was typed with.

    Args:
        message: the whole message.
        text: the part of it that counts: all, or what follows a command.
    """
    whole = (message.text or "").strip() if message is not None else ""
    if message is None or not whole or not whole.endswith(text):
        return escape(text, quote=False)
    marked = message.text_html.strip()
    head = escape(whole.removesuffix(text), quote=False)
    # Markup that reaches into the command itself cannot be cut in two.
    return marked.removeprefix(head) if marked.startswith(head) else escape(text, quote=False)


async def _draft(ctx: Context, text: str) -> View:
    """Keep the text, which a button cannot carry, and show it."""
    if not text:
        return await _ask_again(ctx, "")
    if len(text) > LONGEST:
        return await _ask_again(ctx, views.too_long())
    async with ctx.database.transaction() as session:
        await awaiting.ask(session, ctx, _DRAFT, {"draft": ctx.update_id, "text": text})
    return await _preview(ctx, text, ctx.update_id, Audience.ALL)


async def _preview(ctx: Context, text: str, draft: int, chosen: Audience) -> View:
    async with ctx.database.read() as session:
        counts = {audience: await announcements.count(session, audience) for audience in Audience}
    return views.preview(text, draft, chosen, counts)


async def _choose(ctx: Context, press: ChooseAudience) -> View:
    return await _preview(ctx, _drafted(ctx, press.draft), press.draft, press.audience)


def _drafted(ctx: Context, draft: int) -> str:
    if ctx.awaiting is None or ctx.awaiting[0] != _DRAFT or ctx.awaiting[1].get("draft") != draft:
        raise Conflict("the announcement was drafted on an older screen")
    return str(ctx.awaiting[1]["text"])


async def _send(ctx: Context, press: SendAnnouncement) -> View:
    operation = f"announcement:{press.draft}"
    async with ctx.database.transaction() as session:
        row = await announcements.by_operation(session, operation)
        if row is None:
            row = await announcements.announce(
                session,
                _drafted(ctx, press.draft),
                press.audience,
                operation=operation,
                actor=ctx.customer.telegram_id,
                now=ctx.now,
            )
            await awaiting.forget(session, ctx.customer.telegram_id)
    ctx.services.wake("messages")
    return await _show(ctx, ShowAnnouncement(announcement_id=row.id))


async def _show(ctx: Context, press: ShowAnnouncement) -> View:
    async with ctx.database.read() as session:
        return views.progress(await announcements.progress(session, press.announcement_id))


async def _unreached(ctx: Context, press: Unreached) -> View:
    page = max(press.page, 0)
    async with ctx.database.read() as session:
        row = await announcements.get(session, press.announcement_id)
        found = await announcements.unreached(session, row.id, offset=page * PAGE, limit=PAGE + 1)
    return views.unreached(row, found[:PAGE], page, more=len(found) > PAGE)
