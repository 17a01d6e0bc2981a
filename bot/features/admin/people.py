"""`/grant`, `/revoke`: who runs the business; each update asks anew, so revoking works at once (B7)."""

import re

from billing import accounts, administrators, audit
from billing.errors import NotFound
from bot import awaiting, menu
from bot.admin_links import Administrators
from bot.context import Context
from bot.errors import Problem
from bot.guards import administrators as only_administrators
from bot.router import Answer, Route, answer, command, press
from bot.view import View
from bot.views import admin_people as views
from bot.views.admin_people import AskGrantAdmin, AskRevokeAdmin, RevokeAdmin

_WHO = "grant"
_TELEGRAM_ID = re.compile(r"[1-9][0-9]{0,15}", re.ASCII)


def handlers() -> tuple[Route, ...]:
    """Return what this feature answers to."""
    return (
        command("grant", _grant, only_administrators),
        press(AskGrantAdmin, _ask, only_administrators),
        answer(_WHO, _typed, only_administrators),
        command("revoke", _revoke, only_administrators),
        press(AskRevokeAdmin, _ask_revoke, only_administrators),
        press(RevokeAdmin, _revoke_tapped, only_administrators),
        press(Administrators, _list, only_administrators),
    )


async def _list(ctx: Context, _: Administrators) -> View:
    first = sorted(ctx.services.settings.admin_ids)
    async with ctx.database.transaction() as session:
        # The list is also the way out of the question who shall be one.
        await awaiting.forget(session, ctx.customer.telegram_id)
        granted = await administrators.granted(session)
        people = {*first, *(row.telegram_id for row in granted), *(row.granted_by for row in granted)}
        return views.listing(first, granted, await audit.names(session, people))


async def _ask(ctx: Context, _: AskGrantAdmin) -> View:
    return await _ask_again(ctx, "")


async def _ask_again(ctx: Context, problem: str) -> View:
    async with ctx.database.transaction() as session:
        await awaiting.ask(session, ctx, _WHO)
    return views.ask_grant(problem)


async def _typed(ctx: Context, given: Answer) -> View:
    return await _grant(ctx, given.text)


async def _grant(ctx: Context, text: str) -> View:
    if not text:
        return await _ask_again(ctx, "")
    telegram_id = await _number(ctx, text)
    if telegram_id is None:
        return await _ask_again(ctx, views.nobody(text))
    new = False
    async with ctx.database.transaction() as session:
        if telegram_id not in ctx.services.settings.admin_ids:
            new = await administrators.grant(session, telegram_id, actor=ctx.customer.telegram_id, now=ctx.now)
        await awaiting.forget(session, ctx.customer.telegram_id)
    if new:
        await menu.publish_for_administrator(ctx.services.bot, telegram_id, clusters=ctx.services.able.clusters)
    return views.granted(await _who(ctx, telegram_id), new=new)


async def _revoke(ctx: Context, text: str) -> View:
    if not text:
        return views.whom_to_revoke()
    telegram_id = await _number(ctx, text)
    if telegram_id is None:
        raise Problem(views.whom_to_revoke())
    return await _revoke_tapped(ctx, RevokeAdmin(telegram_id=telegram_id))


async def _ask_revoke(ctx: Context, press: AskRevokeAdmin) -> View:
    return views.ask_revoke(press.telegram_id, await _who(ctx, press.telegram_id))


async def _revoke_tapped(ctx: Context, press: RevokeAdmin) -> View:
    who = await _who(ctx, press.telegram_id)
    if press.telegram_id in ctx.services.settings.admin_ids:
        return views.fixed(who)
    async with ctx.database.transaction() as session:
        was = await administrators.revoke(session, press.telegram_id, actor=ctx.customer.telegram_id, now=ctx.now)
    if was:
        await menu.publish_for_customer(ctx.services.bot, press.telegram_id)
    return views.revoked(who, was=was)


async def _number(ctx: Context, text: str) -> int | None:
    """Return the Telegram number that was typed, or whose name was; somebody who never wrote may be made one too."""
    word = text.split(maxsplit=1)[0]
    if _TELEGRAM_ID.fullmatch(word):
        return int(word)
    async with ctx.database.read() as session:
        try:
            return (await accounts.find(session, word)).telegram_id
        except NotFound:
            return None


async def _who(ctx: Context, telegram_id: int) -> str:
    async with ctx.database.read() as session:
        return views.person(telegram_id, await audit.names(session, [telegram_id]))
