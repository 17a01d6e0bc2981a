"""`/support`: to staff and back, in a forum, in a group, and with administrators alone (A28)."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from billing.clock import HOUR, ManualClock
from bot import support
from bot.demo.telegram import ChatMessage, Group, Person, Telegram
from bot.support import MOST_AN_HOUR
from tests.flows.world import ADMIN, World, open_world

STAFF = 9100


@dataclass
class Desk:
    """A world with a support chat, and somebody in it."""

    world: World
    group: Group
    staff: Person

    async def wait(self, *parts: str) -> ChatMessage:
        """The newest message of the bot in the support chat with these parts."""

        def found() -> list[ChatMessage]:
            messages = (message for message in self.group.messages if message.from_bot)
            return [message for message in messages if all(part in message.text for part in parts)]

        assert await self.world.telegram.state.events.until(found, 10), parts
        return found()[-1]

    async def ticked(self, answer: ChatMessage) -> None:
        """Wait until the bot has marked an answer as delivered."""
        state = self.world.telegram.state
        assert await state.events.until(lambda: state.chats[self.group.id].messages[answer.id].reactions, 10)


async def open_desk(tmp_path: Path, sqlite_url: str, clock: ManualClock, **kind: bool) -> AsyncIterator[Desk]:
    made: list[Group] = []

    def prepare(telegram: Telegram) -> dict[str, Any]:
        staff = telegram.person(STAFF, "Sam")
        made.append(telegram.group("Support", staff, administrator=True, **kind))
        return {"support_chat_id": made[0].id}

    async with open_world(tmp_path, sqlite_url, clock, prepare=prepare) as world:
        yield Desk(world, made[0], world.telegram.person(STAFF).at(made[0]))


@pytest.fixture
async def forum(tmp_path: Path, sqlite_url: str, clock: ManualClock) -> AsyncIterator[Desk]:
    async for desk in open_desk(tmp_path, sqlite_url, clock, forum=True):
        yield desk


@pytest.fixture
async def group(tmp_path: Path, sqlite_url: str, clock: ManualClock) -> AsyncIterator[Desk]:
    async for desk in open_desk(tmp_path, sqlite_url, clock):
        yield desk


def thread(message: ChatMessage) -> int:
    return int(message.wire["message_thread_id"])


async def test_a_forum_has_a_topic_for_each_customer(forum: Desk) -> None:
    ann, bob = forum.world.person(1, "Ann", username="ann"), forum.world.person(2, "Bob & <Co>")
    await ann.send("/support\nMy machine\nis <slow>")
    await ann.wait_for_text("Passed on")
    asked = await forum.wait("Ann @ann", "My machine\nis <slow>")
    await bob.send("/support Hello")
    await bob.wait_for_text("Passed on")
    other = await forum.wait("Bob & <Co>", "Hello")
    assert thread(asked) != thread(other)
    answer = await forum.staff.send("Try a **larger** one", thread=thread(asked))
    got = await ann.wait_for_text("Support answers", "Try a **larger** one")
    await forum.ticked(answer)
    await ann.tap(got, "Write back")
    await ann.wait_for_text("What can we help with")
    await ann.send("It works now")
    await ann.wait_for_text("Passed on")
    assert thread(await forum.wait("It works now")) == thread(asked)
    assert not [message for message in bob.messages if "larger" in message.text]


async def test_pictures_and_files_go_both_ways(forum: Desk) -> None:
    ann = forum.world.person()
    await ann.send("/support")
    await ann.wait_for_text("What can we help with")
    await ann.send_photo(PNG, caption="see this")
    await ann.wait_for_text("Passed on")
    picture = await forum.wait("see this")
    assert picture.content == PNG
    await forum.staff.send_document("log.txt", b"all is well", reply_to=picture)
    got = await ann.wait(lambda message: message.file_name == "log.txt")
    assert got.content == b"all is well"
    await ann.tap(got, "Write back")
    await ann.wait_for_text("What can we help with")


async def test_a_deleted_or_closed_topic_is_made_again(forum: Desk) -> None:
    ann = forum.world.person()
    await ann.send("/support one")
    first = thread(await forum.wait("one"))
    topics = forum.world.telegram.state.chats[forum.group.id].topics
    topics[str(first)]["closed"] = True
    await ann.send("/support two")
    assert thread(await forum.wait("two")) == first
    del topics[str(first)]
    await ann.send("/support three")
    await ann.wait_for_text("Passed on")
    assert thread(await forum.wait("three")) != first


async def test_in_a_plain_group_a_reply_goes_back_and_talk_does_not(group: Desk) -> None:
    ann = group.world.person()
    await ann.send("/support Is there IPv6?")
    asked = await group.wait("Ann", "Is there IPv6?")
    await group.staff.send("who takes this one?")
    await group.staff.send("/whois", reply_to=asked)
    await group.staff.send("Not yet", reply_to=asked)
    await ann.wait_for_text("Support answers", "Not yet")
    assert not [message for message in ann.messages if "who" in message.text.lower().replace("who can", "")]
    await ann.block()
    await group.staff.send("Are you there?", reply_to=asked)
    await group.wait("Not delivered", "blocked")


async def test_an_answer_may_be_faster_than_the_note_of_whose_question_it_is(
    group: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = support._write

    async def slow(*args: Any) -> list[int]:
        sent = await write(*args)
        await asyncio.sleep(0.5)
        return sent

    monkeypatch.setattr(support, "_write", slow)
    ann = group.world.person()
    await ann.send("/support Quick?")
    await group.staff.send("Very", reply_to=await group.wait("Quick?"))
    await ann.wait_for_text("Support answers", "Very")


async def test_long_texts_and_too_many(group: Desk) -> None:
    ann = group.world.person()
    await ann.send("/support " + "x" * 4000)
    await ann.wait_for_text("Passed on")
    await group.wait("x" * 3900)
    for _ in range(MOST_AN_HOUR):
        await ann.send("/support more")
    await ann.wait_for_text("written a lot")
    group.world.clock.move(2 * HOUR)
    await ann.send("/support later")
    await ann.wait_for_text("Passed on")


async def test_without_a_support_chat_administrators_answer_by_reply(world: World) -> None:
    ann, olga = world.person(), world.admin
    await ann.send("/support nobody there?")
    await ann.wait_for_text("Nobody who could answer")
    await olga.start()
    await ann.send("/support Help!")
    await ann.wait_for_text("Passed on")
    asked = await olga.wait_for_text("Ann", "Help!")
    await olga.send("On my way", reply_to=asked)
    await ann.wait_for_text("Support answers", "On my way")
    await ann.send("not for me", reply_to=ann.last)
    await ann.wait_for_text("commands and buttons")
    assert olga.id == ADMIN


PNG = bytes.fromhex(
    "89504e470d0a1a0a0000000d4948445200000001000000010806000000"
    "1f15c4890000000d49444154789c6360f8cfc000000301010018dd8db00000000049454e44ae426082"
)
