"""Thousands of made-up updates, plausible and mad: none is an error, everybody is answered in order (issue 4)."""

import asyncio
import itertools
import logging
import random
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import func, select

from billing.clock import ManualClock
from bot.callbacks import Press
from bot.demo.telegram import Person
from bot.models import ChatUpdate
from tests.flows import presses
from tests.flows.test_machines import deployed
from tests.flows.test_order import with_card
from tests.flows.world import ADMIN, World, open_world

Json = dict[str, Any]

PEOPLE = (1, 2, 3, 4, ADMIN)
SEED = 4
WORDS = (
    *(
        "vm",
        "k8s",
        "small",
        "large",
        "web",
        "web-1",
        "public",
        "1",
        "3",
        "0",
        "-1",
        "5.00",
        "1e9",
        "0.001",
        "99999999999",
    ),
    *("INV-2026-000001", "CN-2026-000001", "on", "off", "@ann", "2", "9000", "2026-01", "unpaid", "for a meetup"),
    *(
        "7K2M-9QXA-41TB-ZC6D-8WPE",
        "ann@example.com",
        "<b>",
        "</b>&amp;",
        "\u202e",
        "\x00",
        "٣",
        "🏴" * 9,
        "x" * 70,
        "' OR 1=1",
    ),
    "ssh-ed25519 AAAA",
)
"""What people type behind commands, and what they should not."""
LETTERS = "aZ0 \n\t-_/:;<>&'\"\\%{}$@#\x00\x01\u200f\u202eéßعم漢🏴\U0010ffff"
STUCK_SECONDS = 60


@pytest.fixture
async def told(tmp_path: Path, sqlite_url: str, clock: ManualClock) -> AsyncIterator[World]:
    """A world told by webhooks, as anybody who knows the address and the secret could."""
    async with open_world(tmp_path, sqlite_url, clock, webhook=True) as opened:
        yield opened
        await opened.check()


class Maker:
    """Makes the updates of one person, the same ones for the same seed."""

    def __init__(self, person: Person, seed: int, numbers: Iterator[int]) -> None:
        self._person = person
        self._any = random.Random(f"{seed}:{person.id}")  # noqa: S311 chance, not secrecy
        self._numbers = numbers
        self._count = 0
        kinds = [kind for kind in presses.ROUTES.presses if "Close" not in kind.__name__]
        self._kinds: list[type[Press]] = sorted(kinds, key=lambda kind: kind.__name__)
        self._makers: list[tuple[int, Callable[[], Json]]] = [
            (30, self._command),
            (30, self._tap),
            (10, self._text),
            (5, self._thing),
            (5, self._mad_tap),
            (5, self._elsewhere),
            (10, self._broken),
        ]

    def make(self) -> Json:
        weights = [weight for weight, _ in self._makers]
        (_, maker), *_ = self._any.choices(self._makers, weights)
        return {"update_id": next(self._numbers)} | maker()

    def marked(self) -> Json:
        """A command whose answer says which one it answers."""
        self._count += 1
        return {"update_id": next(self._numbers), **self._message(text=f"/delete no-{self._count}-such")}

    def _message(self, **content: Any) -> Json:
        return {"message": self._envelope() | content}

    def _envelope(self) -> Json:
        chat = {"id": self._person.id, "type": "private"}
        return {"message_id": next(self._numbers), "date": 1768046400, "chat": chat, "from": self._user()}

    def _user(self) -> Json:
        return {"id": self._person.id, "is_bot": False, "first_name": self._person.name, "language_code": "en"}

    def _command(self) -> Json:
        name = self._any.choice(sorted(presses.ROUTES.commands))
        words = self._any.choices(WORDS, k=self._any.randrange(5))
        return self._message(text=" ".join([f"/{name}", *words])[:4096])

    def _text(self) -> Json:
        text = "".join(self._any.choices(LETTERS, k=self._any.choice((1, 5, 50, 4096))))
        return self._message(text=self._any.choice((text, self._any.choice(WORDS))))

    def _thing(self) -> Json:
        file = {"file_id": "f", "file_unique_id": "u"}
        content: Json = self._any.choice(
            (
                {"location": {"longitude": 1.0, "latitude": 2.0}},
                {"dice": {"emoji": "🎲", "value": 3}},
                {"contact": {"phone_number": "+1", "first_name": "Bob"}},
                {"photo": [{**file, "width": 1, "height": 1}], "caption": "/deleteall"},
                {"document": file, "media_group_id": "7"},
                {"text": "/deleteall", "forward_origin": {"type": "hidden_user", "date": 1, "sender_user_name": "M"}},
                {"text": "yes", "reply_to_message": self._envelope() | {"text": "no"}},
                {"new_chat_title": "x"},
            )
        )
        return self._message(**content)

    def _tap(self) -> Json:
        kind = self._any.choice(self._kinds)
        numbers = {field.name: [self._any.choice((0, 1, 1, 2, 3, -1, 10**15))] for field in fields(kind)}
        return self._callback(self._any.choice(list(presses.made(kind, numbers))).pack())

    def _mad_tap(self) -> Json:
        return self._callback("".join(self._any.choices("hmdicv:019-x<\x00é", k=self._any.randrange(20))))

    def _callback(self, data: str) -> Json:
        message = self._envelope() | {"text": "an old screen", "message_id": self._any.randrange(1, 60)}
        query = {"id": str(next(self._numbers)), "from": self._user(), "chat_instance": "1", "data": data}
        return {"callback_query": query | self._any.choice(({"message": message}, {}))}

    def _elsewhere(self) -> Json:
        group = {"chat": {"id": -100, "type": "supergroup", "title": "Flat 7"}}
        member = {"user": self._user(), "status": "member"}
        change = {"old_chat_member": member, "new_chat_member": member | {"status": "left"}, "date": 1}
        paying = {"currency": "XTR", "total_amount": 1, "invoice_payload": self._any.choice(("x", "stars:1", ":"))}
        made: Json = self._any.choice(
            (
                {"edited_message": self._envelope() | {"text": "/deleteall", "edit_date": 2}},
                {"channel_post": {"message_id": 1, "date": 1, "chat": {"id": -1, "type": "channel"}, "text": "/start"}},
                {"inline_query": {"id": "1", "from": self._user(), "query": "vm", "offset": ""}},
                {"my_chat_member": {**change, **group, "from": self._user()}},
                {"pre_checkout_query": {"id": "1", "from": self._user(), **paying}},
                self._message(**group, text="hello"),
            )
        )
        return made

    def _broken(self) -> Json:
        """Something of the above in which a part is missing, or is something else."""
        whole: Json = self._any.choice((self._command, self._tap, self._thing, self._elsewhere))()
        part = whole
        while True:
            key = self._any.choice(sorted(part))
            if isinstance(part[key], dict) and part[key] and self._any.random() < 0.8:
                part = part[key]
                continue
            if key != "from" and self._any.random() < 0.5:
                del part[key]
            elif key not in {"id", "from"}:
                part[key] = self._any.choice((None, [], {}, "x", -1, 1.5, True, {"id": 1}))
            return whole


