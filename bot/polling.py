"""Fetching updates from Telegram, where it cannot send them: each batch is stored before it is acknowledged."""

import asyncio
import logging
from typing import Any

from telegram import Bot
from telegram.error import Conflict, RetryAfter, TelegramError

from bot.floods import Intake
from bot.pace import seconds
from bot.transport import AiohttpRequest

log = logging.getLogger(__name__)

ALLOWED = ("message", "callback_query", "my_chat_member", "pre_checkout_query")
"""Kinds of updates that we ask for."""
_POLL_SECONDS = 30
_CONFLICT_SECONDS = 1.0
_WHOLE = "as it came"


class WholeUpdates(AiohttpRequest):
    """Fetches updates, of which the library reads the number alone: they are stored as they came, and read once.

    Of a batch with one that the library cannot read it would give none, and Telegram the same batch for ever.
    """

    @staticmethod
    def parse_json_payload(payload: bytes) -> dict[str, Any]:
        """Return Telegram's answer, with each update as what the library does not know."""
        answer = AiohttpRequest.parse_json_payload(payload)
        result = answer.get("result")
        if isinstance(result, list):
            answer["result"] = [{"update_id": one["update_id"], _WHOLE: one} for one in result]
        return answer


async def poll(bot: Bot, store: Intake, leads: asyncio.Event) -> None:
    """Fetch updates while this process is the one that polls: each batch is stored before it is acknowledged."""
    offset: int | None = None
    wait = 1.0
    while True:
        if not leads.is_set():
            offset = None
            await leads.wait()
        try:
            updates = await bot.get_updates(offset, timeout=_POLL_SECONDS, allowed_updates=ALLOWED)
            if updates:
                await store.add([update.api_kwargs[_WHOLE] for update in updates], bot)
                offset = updates[-1].update_id + 1
            wait = 1.0
        except RetryAfter as error:
            await asyncio.sleep(seconds(error))
        except Conflict as error:
            # Whoever polled before us is still at it, or has taken over from us: one of the two gives way at its beat.
            log.warning("polling: %s", error)
            await asyncio.sleep(_CONFLICT_SECONDS)
        except Exception as error:  # a database that is away for a moment must not leave us deaf until a restart
            log.warning("polling: %s; again in %.0f s", error, wait, exc_info=not isinstance(error, TelegramError))
            await asyncio.sleep(wait)
            wait = min(wait * 2, 30)
