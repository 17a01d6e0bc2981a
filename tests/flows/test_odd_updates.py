"""Updates that nobody planned for, over HTTP: each is handled, none is an error (issue 4, point 5)."""

import asyncio
import itertools
import logging
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import select

from billing.clock import ManualClock
from billing.models import Customer
from bot.demo.telegram import Person, acts
from bot.demo.telegram.client import Tap
from tests.flows.presses import press
from tests.flows.world import World, open_world

BOT = {"id": 700000001, "is_bot": True, "first_name": "VM Shop", "username": "vmshop_bot"}
STRANGER = {"id": 55, "is_bot": False, "first_name": "Zoe"}
CHANNEL = {"id": -1001, "type": "channel", "title": "News"}
FORWARD = {"type": "hidden_user", "date": 1, "sender_user_name": "Mallory"}

_numbers = itertools.count(900_000_000)


@pytest.fixture
async def told(tmp_path: Path, sqlite_url: str, clock: ManualClock) -> AsyncIterator[World]:
    """A world told by webhooks: what a stand-in would never send can be posted as Telegram posts it."""
    async with open_world(tmp_path, sqlite_url, clock, webhook=True) as opened:
        yield opened
        await opened.check()


class Wire:
    """Posts updates as Telegram does."""

    def __init__(self, world: World, person: Person) -> None:
        self._world = world
        self._person = person

    async def post(self, **update: Any) -> None:
        headers = {"X-Telegram-Bot-Api-Secret-Token": self._world.app.settings.webhook_secret}
        async with httpx.AsyncClient(trust_env=False) as client:
            answer = await client.post(
                f"{self._world.url}/telegram", json={"update_id": next(_numbers), **update}, headers=headers
            )
        assert answer.status_code == 200
        await self._world.settled()

    async def says(self, **content: Any) -> None:
        await self.post(message=self.message(**content))

    def message(self, **content: Any) -> dict[str, Any]:
        user = {"id": self._person.id, "is_bot": False, "first_name": self._person.name}
        chat = {"id": self._person.id, "type": "private"}
        return {"message_id": next(_numbers), "date": 1768046400, "chat": chat, "from": user} | content


def from_bot(person: Person) -> list[str]:
    return [message.text for message in person.messages if message.from_bot]


async def test_what_is_not_for_us_is_left_alone(told: World, caplog: pytest.LogCaptureFixture) -> None:
    ann = told.person()
    await ann.start()
    await ann.wait_for_text("Hello")
    before = from_bot(ann)
    wire = Wire(told, ann)
    with caplog.at_level(logging.WARNING, logger="bot"):
        await wire.post(edited_message=wire.message(text="/deleteall", edit_date=1768046401))
        await wire.post(channel_post={"message_id": 1, "date": 1, "chat": CHANNEL, "text": "/start"})
        await wire.post(edited_channel_post={"message_id": 1, "date": 1, "chat": CHANNEL, "text": "x", "edit_date": 2})
        await wire.post(inline_query={"id": "1", "from": STRANGER, "query": "vm", "offset": ""})
        await wire.post(poll_answer={"poll_id": "1", "user": STRANGER, "option_ids": [0]})
        await wire.post(something_of_next_year={"id": 1})
        await wire.post()
        await wire.says(pinned_message=wire.message(text="Hello"))
        await wire.says(message_auto_delete_timer_changed={"message_auto_delete_time": 86400})
        await wire.says(new_chat_title="x")
        await wire.post(callback_query={"id": "7", "from": STRANGER, "chat_instance": "1", "data": "h"})
        await told.settled()
    assert from_bot(ann) == before
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]