@pytest.mark.parametrize("count", [300, pytest.param(10_000, marks=pytest.mark.slow)])
async def test_no_update_is_an_error(told: World, count: int, caplog: pytest.LogCaptureFixture) -> None:
    people = [told.person(number, f"Person {number}") for number in PEOPLE[:-1]] + [told.admin]
    await deployed(await with_card(told, people[0]), "vm small web", "web")
    for person in people[1:]:
        await person.start()
    await told.settled()
    numbers = itertools.count(900_000_000)
    makers = [Maker(person, SEED, numbers) for person in people]
    with caplog.at_level(logging.WARNING):
        async with httpx.AsyncClient(trust_env=False, timeout=60) as client:
            await asyncio.gather(*(post(told, client, maker, count // len(people)) for maker in makers))
            await all_handled(told)
            for person in people:
                # Whoever has closed the chat or the account meanwhile comes back.
                await person.start()
            await asyncio.gather(*(post_marked(told, client, maker, 20) for maker in makers))
            await all_handled(told)
    wrong = [record for record in caplog.records if record.levelno >= logging.ERROR]
    assert not wrong, [record.getMessage() for record in wrong[:9]]
    for person in people:
        texts = [message.text for message in person.messages if message.from_bot]
        assert not [text for text in texts if "went wrong on our side" in text]
        answered = [text.split("no-")[1].split("-such")[0] for text in texts if "nothing called no-" in text]
        assert answered == [str(number) for number in range(1, 21)]


async def post(world: World, client: httpx.AsyncClient, maker: Maker, count: int) -> None:
    """Tell of updates one after the other, each when the one before was taken."""
    for _ in range(count):
        await tell(world, client, maker.make())


async def post_marked(world: World, client: httpx.AsyncClient, maker: Maker, count: int) -> None:
    for _ in range(count):
        await tell(world, client, maker.marked())


async def tell(world: World, client: httpx.AsyncClient, update: Json) -> None:
    headers = {"X-Telegram-Bot-Api-Secret-Token": world.app.settings.webhook_secret}
    answer = await client.post(f"{world.url}/telegram", json=update, headers=headers)
    assert answer.status_code == 200, update


async def all_handled(world: World) -> None:
    """Wait until nothing is left to answer, however slow the machine; not when nothing goes on."""
    waiting = select(func.count()).where(ChatUpdate.handled_at.is_(None))
    left = None
    while left != 0:
        async with asyncio.timeout(STUCK_SECONDS):
            before = left
            while left == before:
                await asyncio.sleep(0.1)
                async with world.app.database.read() as session:
                    left = await session.scalar(waiting) or 0
