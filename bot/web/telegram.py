"""Telegram's webhook: stored before it is answered."""

import hmac
import json
from typing import Any

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from telegram import Bot

from bot.floods import Intake

_HEADER = "X-Telegram-Bot-Api-Secret-Token"
_LARGEST = 2**63
"""Numbers of updates are below it, or they could not be stored."""


class TelegramHook:
    """`POST /telegram`."""

    def __init__(self, secret: str, store: Intake, bot: Bot) -> None:
        """Take the secret that was registered with the webhook, and where updates go."""
        self._secret = secret.encode()
        self._store = store
        self._bot = bot

    async def __call__(self, request: Request) -> Response:
        """Return 200 when the update is safe, 403 for a wrong secret, 400 for what is no update."""
        given = request.headers.get(_HEADER, "").encode()
        if not (self._secret and hmac.compare_digest(given, self._secret)):
            return PlainTextResponse("wrong secret", 403)
        update = _update(await request.body())
        if update is None:
            return PlainTextResponse("not an update", 400)
        await self._store.add([update], self._bot)
        return PlainTextResponse("")


def _update(body: bytes) -> dict[str, Any] | None:
    try:
        update = json.loads(body)
    except (ValueError, RecursionError):
        return None
    if not isinstance(update, dict) or type(update.get("update_id")) is not int:
        return None
    return update if 0 <= update["update_id"] < _LARGEST else None
