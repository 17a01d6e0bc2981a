"""Requests to Telegram at the pace that it allows, people who are typing first (rules.md 11.1, 11.2).

The library calls this around each request. Its own limiter knows neither priorities nor one pace per chat.
"""

import asyncio
import logging
import math
from collections.abc import Callable, Coroutine
from typing import Any

from telegram.error import BadRequest, NetworkError, RetryAfter
from telegram.ext import BaseRateLimiter

log = logging.getLogger(__name__)

BACKGROUND = "background"
"""Handed over with messages of the outbox: they give way to answers."""

_PER_SECOND = 30
_BURST = 3
"""Requests of the outbox that may go at once after silence."""
_CHAT_SECONDS = 1.0
"""The outbox leaves so much time between two messages to one chat."""
_ATTEMPTS = 4
_FIRST_WAIT = 0.5
_LONGEST_WAIT = 60.0
"""A person is not kept waiting longer by a 429; the outbox comes back later by itself."""
_FORGET_OVER = 1000
"""So many chats are remembered before those that may be written to again are forgotten."""
_PACED = frozenset(
    ("sendMessage", "sendDocument", "sendPhoto", "sendMediaGroup", "sendInvoice", "copyMessage", "forwardMessage")
)


class Pace(BaseRateLimiter[str]):
    """30 messages a second, the outbox what answers leave of them; waits as a 429 says; repeats what the net lost."""

    def __init__(self) -> None:
        """Start with a full allowance."""
        self._allowance = float(_BURST)
        self._filled_at = 0.0
        self._queue = asyncio.Lock()
        self._written_at: dict[object, float] = {}
        self._held_until = 0.0

    async def initialize(self) -> None:
        """Nothing to prepare."""

    async def shutdown(self) -> None:
        """Nothing to let go of."""

    async def process_request(
        self,
        callback: Callable[..., Coroutine[Any, Any, Any]],
        args: Any,  # noqa: ANN401 the library's signature
        kwargs: dict[str, Any],
        endpoint: str,
        data: dict[str, Any],
        rate_limit_args: str | None,
    ) -> Any:  # noqa: ANN401 the library's signature
        """Send one request when it is its turn, again after a 429 or a network error.

        Requests of the outbox are tried once: it has a calendar of its own. After a 429, whoever met it, they are
        refused until its time is over.
        """
        background = rate_limit_args == BACKGROUND
        wait = _FIRST_WAIT
        for attempt in range(1, _ATTEMPTS + 1):
            if endpoint in _PACED:
                await self._turn(data.get("chat_id"), background=background)
            try:
                began = _now()
                answer = await callback(*args, **kwargs)
                log.debug("telegram %s: %.1f ms", endpoint, 1000 * (_now() - began))
            except RetryAfter as error:
                self._held_until = max(self._held_until, _now() + seconds(error))
                if background or attempt == _ATTEMPTS:
                    raise
                wait = min(seconds(error), _LONGEST_WAIT)
            except NetworkError as error:
                # BadRequest is one too: Telegram has answered, and will answer the same again.
                if isinstance(error, BadRequest) or background or attempt == _ATTEMPTS or endpoint == "getUpdates":
                    raise
            else:
                return answer
            log.warning("%s: waiting %.1f s before trying again", endpoint, wait)
            await asyncio.sleep(wait)
            wait *= 2
        raise AssertionError("the loop returns or raises")

    async def _turn(self, chat: object, *, background: bool) -> None:
        """Let an answer go at once, and the outbox when answers leave room and the chat has had its second."""
        if not background:
            self._spend(chat)
            return
        await asyncio.sleep(self._written_at.get(chat, -_CHAT_SECONDS) + _CHAT_SECONDS - _now())
        async with self._queue:
            short = 1 - self._filled()
            self._spend(chat)
            await asyncio.sleep(short / _PER_SECOND)
        if self._held_until > _now():
            raise RetryAfter(math.ceil(self._held_until - _now()))

    def _filled(self) -> float:
        """Return how many messages may go now; below zero after more answers than that."""
        now = _now()
        self._allowance = min(_BURST, self._allowance + (now - self._filled_at) * _PER_SECOND)
        self._filled_at = now
        return self._allowance

    def _spend(self, chat: object) -> None:
        self._allowance = self._filled() - 1
        self._written_at[chat] = _now()
        if len(self._written_at) > _FORGET_OVER:
            recent = _now() - _CHAT_SECONDS
            self._written_at = {key: at for key, at in self._written_at.items() if at > recent}


def _now() -> float:
    return asyncio.get_running_loop().time()


def seconds(error: RetryAfter) -> float:
    """Return how long Telegram asks to wait."""
    after = error.retry_after
    return float(after) if isinstance(after, int) else after.total_seconds()
