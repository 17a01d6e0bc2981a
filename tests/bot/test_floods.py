"""Who sends more than anybody types: told once, then dropped unread until they are quiet."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest
from sqlalchemy import event
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route
from telegram import Bot
from telegram.request import HTTPXRequest

from billing import accounts
from billing.clock import ManualClock
from billing.db import Database
from bot.buckets import Allowance
from bot.demo.telegram.serving import serving
from bot.floods import ANSWERS_AT_ONCE, PERSON, QUIET_SECONDS, UNANSWERED, Gate
from bot.updates import UpdateStore
from tests.bot.test_replicas import says

ANN, BOB = 5, 6
MANY = int(PERSON.burst)


def taps(number: int, person: int = ANN) -> dict[str, Any]:
    ann = {"id": person, "is_bot": False, "first_name": "Ann"}
    return {"update_id": number, "callback_query": {"id": f"q{number}", "from": ann, "chat_instance": "1", "data": "h"}}


def asks_before_payment(number: int) -> dict[str, Any]:
    query = {"id": "p", "from": {"id": ANN, "is_bot": False, "first_name": "Ann"}, "currency": "XTR"}
    return {"update_id": number, "pre_checkout_query": query | {"total_amount": 5, "invoice_payload": "topup:1"}}


@dataclass
class Told:
    """A Telegram that only listens, and answers when it is let."""

    calls: list[tuple[str, str]] = field(default_factory=list)
    lets: asyncio.Event = field(default_factory=asyncio.Event)

    async def answer(self, request: Request) -> JSONResponse:
        form = await request.form()
        self.calls.append((request.path_params["method"], str(form.get("text"))))
        await self.lets.wait()
        return JSONResponse({"ok": True, "result": True})


@dataclass
class Kept:
    """A store of the numbers of updates, which is away at times."""

    numbers: list[int] = field(default_factory=list)
    away: bool = False
    unanswered: int = UNANSWERED

    async def add(self, payloads: Sequence[dict[str, Any]], _: Bot) -> None:
        if self.away:
            raise OSError("connection lost")
        self.numbers += [payload["update_id"] for payload in payloads]

    def waiting(self, lane: int) -> int:
        return self.unanswered if lane in {ANN, BOB, -7} else 0


class Flood:
    """A gate in front of a store, on a clock that stands still."""

    def __init__(self, bot: Bot, database: Database, told: Told) -> None:
        self.seconds = 0.0
        self.kept = Kept()
        self.gate = Gate(self.kept, database, lambda: self.seconds)
        self.told = told
        self._bot = bot

    async def send(self, *payloads: dict[str, Any]) -> list[int]:
        """Return the numbers of those that are stored, in their order."""
        before = len(self.kept.numbers)
        await self.gate.add(payloads, self._bot)
        return self.kept.numbers[before:]

    async def said(self) -> list[tuple[str, str]]:
        """Return what the bot has said by the time when nothing more is under way."""
        self.told.lets.set()
        await asyncio.gather(*self.gate._answering)
        return self.told.calls


@pytest.fixture
async def flood(sqlite_database: Database) -> AsyncIterator[Flood]:
    told = Told()
    app = Starlette(routes=[Route("/bot1:a/{method}", told.answer, methods=["POST"])])
    async with serving(app, before_stop=None) as url, HTTPXRequest(connection_pool_size=64) as request:
        opened = Flood(Bot("1:a", base_url=f"{url}/bot", request=request), sqlite_database, told)
        yield opened
        await opened.gate.close()


async def test_who_floods_is_told_once_and_heard_again_after_a_pause(flood: Flood) -> None:
    assert await flood.send(*(says(number) for number in range(MANY))) == list(range(MANY))
    assert await flood.send(says(100), says(101, BOB), says(102)) == [101]
    for late in (5, QUIET_SECONDS - 1, QUIET_SECONDS - 1):
        flood.seconds += late  # the bucket fills, but they are not quiet
        assert await flood.send(says(110)) == []
    ((method, text),) = await flood.said()
    assert method == "sendMessage"
    assert "wait ten seconds" in text
    flood.seconds += QUIET_SECONDS
    assert await flood.send(says(120)) == [120]
    assert len(await flood.said()) == 1


async def test_a_person_at_the_pace_of_people_is_never_stopped(flood: Flood) -> None:
    for number in range(5 * MANY):
        flood.seconds += 1 / PERSON.per_second
        assert await flood.send(says(number)) == [number]


async def test_who_waits_for_answers_is_never_stopped(flood: Flood) -> None:
    flood.kept.unanswered = UNANSWERED - 1
    for number in range(5 * MANY):
        assert await flood.send(says(number)) == [number]
    flood.kept.unanswered = UNANSWERED
    assert await flood.send(says(9000)) == []


async def test_taps_of_a_flood_get_a_word(flood: Flood) -> None:
    await flood.send(*(taps(number) for number in range(MANY)))
    assert await flood.send(taps(100), taps(101), says(102)) == []
    assert sorted(await flood.said()) == [("answerCallbackQuery", "Please wait ten seconds")] * 2


async def test_only_so_many_words_to_floods_are_under_way(flood: Flood) -> None:
    await flood.send(*(taps(number) for number in range(MANY + 2 * ANSWERS_AT_ONCE)))
    assert len(flood.gate._answering) == ANSWERS_AT_ONCE
    assert len(await flood.said()) == ANSWERS_AT_ONCE
    assert await flood.send(taps(200)) == []
    assert len(await flood.said()) == ANSWERS_AT_ONCE + 1


async def test_it_is_said_in_the_persons_language(flood: Flood, sqlite_database: Database, clock: ManualClock) -> None:
    async with sqlite_database.transaction() as session:
        await accounts.register(session, telegram_id=ANN, username="", name="Ann", language="ar", now=clock.now())
    await flood.send(*(says(number) for number in range(MANY + 1)))
    ((_, text),) = await flood.said()
    assert text
    assert not text.isascii()


async def test_what_tells_of_money_is_never_dropped(flood: Flood) -> None:
    await flood.send(*(says(number) for number in range(MANY + 1)))
    paid, given_back = says(101), says(102)
    paid["message"]["successful_payment"] = {"total_amount": 5}
    given_back["message"]["refunded_payment"] = {"total_amount": 5}
    assert await flood.send(says(100), paid, given_back, asks_before_payment(103)) == [101, 102, 103]


async def test_a_flood_in_a_group_is_dropped_without_a_word(flood: Flood) -> None:
    in_group = says(100)
    in_group["message"]["chat"] = {"id": -7, "type": "supergroup"}
    await flood.send(*(says(number) for number in range(MANY)))
    assert await flood.send(in_group) == []
    assert await flood.said() == []


async def test_what_comes_again_because_the_database_was_away_counts_once(flood: Flood) -> None:
    flood.kept.away = True
    for _ in range(2 * MANY):
        with pytest.raises(OSError, match="lost"):
            await flood.send(says(1), says(2))
    flood.kept.away = False
    assert await flood.send(*(says(number) for number in range(MANY))) == list(range(MANY))


@pytest.mark.parametrize(
    "payload", [{}, {"message": 5}, {"message": {"from": None}}, {"message": {"from": {"id": "5"}}}, {"message": []}]
)
async def test_odd_shapes_are_left_to_the_store(flood: Flood, payload: dict[str, Any]) -> None:
    flood.gate.buckets.allowance = Allowance(0, 1)
    assert await flood.send({"update_id": 1} | payload) == [1]


async def test_what_is_dropped_costs_the_database_no_write(
    flood: Flood, sqlite_database: Database, clock: ManualClock
) -> None:
    gate = Gate(UpdateStore(sqlite_database, clock), sqlite_database, lambda: 0.0)
    bot = flood._bot
    await gate.add([says(number) for number in range(MANY)], bot)
    written: list[str] = []
    event.listen(sqlite_database.engine.sync_engine, "before_cursor_execute", lambda *given: written.append(given[2]))
    await gate.add([says(number) for number in range(MANY, 2 * MANY)], bot)
    flood.told.lets.set()
    await asyncio.gather(*gate._answering)
    assert flood.told.calls
    assert written == []
    await gate.add([says(2 * MANY, BOB)], bot)
    assert written
