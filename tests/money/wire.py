"""The way to the Stripe stand-in inside this process: the real library and its real bytes, and faults from a seed."""

import random
from collections.abc import Callable
from contextlib import suppress

import httpx

from bot.demo.stripe import StripeStandIn

URL = "http://stripe.test"

_LOST = ("timeout_before", "timeout_after", "reset_before", "reset_after")
_ANSWERED = ("rate_limit", "lock_timeout", "error_before", "error_after", "error_instead", "garbage_after")


class Wire(httpx.AsyncBaseTransport):
    """Hands requests to the stand-in's application; some go wrong, as `chance` decides.

    Attributes:
        chance: how likely a request is to go wrong.
        down: whether all of them do.
        went_wrong: how often which fault happened.
    """

    def __init__(self, stripe: StripeStandIn, rng: random.Random, *, chance: float) -> None:
        """Take the stand-in, and where chance comes from."""
        self._stripe = stripe
        self._app = httpx.ASGITransport(stripe.app)
        self._rng = rng
        self.chance = chance
        self.down = False
        self.went_wrong: dict[str, int] = {}

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Answer a request, or let it go wrong."""
        fault = self._next()
        if fault is None:
            return await self._app.handle_async_request(request)
        self.went_wrong[fault] = self.went_wrong.get(fault, 0) + 1
        if fault in _ANSWERED:
            return await self._spoilt(request, fault)
        if fault.endswith("after"):
            with suppress(httpx.HTTPError):
                await self._app.handle_async_request(request)
        error: Callable[[str], Exception] = httpx.ReadTimeout if fault.startswith("timeout") else httpx.ReadError
        raise error(fault)

    def _next(self) -> str | None:
        if self.down:
            return "timeout_before"
        if self._rng.random() >= self.chance:
            return None
        return self._rng.choice(_LOST + _ANSWERED)

    async def _spoilt(self, request: httpx.Request, fault: str) -> httpx.Response:
        self._stripe.control.fault(fault)
        try:
            return await self._app.handle_async_request(request)
        finally:
            self._stripe.control.clear_faults()
