"""The connection to Telegram: building it, opening it with patience, and having updates come."""

import asyncio
import logging
from typing import Any

from telegram.error import InvalidToken, TelegramError
from telegram.ext import Application, ApplicationBuilder

from bot.floods import Intake
from bot.pace import Pace
from bot.polling import ALLOWED, WholeUpdates, poll
from bot.settings import CannotStart, Settings
from bot.transport import AiohttpRequest
from bot.updates import InOrderPerUser, UpdateStore

log = logging.getLogger(__name__)

_AT_ONCE = 64
"""Requests to Telegram at the same time."""
_PATIENCE = (1, 2, 4, 8)
"""Seconds between tries to reach Telegram at the start; it may be having a bad minute."""
_LONGEST_WAIT = 30.0

Ptb = Application[Any, Any, Any, Any, Any, Any]


class TelegramUnreachable(CannotStart):
    """The Bot API did not answer, or refused the token."""


def build(settings: Settings, store: UpdateStore, processor: InOrderPerUser) -> Ptb:
    """Return the bot and its queue; the library fetches nothing by itself (see `updates.py`)."""
    url = settings.telegram_api_url
    return (
        ApplicationBuilder()
        .token(settings.bot_token.get_secret_value())
        .base_url(f"{url}/bot")
        .base_file_url(f"{url}/file/bot")
        .rate_limiter(Pace())
        .request(AiohttpRequest(at_once=_AT_ONCE, pool_seconds=30))
        .get_updates_request(WholeUpdates())
        .update_queue(store.queue)
        .concurrent_updates(processor)
        .updater(None)
        .job_queue(None)
        .build()
    )


async def open_bot(telegram: Ptb) -> None:
    """Open the bot, in several tries where Telegram does not answer.

    Raises:
        TelegramUnreachable: the token is refused, or nobody answers for a quarter of a minute.
    """
    for wait in (*_PATIENCE, 0):
        try:
            await telegram.initialize()
        except InvalidToken:
            await telegram.bot.shutdown()
            raise TelegramUnreachable(
                "BOT_TOKEN is refused by Telegram; get it again from @BotFather with /token"
            ) from None
        except TelegramError as error:
            if not wait:
                await telegram.bot.shutdown()
                raise TelegramUnreachable(f"TELEGRAM_API_URL does not answer: {error.message}") from None
            log.warning("Telegram does not answer (%s); again in %s s", error.message, wait)
            await asyncio.sleep(wait)
        else:
            return


async def receive(telegram: Ptb, store: Intake, *, leads: asyncio.Event, public_url: str, secret: str) -> None:
    """Have Telegram send updates to our web endpoint, or fetch them while `leads` where it cannot reach us."""
    wait = 1.0
    while True:
        try:
            if public_url:
                await telegram.bot.set_webhook(f"{public_url}/telegram", secret_token=secret, allowed_updates=ALLOWED)
                return
            await telegram.bot.delete_webhook()
            break
        except TelegramError as error:
            log.warning("telling Telegram where updates go: %s; again in %.0f s", error.message, wait)
            await asyncio.sleep(wait)
            wait = min(2 * wait, _LONGEST_WAIT)
    await poll(telegram.bot, store, leads)
