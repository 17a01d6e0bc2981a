"""`python -m bot doctor`: one line for each thing that has to work, and how to mend what does not.

It changes nothing: a database that is behind is reported, not migrated.
"""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import Awaitable, Callable
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

import httpx
from telegram.constants import ChatMemberStatus
from telegram.error import InvalidToken, TelegramError

from billing import administrators
from billing.gateway import GatewayDenied, GatewayError, GatewayRefused
from bot import migrate, switches
from bot.migrate import Schema
from bot.settings import CannotStart
from cloud.drivers.base import DriverError

if TYPE_CHECKING:
    from bot.app import App

_SKEW_SECONDS = 60
"""Stripe's signatures are stale after five minutes; clocks that are kept differ by less than one second."""
_ROOM = 200 * 1024 * 1024
"""Bytes that must be free where the state is kept."""
_PATIENCE_SECONDS = 5.0


class Unwell(Exception):
    """Something does not work; the message says what and how to mend it."""


Check = Callable[["App"], Awaitable[str]]


async def examine(app: App) -> int:
    """Print a line for each check; return 1 if any failed, else 0. The app need not be open."""
    failed = 0
    await app.telegram.bot.request.initialize()  # not the bot itself, which would ask Telegram who it is
    for name, check in _CHECKS.items():
        try:
            line = f"ok    {name}: {await check(app)}"
        except (Unwell, GatewayError, DriverError, CannotStart) as error:
            line, failed = f"FAIL  {name}: {error}", 1
        print(line, flush=True)  # noqa: T201 the answer of the command
    await app.telegram.bot.request.shutdown()
    return failed


async def _telegram(app: App) -> str:
    try:
        me = await app.telegram.bot.get_me()
    except InvalidToken:
        raise Unwell("BOT_TOKEN is refused; get it again from @BotFather with /token") from None
    except TelegramError as error:
        raise Unwell(f"TELEGRAM_API_URL does not answer ({error.message}); is the network up?") from None
    return f"@{me.username}"


async def _stripe(app: App) -> str:
    try:
        return await app.gateway.check()
    except GatewayDenied as error:
        raise Unwell(f"STRIPE_API_KEY is refused ({error}); copy it again: Developers → API keys") from None
    except GatewayError as error:
        raise Unwell(f"STRIPE_API_URL does not answer ({error}); is the network up?") from None


async def _webhooks(app: App) -> str:
    settings = app.settings
    if not settings.public_url:
        return "none: PUBLIC_URL is empty, Telegram and Stripe are polled"
    if settings.stripe_webhook_secret is None:
        raise Unwell(
            f"STRIPE_WEBHOOK_SECRET is missing: make an endpoint for {settings.public_url}/stripe in Stripe's "
            "dashboard, Developers → Webhooks, and copy its signing secret"
        )
    try:
        info = await app.telegram.bot.get_webhook_info()
    except TelegramError as error:
        raise Unwell(f"Telegram does not say where it sends updates ({error.message})") from None
    if info.last_error_message:
        raise Unwell(
            f"Telegram cannot reach {settings.public_url}/telegram: {info.last_error_message}; look at the proxy, its "
            "certificate, and whether the program runs"
        )
    try:
        heard = await app.gateway.check_events(f"{settings.public_url}/stripe")
    except GatewayRefused as error:
        raise Unwell(f"{error}; mend it in the dashboard, Developers → Webhooks") from None
    return f"{settings.public_url}/telegram and /stripe, {heard}"


async def _database(app: App) -> str:
    url = app.database.url
    found = await migrate.state(url.render_as_string(hide_password=False))
    if found is Schema.UNKNOWN:
        raise Unwell("the schema is newer than this program; start the version that made it, or restore a backup")
    if found is Schema.BEHIND:
        if not app.database.is_sqlite:
            raise Unwell("the schema is behind this program; run: python -m bot migrate")
        return "sqlite, migrated by the next start"
    return f"{url.get_backend_name()}, schema current"


async def _settled(app: App) -> bool:
    """Return whether the database can be asked; what is wrong with it is said by its own line."""
    try:
        return await migrate.state(app.database.url.render_as_string(hide_password=False)) is Schema.CURRENT
    except CannotStart:
        return False


async def _currency(app: App) -> str:
    if await _settled(app):
        async with app.database.read() as session:
            await switches.check_currency(session, app.terms.currency.code)
    return app.terms.currency.code.upper()


