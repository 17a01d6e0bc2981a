"""What the internet may send to the web endpoints, and what becomes of it."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
from sqlalchemy import func, select
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp
from telegram import Bot

from billing.clock import ManualClock
from billing.db import Database
from bot.buckets import MOST, Buckets
from bot.models import ChatUpdate
from bot.updates import UpdateStore
from bot.web.health import Health
from bot.web.limits import HOOKS, LARGEST_BODY, PAGES, BodyLimit, RateLimit, peer_of
from bot.web.pages import CheckoutPages
from bot.web.routes import application
from bot.web.telegram import TelegramHook
from tests.bot.test_replicas import says

SECRET = "of-a-test"
HEADER = "X-Telegram-Bot-Api-Secret-Token"


@pytest.fixture
async def client(sqlite_database: Database, clock: ManualClock) -> AsyncIterator[httpx.AsyncClient]:
    async def look(_: str) -> None:
        raise AssertionError("nobody asked for a page")

    bot = Bot("1:a")
    app = application(
        telegram=TelegramHook(SECRET, UpdateStore(sqlite_database, clock), bot),
        stripe=None,
        pages=CheckoutPages("https://t.me/shop", look, look),
        health=Health(sqlite_database, bot, clock),
        now=lambda: 0.0,
    )
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://shop") as opened:
        yield opened


async def stored(database: Database) -> int:
    async with database.read() as session:
        return await session.scalar(select(func.count()).select_from(ChatUpdate)) or 0


@pytest.mark.parametrize("headers", [{}, {HEADER: ""}, {HEADER: "of-a-tesT"}, {HEADER: SECRET + "x"}, {HEADER: "é"}])
async def test_telegrams_webhook_asks_for_the_secret(
    client: httpx.AsyncClient, sqlite_database: Database, headers: dict[str, str]
) -> None:
    given: Any = {name: value.encode() for name, value in headers.items()}
    assert (await client.post("/telegram", json=says(1), headers=given)).status_code == 403
    assert await stored(sqlite_database) == 0
    for _ in range(2):
        assert (await client.post("/telegram", json=says(1), headers={HEADER: SECRET})).status_code == 200
    assert await stored(sqlite_database) == 1


@pytest.mark.parametrize("tells_length", [True, False])
async def test_a_body_beyond_the_limit_is_refused(
    client: httpx.AsyncClient, sqlite_database: Database, *, tells_length: bool
) -> None:
    async def drip() -> AsyncIterator[bytes]:
        for _ in range(LARGEST_BODY // 65536 + 1):
            yield b" " * 65536

    content: Any = b" " * (LARGEST_BODY + 1) if tells_length else drip()
    answer = await client.post("/telegram", content=content, headers={HEADER: SECRET})
    assert answer.status_code == 413
    assert await stored(sqlite_database) == 0


async def test_a_body_that_drips_is_given_up() -> None:
    async def read(scope: Any, receive: Any, send: Any) -> None:
        await Request(scope, receive, send).body()

    async def silence() -> Any:
        return await asyncio.get_running_loop().create_future()

    sent = await called(BodyLimit(read, seconds=0.01), "/", receive=silence)
    assert sent[0]["status"] == 408


async def called(app: ASGIApp, path: str, *, receive: Any = None, **more: Any) -> list[Any]:
    """Return what an application sends to somebody who asks for a path."""
    sent = []

    async def nothing() -> Any:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {"type": "http", "method": "GET", "path": path, "headers": [], "query_string": b"", **more}
    await app(scope, receive or nothing, send)
    return sent


# --- how often


@dataclass
class Door:
    """The limits in front of somebody who answers with what the path says, and a clock that stands still."""

    seconds: float = 1000.0
    answered: int = 0

    def __post_init__(self) -> None:
        self._app = RateLimit(self._answer, lambda: self.seconds)

    async def _answer(self, scope: Any, receive: Any, send: Any) -> None:
        self.answered += 1
        status = 200 if (b"good", b"1") in scope["headers"] else 403
        await PlainTextResponse("", status)(scope, receive, send)

    async def ask(self, path: str, *, peer: str = "192.0.2.1", good: bool = True) -> tuple[int, str]:
        """Return the status of an answer, and after how many seconds to come back."""
        headers = [(b"good", b"1")] if good else []
        start, *_ = await called(self._app, path, client=(peer, 1), headers=headers)
        return start["status"], dict(start["headers"]).get(b"retry-after", b"").decode()

    async def many(self, count: int, path: str, *, good: bool = True) -> set[int]:
        return {(await self.ask(path, good=good))[0] for _ in range(count)}


async def test_who_asks_for_pages_too_often_waits() -> None:
    door = Door()
    assert await door.many(int(PAGES.burst), "/checkout/done") == {200}
    assert await door.ask("/checkout/done") == (429, "1")
    assert door.answered == PAGES.burst
    assert await door.ask("/checkout/done", peer="192.0.2.2") == (200, "")
    assert await door.ask("/stripe") == (200, "")
    door.seconds += 1.5 / PAGES.per_second
    assert [(await door.ask("/metrics"))[0] for _ in range(2)] == [200, 429]


async def test_good_events_are_let_through_by_the_thousand() -> None:
    door = Door()
    assert await door.many(int(HOOKS.burst), "/stripe") == {200}
    assert await door.ask("/stripe") == (429, "1")


async def test_forged_events_keep_no_real_one_from_coming() -> None:
    door = Door()
    for path in ("/stripe", "/telegram"):
        assert await door.many(500, path, good=False) == {403}
        assert await door.ask(path, good=True) == (200, "")


def test_only_so_many_peers_are_remembered() -> None:
    buckets = Buckets[int](PAGES, lambda: 0.0)
    for number in range(MOST + 5):
        buckets.spend(number, int(PAGES.burst))
    assert len(buckets) == MOST
    assert buckets.wait(4) == 0
    assert buckets.wait(5) > 0


@pytest.mark.parametrize(
    ("client", "peer"),
    [
        (("192.0.2.7", 1), "192.0.2.7"),
        (("::ffff:192.0.2.7", 1), "192.0.2.7"),
        (("2001:db8:1:2:3::4", 1), "2001:db8:1:2::/64"),
        (("2001:db8:1:2:ffff::", 1), "2001:db8:1:2::/64"),
        (("x" * 999, 1), "x" * 64),
        (None, ""),
    ],
)
def test_a_peer_is_an_address_or_a_network(client: Any, peer: str) -> None:
    assert peer_of({"client": client}) == peer


async def test_every_request_goes_through_the_limits(client: httpx.AsyncClient) -> None:
    for _ in range(int(PAGES.burst)):
        assert (await client.get("/healthz")).status_code == 200
    limited = [await client.get(path) for path in ("/healthz", "/metrics", "/checkout/done", "/nowhere")]
    assert {answer.status_code for answer in limited} == {429}
    assert limited[0].headers["retry-after"] == "1"
