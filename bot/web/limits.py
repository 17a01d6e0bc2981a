"""What the web endpoints put up with."""

import asyncio
import ipaddress
import math
import time
from collections.abc import Callable

from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from bot.buckets import Allowance, Buckets

LARGEST_BODY = 1_048_576
"""Bytes; the largest update or event seen in the wild is far below."""
BODY_SECONDS = 10.0
"""A body that takes longer is no update and no event: who drips holds a connection."""
_IPV6_NETWORK = 64
"""Bits of an IPv6 address that count: whoever has one has all of its network."""
_LONGEST_ADDRESS = 64
"""Characters that are kept of what a proxy names."""
_HOOKS = ("/telegram", "/stripe")


HOOKS = Allowance(2000, 1000)
"""Requests to `/telegram` and `/stripe`: more than one process can store, for the little there is to lose by it. Those
with a wrong secret are among them: no real event has to wait because somebody else guesses, and the secrets are too
long for that."""
PAGES = Allowance(300, 50)
"""Requests to everything else: people who come from a payment page, and those who watch the program; behind a proxy
that is not trusted all of them have one address."""


class RateLimit:
    """Answers 429 to peers that ask too often.

    A peer is an address, behind a proxy the one that the proxy names (`docs/getting-started.md`).
    """

    def __init__(self, app: ASGIApp, now: Callable[[], float] = time.monotonic) -> None:
        """Take the application behind it, and a clock that never goes back."""
        self._app = app
        self._hooks = Buckets[str](HOOKS, now)
        self._pages = Buckets[str](PAGES, now)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or answer 429 with the seconds to wait."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        peer = peer_of(scope)
        buckets = self._hooks if scope["path"] in _HOOKS else self._pages
        wait = buckets.wait(peer)
        buckets.spend(peer)
        if wait:
            after = {"Retry-After": str(math.ceil(wait))}
            await PlainTextResponse("too many requests", 429, headers=after)(scope, receive, send)
            return
        await self._app(scope, receive, send)


def peer_of(scope: Scope) -> str:
    """Return the address that a request came from, of IPv6 its network."""
    host = str((scope.get("client") or ("",))[0])[:_LONGEST_ADDRESS]
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host
    if isinstance(address, ipaddress.IPv4Address):
        return host
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(ipaddress.ip_network((int(address), _IPV6_NETWORK), strict=False))


class BodyLimit:
    """Refuses bodies that are larger than any real one, before they are read into memory, and those that drip."""

    def __init__(self, app: ASGIApp, seconds: float = BODY_SECONDS) -> None:
        """Take the application behind it."""
        self._app = app
        self._seconds = seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or answer 413 or 408."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        length = dict(scope["headers"]).get(b"content-length", b"0")
        if not length.isdigit() or int(length) > LARGEST_BODY:
            await PlainTextResponse("too large", 413)(scope, receive, send)
            return
        try:
            await self._app(scope, self._counted(receive), send)
        except _BadBody as error:
            # Whoever reads a body reads it before answering.
            await PlainTextResponse(error.text, error.status)(scope, receive, send)

    def _counted(self, receive: Receive) -> Receive:
        until = asyncio.get_running_loop().time() + self._seconds
        taken, more = 0, True

        async def counted() -> Message:
            nonlocal taken, more
            if not more:
                return await receive()
            try:
                async with asyncio.timeout_at(until):
                    message = await receive()
            except TimeoutError:
                raise _BadBody("too slow", 408) from None
            taken += len(message.get("body", b""))
            more = message.get("more_body", False)
            if taken > LARGEST_BODY:
                raise _BadBody("too large", 413)
            return message

        return counted


class _BadBody(Exception):
    """More came than a request that does not say its length may bring, or it came too slowly."""

    def __init__(self, text: str, status: int) -> None:
        super().__init__(text)
        self.text = text
        self.status = status
