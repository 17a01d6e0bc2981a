"""The stand-in under a prefix, as the demo mounts it, reached over HTTP by the official library."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import stripe
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Mount, Route
from stripe.params import CustomerCreateParams

from bot.demo.stripe import StripeStandIn
from bot.demo.stripe.server import TEST_KEY

START = 1_790_000_000


@dataclass
class Clock:
    """Epoch seconds that a test moves."""

    at: int = START

    def __call__(self) -> int:
        return self.at


@dataclass
class Shop:
    """A running stand-in, a client of it, and a receiver of its webhooks."""

    stand_in: StripeStandIn
    client: stripe.StripeClient
    clock: Clock
    url: str
    """Where the stand-in is mounted."""
    hook_url: str
    received: list[tuple[bytes, str]] = field(default_factory=list)
    hook_statuses: list[int] = field(default_factory=list)
    """What the receiver answers to the next deliveries; 200 when empty."""

    @property
    def api(self) -> stripe.V1Services:
        return self.client.v1

    async def customer(self, email: str = "ada@example.com", name: str = "") -> stripe.Customer:
        about: CustomerCreateParams = {"email": email}
        if name:
            about["name"] = name
        return await self.api.customers.create_async(about)

    async def card(self, customer: str, method: str = "pm_card_visa") -> stripe.PaymentMethod:
        return await self.api.payment_methods.attach_async(method, {"customer": customer})

    def event_types(self) -> list[str]:
        return [event["type"] for event in self.stand_in.control.events()]


def plain(value: stripe.StripeObject | None) -> dict[str, Any]:
    """An untyped object of the library, such as metadata, as a dict."""
    return value.to_dict() if value is not None else {}


@contextlib.asynccontextmanager
async def serve(app: Starlette) -> AsyncIterator[str]:
    """The application on a free port of the loopback."""
    listener = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(app, log_level=60, lifespan="off", timeout_graceful_shutdown=5)
    server = uvicorn.Server(config)
    # Connections made before the server runs wait in the socket.
    task = asyncio.create_task(server.serve([listener]))
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        await task
        listener.close()


@contextlib.asynccontextmanager
async def open_shop(
    directory: Path | None = None, *, clock: Clock | None = None, patience: float = 5.0
) -> AsyncIterator[Shop]:
    """A shop; with a directory it finds what an earlier one left there."""
    clock = clock or Clock()
    stand_in = StripeStandIn(now=clock, directory=directory)
    shop: Shop | None = None

    async def receive(request: Request) -> Response:
        assert shop is not None
        shop.received.append((await request.body(), request.headers["stripe-signature"]))
        return Response(status_code=shop.hook_statuses.pop(0) if shop.hook_statuses else 200)

    app = Starlette(routes=[Mount("/stripe", app=stand_in.app), Route("/hook", receive, methods=["POST"])])
    async with serve(app) as url:
        stand_in.base_url = f"{url}/stripe"
        http = stripe.HTTPXClient(timeout=patience)
        client = stripe.StripeClient(
            TEST_KEY, base_addresses={"api": stand_in.base_url}, http_client=http, max_network_retries=0
        )
        shop = Shop(stand_in, client, clock, stand_in.base_url, f"{url}/hook")
        await stand_in.start()
        try:
            yield shop
        finally:
            await http.close_async()  # type: ignore[no-untyped-call]
            await stand_in.close()


@pytest.fixture
async def shop() -> AsyncIterator[Shop]:
    async with open_shop() as opened:
        yield opened


@pytest.fixture
def shops() -> Callable[..., contextlib.AbstractAsyncContextManager[Shop]]:
    """For tests that open more than one, or one of a certain kind."""
    return open_shop
