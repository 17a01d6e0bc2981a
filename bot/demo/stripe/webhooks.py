"""Sending events: signed, retried, and on request held back, doubled or out of order."""

import asyncio
import hashlib
import hmac
import json
import secrets
import ssl
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

import httpx

from bot.demo.stripe.account import fits
from bot.demo.stripe.core import Core, public
from bot.demo.stripe.errors import Json

_TIMEOUT = 10.0
_LOG = 2000


@dataclass(frozen=True)
class Delivery:
    """One event on its way to one endpoint."""

    event_id: str
    endpoint_id: str
    attempt: int = 0


def sign(body: str, secret: str, at: int) -> str:
    """The `Stripe-Signature` header of a body sent at `at` (real time, epoch seconds)."""
    mac = hmac.new(secret.encode(), f"{at}.{body}".encode(), hashlib.sha256).hexdigest()
    return f"t={at},v1={mac}"


class Webhooks:
    """The sender. Deliveries go out one after the other in the order of the events, retries later.

    Attributes:
        retry_delays: seconds before each further attempt; after the last one the delivery is given up.
        repeat: how often each delivery is made.
        log: the last attempts: event id and type, url, attempt, status (0: no answer).
    """

    def __init__(self, core: Core, retry_delays: Sequence[float] = (0.5, 1, 2, 5, 15, 60, 300)) -> None:
        self._core = core
        self.retry_delays = tuple(retry_delays)
        self.repeat = 1
        self.log: deque[Json] = deque(maxlen=_LOG)
        self._queue: deque[Delivery] = deque()
        self._held: list[Delivery] = []
        self._hold: tuple[str, ...] = ()
        self._waiting: dict[Delivery, asyncio.TimerHandle] = {}
        self._worker: asyncio.Task[None] | None = None
        self._idle = asyncio.Event()
        self._idle.set()
        self._client: httpx.AsyncClient | None = None

    def on_event(self, event: Json) -> None:
        """Note for whom a new event is, and start sending."""
        targets = [
            row["id"]
            for row in self._core.store.every("webhook_endpoint")
            if row["status"] == "enabled" and any(fits(event["type"], name) for name in row["enabled_events"])
        ]
        event |= {"pending_webhooks": len(targets), "_to": targets}
        self._core.store.save(event)
        self._enqueue(event)
        self._wake()

    def _enqueue(self, event: Json) -> None:
        held = any(fits(event["type"], pattern) for pattern in self._hold)
        for target in event["_to"]:
            copies = [Delivery(event["id"], target)] * self.repeat
            (self._held if held else self._queue).extend(copies)

    def start(self) -> None:
        """Go on with what an earlier run of this server could not deliver. Call inside the event loop."""
        known = {delivery.event_id for delivery in (*self._queue, *self._held, *self._waiting)}
        for event in self._core.store.every("event"):
            if event.get("_to") and event["id"] not in known:
                self._enqueue(event)
        self._wake()

    def hold(self, *patterns: str) -> None:
        """Keep back events of these types from now on; none given: all."""
        self._hold = patterns or ("*",)

    def release(self, order: str = "given", count: int | None = None) -> int:
        """Send what was held back: `given`, `reversed` or `shuffled`; with a count only the first ones.

        Returns:
            How many deliveries were let go. Without a count nothing is held back any more.
        """
        going = self._held[:count]
        self._held = self._held[len(going) :]
        if count is None:
            self._hold = ()
        if order == "reversed":
            going.reverse()
        elif order == "shuffled":
            going.sort(key=lambda _: secrets.randbits(32))
        self._queue.extend(going)
        self._wake()
        return len(going)

    def resend(self, event_id: str) -> None:
        """Send an event once more to everybody it is for."""
        event = self._core.store.need("event", event_id)
        for row in self._core.store.every("webhook_endpoint"):
            if any(fits(event["type"], name) for name in row["enabled_events"]):
                self._queue.append(Delivery(event_id, row["id"]))
        self._wake()

    async def settled(self, seconds: float = 10.0) -> None:
        """Wait until nothing is being sent or waits for another attempt; what is held back does not count.

        Raises:
            TimeoutError: it takes longer.
        """
        async with asyncio.timeout(seconds):
            await self._idle.wait()

    async def close(self) -> None:
        """Stop sending; what is undelivered is kept for the next start."""
        for handle in self._waiting.values():
            handle.cancel()
        self._waiting.clear()
        self._queue.clear()
        if self._worker is not None:
            self._worker.cancel()
            await asyncio.gather(self._worker, return_exceptions=True)
            self._worker = None
        if self._client is not None:
            await self._client.aclose()
            self._client = None

    def _wake(self) -> None:
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            return  # made outside a loop: `start` sends it
        if self._queue and (self._worker is None or self._worker.done()):
            self._idle.clear()
            self._worker = loop.create_task(self._run())

    async def _run(self) -> None:
        while self._queue:
            await self._deliver(self._queue.popleft())
        if not self._waiting:
            self._idle.set()

    async def _deliver(self, delivery: Delivery) -> None:
        event = self._core.store.get("event", delivery.event_id)
        endpoint = self._core.store.get("webhook_endpoint", delivery.endpoint_id)
        if event is None or endpoint is None:
            return
        status = await self._send(event, endpoint)
        self.log.append(
            {
                "event": event["id"],
                "type": event["type"],
                "url": endpoint["url"],
                "attempt": delivery.attempt + 1,
                "status": status,
            }
        )
        if httpx.codes.is_success(status):
            self._delivered(event, delivery.endpoint_id)
        else:
            self._later(delivery)

    async def _send(self, event: Json, endpoint: Json) -> int:
        if self._client is None:
            # To plain addresses on this machine: no proxy of the environment, no certificates to load.
            bare = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            self._client = httpx.AsyncClient(trust_env=False, verify=bare, timeout=_TIMEOUT)
        body = json.dumps(public(event), indent=2)
        headers = {
            "Content-Type": "application/json; charset=utf-8",
            "Stripe-Signature": sign(body, endpoint["_secret"], int(time.time())),
            "User-Agent": "Stripe/1.0 (+https://stripe.com/docs/webhooks)",
        }
        try:
            response = await self._client.post(endpoint["url"], content=body.encode(), headers=headers)
        except httpx.HTTPError:
            return 0
        return response.status_code

    def _delivered(self, event: Json, endpoint_id: str) -> None:
        if endpoint_id in event["_to"]:
            event["_to"].remove(endpoint_id)
            event["pending_webhooks"] = len(event["_to"])
            self._core.store.save(event)
            self._core.store.flush()

    def _later(self, delivery: Delivery) -> None:
        if delivery.attempt >= len(self.retry_delays):
            return
        again = Delivery(delivery.event_id, delivery.endpoint_id, delivery.attempt + 1)
        loop = asyncio.get_running_loop()
        handle = self._waiting.get(again)
        if handle is not None:
            handle.cancel()
        self._waiting[again] = loop.call_later(self.retry_delays[delivery.attempt], self._retry, again)

    def _retry(self, delivery: Delivery) -> None:
        self._waiting.pop(delivery, None)
        self._queue.append(delivery)
        self._wake()
