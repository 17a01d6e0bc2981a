"""The Stripe stand-in on a free port, and the real gateway on the real library that talks to it."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass

import uvicorn
from starlette.applications import Starlette
from starlette.routing import Mount

from billing.clock import ManualClock
from billing.money import Currency
from billing.stripe_gateway import StripeGateway
from bot.demo.stripe import StripeStandIn
from bot.demo.stripe.server import TEST_KEY

VISA, MASTERCARD, AMEX = "4242424242424242", "5555555555554444", "378282246310005"
DECLINES = "4000000000000341"
"""Is saved, and declined when charged."""
LOST = "4000000000009987"
ASKS_ALWAYS = "4000002760003184"
"""Its bank wants its owner every time."""
WEBHOOK_SECRET = "whsec_till"


@dataclass
class Shop:
    """A stand-in, whose `control` pulls the strings, and the gateway."""

    stripe: StripeStandIn
    gateway: StripeGateway


def spoil_charges(stripe: StripeStandIn, fault: str, *, times: int | None = 1) -> None:
    """Let the next requests that charge a card go wrong; `None` for all of them."""
    stripe.control.fault(fault, method="POST", path="/v1/payment_intents", times=times)


@contextlib.contextmanager
def impatient(gateway: StripeGateway, fault: str = "hang") -> Iterator[None]:
    """Have the gateway wait two seconds only, where what goes wrong is that no answer comes."""
    patience = gateway._timeout_s
    gateway._timeout_s = 2.0 if fault.startswith("hang") else patience
    try:
        yield
    finally:
        gateway._timeout_s = patience


@contextlib.asynccontextmanager
async def open_shop(clock: ManualClock, *, currency: str = "usd") -> AsyncIterator[Shop]:
    """A shop of one's own, on the test's clock."""
    stand_in = StripeStandIn(now=lambda: int(clock.now().timestamp()))
    listener = socket.create_server(("127.0.0.1", 0))
    app = Starlette(routes=[Mount("/stripe", app=stand_in.app)])
    config = uvicorn.Config(app, log_level=60, lifespan="off", timeout_graceful_shutdown=5)
    server = uvicorn.Server(config)
    task = asyncio.create_task(server.serve([listener]))
    stand_in.base_url = f"http://127.0.0.1:{listener.getsockname()[1]}/stripe"
    await stand_in.start()
    gateway = StripeGateway(
        api_key=TEST_KEY,
        currency=Currency.of(currency),
        webhook_secret=WEBHOOK_SECRET,
        api_url=stand_in.base_url,
        timeout_s=60,  # no machine is so slow; who tests a time-out says `impatient`
    )
    try:
        yield Shop(stand_in, gateway)
    finally:
        await gateway.close()
        await stand_in.close()
        server.should_exit = True
        await task
        listener.close()
