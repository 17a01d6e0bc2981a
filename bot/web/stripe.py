"""Stripe's webhook: a good event is stored before it is answered, a bad one changes nothing."""

import logging
from collections.abc import Callable

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from billing import inbox
from billing.clock import Clock
from billing.db import Database
from billing.gateway import Gateway, GatewayRefused
from bot import logs

log = logging.getLogger(__name__)


class StripeHook:
    """`POST /stripe`."""

    def __init__(self, *, gateway: Gateway, database: Database, clock: Clock, wake: Callable[[], None]) -> None:
        """Take who proves signatures, where events go, and who is told that one came."""
        self._gateway = gateway
        self._database = database
        self._clock = clock
        self._wake = wake

    async def __call__(self, request: Request) -> Response:
        """Return 200 when the event is safe, 400 for a bad signature, a stale timestamp or what is no event."""
        try:
            event = self._gateway.parse_event(await request.body(), request.headers.get("Stripe-Signature", ""))
        except GatewayRefused as error:
            log.warning("stripe webhook: %s", error)
            return PlainTextResponse("bad signature or event", 400)
        with logs.about(f"event:{event.event_id}"):
            async with self._database.transaction() as session:
                await inbox.store(session, "stripe", event, now=self._clock.now())
        self._wake()
        return PlainTextResponse("")