async def _people(app: App) -> str:
    fixed = len(app.settings.admin_ids)
    granted = 0
    if await _settled(app):
        async with app.database.read() as session:
            granted = len(await administrators.granted(session))
    if not fixed + granted:
        return "none: ADMIN_IDS is empty, nobody can run the business from the chat"
    return f"{fixed} by ADMIN_IDS, {granted} made in the chat"


async def _support(app: App) -> str:
    chat_id = app.settings.support_chat_id
    if chat_id is None:
        return "SUPPORT_CHAT_ID is empty: questions go to the administrators"
    bot = app.telegram.bot
    try:
        chat = await bot.get_chat(chat_id)
        member = await bot.get_chat_member(chat_id, (await bot.get_me()).id)
    except InvalidToken:
        raise Unwell("cannot be asked for without BOT_TOKEN") from None
    except TelegramError as error:
        raise Unwell(f"SUPPORT_CHAT_ID: {error.message}; add the bot to the group, and copy the group's id") from None
    rights = member.status == ChatMemberStatus.ADMINISTRATOR and getattr(member, "can_manage_topics", False)
    if chat.is_forum and not rights:
        raise Unwell("SUPPORT_CHAT_ID is a forum: make the bot an administrator there who may manage topics")
    return f"{chat.title or chat.id}"


async def _machines(app: App) -> str:
    try:
        return await app.driver.check()
    except OSError as error:
        raise Unwell(f"their folder cannot be used ({error.strerror}); see DATA_DIR") from None


async def _mail(app: App) -> str:
    if app.mailer is None:
        return "none: SMTP_URL is empty, people are told in the chat only"
    problem = await app.mailer.check()
    if problem:
        raise Unwell(f"SMTP_URL: {problem}")
    return "the server takes mail"


async def _folder(app: App) -> str:
    folder = app.settings.data_dir

    def look() -> int:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(b"x")
        return shutil.disk_usage(folder).free

    try:
        free = await asyncio.to_thread(look)
    except OSError as error:
        raise Unwell(
            f"DATA_DIR: {folder} cannot be written ({error.strerror}); give it to the user that runs this"
        ) from None
    if free < _ROOM:
        raise Unwell(
            f"DATA_DIR: {free // 2**20} MiB are free in {folder}; make room, a database that is full stops all"
        )
    return f"{folder}, {free // 2**30} GiB free"


async def _clock(app: App) -> str:
    """Compare with Telegram's clock, to a second."""
    try:
        async with httpx.AsyncClient(timeout=_PATIENCE_SECONDS) as client:
            answer = await client.head(app.settings.telegram_api_url)
        theirs = parsedate_to_datetime(answer.headers["Date"])
    except (httpx.HTTPError, LookupError, ValueError):
        return f"{app.clock.now():%Y-%m-%d %H:%M} UTC, nobody to compare with"
    skew = int((app.clock.now() - theirs).total_seconds())
    if abs(skew) > _SKEW_SECONDS:
        which = "fast" if skew > 0 else "slow"
        raise Unwell(f"{abs(skew)} s {which}: invoices and webhooks go wrong; run: timedatectl set-ntp true")
    return f"{app.clock.now():%Y-%m-%d %H:%M} UTC, as Telegram's"


async def _listen(app: App) -> str:
    """Find out whether the address is free, or ours already."""
    host, port = app.settings.listen
    where = f"{host}:{port}"
    try:
        server = await asyncio.start_server(lambda *_: None, host, port)
    except OSError as error:
        if await _is_ours(host, port):
            return f"{where}, the program runs"
        raise Unwell(f"LISTEN: {where} cannot be had ({error.strerror}); free it, or choose another port") from None
    server.close()
    return f"{where} is free"


async def _is_ours(host: str, port: int) -> bool:
    """Return whether the program answers there; an address for all is asked for on this machine."""
    here = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, host)  # noqa: S104 compared, not bound
    try:
        async with httpx.AsyncClient(timeout=_PATIENCE_SECONDS, trust_env=False) as client:
            answer = await client.get(f"http://{here}:{port}/healthz")
    except httpx.HTTPError:
        return False
    return answer.text == "ok"


_CHECKS: dict[str, Check] = {
    "folder": _folder,
    "database": _database,
    "currency": _currency,
    "clock": _clock,
    "telegram": _telegram,
    "administrators": _people,
    "support": _support,
    "stripe": _stripe,
    "webhooks": _webhooks,
    "listen": _listen,
    "machines": _machines,
    "mail": _mail,
}
