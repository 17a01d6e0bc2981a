"""Lists of Stripe's, whose objects may be other people's and of next year; how many calls go on at once."""

import asyncio
from datetime import UTC, datetime
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from billing.gateway import GatewayBusy, OutcomeUnknown
from billing.models import RefundStatus
from billing.money import Currency
from billing.stripe_calls import AT_ONCE
from billing.stripe_gateway import StripeGateway
from bot.demo.telegram.serving import serving

SINCE = datetime(2026, 1, 1, tzinfo=UTC)


async def refunds(status: str | None) -> list[RefundStatus]:
    """What the gateway makes of a list with one refund of this status."""
    refund: dict[str, Any] = {
        "id": "re_1", "object": "refund", "status": status, "amount": 5, "payment_intent": "pi_1", "metadata": None,
    }  # fmt: skip

    async def answer(_: Request) -> JSONResponse:
        return JSONResponse({"object": "list", "data": [refund], "has_more": False, "url": "/v1/refunds"})

    async with serving(Starlette(routes=[Route("/v1/refunds", answer)]), before_stop=None) as url:
        gateway = StripeGateway(api_key="sk_test_x", currency=Currency.of("usd"), api_url=url)
        try:
            return [found.status for found in await gateway.refunds_since(SINCE)]
        finally:
            await gateway.close()


async def test_a_status_that_nobody_knows_is_an_answer_that_cannot_be_read() -> None:
    """The job that compares says so in a line, and does not break off."""
    with pytest.raises(OutcomeUnknown):
        await refunds("teleported")


async def test_a_refund_without_a_status_is_on_its_way() -> None:
    assert await refunds(None) == [RefundStatus.PENDING]


async def test_only_so_many_calls_go_on_at_once() -> None:
    """What finds no room in time was not asked, and is said so: it may be asked again."""
    asked, full, lets = [], asyncio.Event(), asyncio.Event()

    async def slow(_: Request) -> JSONResponse:
        asked.append(1)
        if len(asked) == AT_ONCE:
            full.set()
        await lets.wait()
        return JSONResponse({"object": "list", "data": [], "has_more": False, "url": "/v1/refunds"})

    async with serving(Starlette(routes=[Route("/v1/refunds", slow)]), before_stop=None) as url:
        gateway = StripeGateway(api_key="sk_test_x", currency=Currency.of("usd"), api_url=url)
        calls = [asyncio.create_task(gateway.refunds_since(SINCE)) for _ in range(AT_ONCE)]
        async with asyncio.timeout(20):
            await full.wait()
        gateway._timeout_s = 0.01
        with pytest.raises(GatewayBusy):
            await gateway.refunds_since(SINCE)
        gateway._timeout_s = 20.0
        calls.append(asyncio.create_task(gateway.refunds_since(SINCE)))
        lets.set()
        await asyncio.gather(*calls)
        await gateway.close()
    assert len(asked) == AT_ONCE + 1
