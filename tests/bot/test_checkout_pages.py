"""The page that Checkout sends the browser to believes nothing, and bears anything."""

from collections.abc import AsyncIterator
from urllib.parse import quote

import httpx
import pytest
from starlette.applications import Starlette
from starlette.routing import Route

from bot.demo.telegram.serving import serving
from bot.web.pages import CheckoutPages


@pytest.fixture
async def looked_at() -> list[str]:
    return []


@pytest.fixture
async def url(looked_at: list[str]) -> AsyncIterator[str]:
    async def look(thing_id: str) -> None:
        looked_at.append(thing_id)

    pages = CheckoutPages("https://t.me/shop_bot", look, look)
    app = Starlette(routes=[Route("/checkout/done", pages.done), Route("/checkout/cancelled", pages.cancelled)])
    async with serving(app, before_stop=None) as address:
        yield f"{address}/checkout/done"


@pytest.mark.parametrize(
    ("given", "asked"),
    [
        ("cs_test_a1B2", ["cs_test_a1B2"]),
        ("", []),
        ("cs_\x00", []),
        ("{CHECKOUT_SESSION_ID}", []),
        ("../v1/customers", []),
        ("x" * 201, []),
    ],
)
async def test_only_what_may_be_an_id_is_looked_at(
    url: str, looked_at: list[str], given: str, asked: list[str]
) -> None:
    """PostgreSQL cannot even look up a text that holds a zero."""
    async with httpx.AsyncClient(trust_env=False) as client:
        answer = await client.get(f"{url}?session_id={quote(given, safe='')}")
    assert answer.status_code == 200
    assert "https://t.me/shop_bot" in answer.text
    assert looked_at == asked
