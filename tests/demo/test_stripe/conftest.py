"""The stand-in under a prefix, as the demo mounts it, reached over HTTP by the official library."""

import asyncio
import contextlib
import functools
import socket
import ssl
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

import httpx
import pytest
import pytest_asyncio
import stripe
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Mount, Route
from starlette.types import ASGIApp, Receive, Scope, Send
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


def web(auth: tuple[str, str] | None = None, base_url: str = "") -> httpx.AsyncClient:
    """A client for plain addresses on this machine; loading certificates would take most of a test's time."""
    bare = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    return httpx.AsyncClient(trust_env=False, verify=bare, auth=auth, base_url=base_url)


Shops: TypeAlias = Callable[..., contextlib.AbstractAsyncContextManager[Shop]]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Share one event loop, and so one server, among the tests of a module: starting one takes longer than a test."""
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents and pytest_asyncio.is_async_test(item):
            item.add_marker(pytest.mark.asyncio(loop_scope="module"), append=False)


@dataclass
class Place:
    """A server on a free port of the loopback; what it serves is changed by each test."""

    url: str
    app: ASGIApp

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.app(scope, receive, send)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def place() -> AsyncIterator[Place]:
    listener = socket.create_server(("127.0.0.1", 0))
    place = Place(f"http://127.0.0.1:{listener.getsockname()[1]}", Starlette())
    config = uvicorn.Config(place, log_level=60, lifespan="off", timeout_graceful_shutdown=5)
    server = uvicorn.Server(config)
    # Connections made before the server runs wait in the socket.
    task = asyncio.create_task(server.serve([listener]))
    yield place
    server.should_exit = True
    await task


@contextlib.asynccontextmanager
async def open_shop(
    place: Place, directory: Path | None = None, *, clock: Clock | None = None, patience: float = 5.0
) -> AsyncIterator[Shop]:
    """A shop; with a directory it finds what an earlier one left there."""
    clock = clock or Clock()
    stand_in = StripeStandIn(f"{place.url}/stripe", now=clock, directory=directory)
    http = stripe.HTTPXClient(timeout=patience, verify_ssl_certs=False)
    client = stripe.StripeClient(
        TEST_KEY, base_addresses={"api": stand_in.base_url}, http_client=http, max_network_retries=0
    )
    shop = Shop(stand_in, client, clock, stand_in.base_url, f"{place.url}/hook")

    async def receive(request: Request) -> Response:
        shop.received.append((await request.body(), request.headers["stripe-signature"]))
        return Response(status_code=shop.hook_statuses.pop(0) if shop.hook_statuses else 200)

    place.app = Starlette(routes=[Mount("/stripe", app=stand_in.app), Route("/hook", receive, methods=["POST"])])
    await stand_in.start()
    try:
        yield shop
    finally:
        await http.close_async()  # type: ignore[no-untyped-call]
        await stand_in.close()


@pytest_asyncio.fixture(loop_scope="module")
async def shop(place: Place) -> AsyncIterator[Shop]:
    async with open_shop(place) as opened:
        yield opened


@pytest.fixture
def shops(place: Place) -> Shops:
    """For tests that open more than one, or one of a certain kind."""
    return functools.partial(open_shop, place)
