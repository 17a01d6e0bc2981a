"""Requests to Telegram at the pace that it allows, people who are typing first (rules.md 11.1, 11.2).

The library calls this around each request. Its own limiter knows neither priorities nor one pace per chat.
"""

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import Any

from telegram.error import BadRequest, NetworkError, RetryAfter
from telegram.ext import BaseRateLimiter

log = logging.getLogger(__name__)

BACKGROUND = "background"
"""Handed over with messages of the outbox: they give way to answers."""

_PER_SECOND = 30
_ATTEMPTS = 4
_FIRST_WAIT = 0.5
_LONGEST_WAIT = 60.0
"""A person is not kept waiting longer by a 429; the outbox comes back later by itself."""
_PACED = ("sendMessage", "sendDocument", "sendPhoto", "sendMediaGroup", "copyMessage", "forwardMessage")


class Pace(BaseRateLimiter[str]):
    """The outbox at 30 messages a second less the answers; waits as a 429 says; repeats what the network lost."""

    def __init__(self) -> None:
        """Start with a full allowance."""
        self._next_slot = 0.0

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
        data: dict[str, Any],  # noqa: ARG002 the library's signature
        rate_limit_args: str | None,
    ) -> Any:  # noqa: ANN401 the library's signature
        """Send one request when it is its turn, again after a 429 or a network error."""
        background = rate_limit_args == BACKGROUND
        wait = _FIRST_WAIT
        for attempt in range(1, _ATTEMPTS + 1):
            if endpoint in _PACED:
                await self._turn(background=background)
            try:
                return await callback(*args, **kwargs)
            except RetryAfter as error:
                if background or attempt == _ATTEMPTS:
                    raise
                wait = min(seconds(error), _LONGEST_WAIT)
            except NetworkError as error:
                # BadRequest is one too: Telegram has answered, and will answer the same again.
                if isinstance(error, BadRequest) or background or attempt == _ATTEMPTS or endpoint == "getUpdates":
                    raise
            log.warning("%s: waiting %.1f s before trying again", endpoint, wait)
            await asyncio.sleep(wait)
            wait *= 2
        raise AssertionError("the loop returns or raises")

    async def _turn(self, *, background: bool) -> None:
        """Wait for the outbox' next slot; an answer goes at once and uses up a slot of the outbox."""
        now = asyncio.get_running_loop().time()
        slot = max(now, self._next_slot)
        self._next_slot = slot + 1 / _PER_SECOND
        if background and slot > now:
            await asyncio.sleep(slot - now)


def seconds(error: RetryAfter) -> float:
    """Return how long Telegram asks to wait."""
    after = error.retry_after
    return float(after) if isinstance(after, int) else after.total_seconds()