async def test_what_a_person_may_send_gets_an_answer(told: World, caplog: pytest.LogCaptureFixture) -> None:
    ann = told.person(1, "<b>Ann</b> & Co", username="ann")
    await ann.start()
    await ann.wait_for_text("Hello <b>Ann</b> & Co!")
    wire = Wire(told, ann)
    sticker = {"file_id": "s", "file_unique_id": "u", "type": "regular", "width": 1, "height": 1}
    sticker |= {"is_animated": False, "is_video": False}
    for content in (
        {"sticker": sticker},
        {"location": {"longitude": 1.0, "latitude": 2.0}},
        {"dice": {"emoji": "🎲", "value": 3}},
        {"contact": {"phone_number": "+1", "first_name": "Bob"}},
        {"text": "hello"},
        {"text": "\x00"},
        {"text": "🏴" * 2000},
    ):
        count = len(from_bot(ann))
        await wire.says(**content)
        assert len(from_bot(ann)) == count + 1, content
    await wire.says(text="/deleteall", forward_origin=FORWARD)
    await ann.wait_for_text("forwarded, so I did nothing")
    for text in (
        "/",
        "//",
        "/ start",
        "/@",
        "/start@",
        "/\u202estart",
        "/start v_",
        "/start x" * 99,
        "/START",
        "/start@other_bot",
    ):
        await wire.says(text=text)
    olga = told.admin
    await olga.start()
    await olga.send("/announce")
    asked = await olga.wait_for_text("Type the announcement")
    await Wire(told, olga).says(sticker=sticker)
    assert olga.last.id > asked.id
    await press(told, olga, "ud:1:9223372036854775", olga.last.id)
    await ann.send("/support")
    await ann.send_document("notes.txt", b"hello", caption="/deleteall")
    for data in (
        "",
        "h:1",
        "zz:1",
        "md:1:2",
        "md:9999999999999999",
        "i:-1",
        "i:9999999999999999",
        ":",
        "h" * 64,
        "<b>",
    ):
        await press(told, ann, data, ann.last.id)
    assert not any("went wrong on our side" in text for text in [*from_bot(ann), *from_bot(olga)])
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR and record.name[:3] == "bot"]


async def test_people_without_a_name_and_those_who_block_and_come_back(told: World) -> None:
    zed = told.person(2, "Zed")
    await zed.start()
    await zed.wait_for_text("Hello Zed!")
    wire = Wire(told, zed)
    nameless = {"id": 2, "is_bot": False, "first_name": ""}
    await wire.says(text="/start", **{"from": nameless})
    await zed.wait_for_text("Hello there!")
    await told.admin.start()
    await told.admin.send("/users 2")
    await told.admin.wait_for_text("Customers with 2")
    await told.admin.press("@2 (2)")
    await told.admin.wait_for_text("@2 (2)")
    await zed.block()
    await reaches(told, 2, unreachable=True)
    await told.admin.send("/block 2")
    await told.admin.wait_for_text("Blocked the bot on")
    await told.settled()
    await zed.unblock()
    await reaches(told, 2, unreachable=False)
    await zed.start()
    await zed.wait_for_text("Hello")


async def reaches(world: World, telegram_id: int, *, unreachable: bool) -> None:
    """Wait until the bot knows whether somebody can be written to."""
    since = select(Customer.unreachable_at).where(Customer.telegram_id == telegram_id)
    async with asyncio.timeout(10):
        while True:
            async with world.app.database.read() as session:
                if (await session.scalar(since) is not None) == unreachable:
                    return
            await asyncio.sleep(0.02)


async def test_in_a_group_there_is_only_the_way_to_the_private_chat(told: World) -> None:
    ann = told.person()
    await ann.start()
    await ann.wait_for_text("Hello")
    group = told.telegram.group("Flat 7", ann)
    await group.add_bot(ann, administrator=True)
    there = ann.at(group)
    await there.send("/vms")
    answer = await there.wait_for_text("in private")
    assert answer.buttons[0].url == told.app.chat_url
    for text in ("hello", "/start@another_bot", "$5.00"):
        await there.send(text)
    await told.settled()
    assert sum(message.from_bot for message in group.messages) == 1
    await there.send(f"what does it cost, @{told.telegram.state.bot['username']}?")
    await there.wait_for_text("in private")
    tap = Tap(told.telegram.state, acts.tap(told.telegram.state, 1, group.chat, answer.id, "h"))
    assert "private" in (await tap.answered())["text"]
    assert {message.text for message in group.messages if message.from_bot} == {answer.text}
    await group.remove_bot(ann)
    await told.settled()
    await reaches(told, 1, unreachable=False)
