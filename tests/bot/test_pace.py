"""Answers first, the outbox in what room is left (rules.md 11.1, 11.2)."""

import asyncio
import itertools
from collections import deque

import pytest
from telegram.error import BadRequest, NetworkError, RetryAfter, TimedOut

from bot import pace
from bot.pace import BACKGROUND, Pace


class Line:
    """Stands where the library would call Telegram: fails as told, and remembers who came when."""

    def __init__(self) -> None:
        self.pace = Pace()
        self.came: list[tuple[object, float]] = []
        self.failures: deque[Exception | None] = deque()

    async def send(self, chat: object, *, outbox: bool = False, endpoint: str = "sendMessage") -> object:
        async def call() -> object:
            self.came.append((chat, asyncio.get_running_loop().time()))
            failure = self.failures.popleft() if self.failures else None
            if failure is not None:
                raise failure
            return chat

        return await self.pace.process_request(
            call, (), {}, endpoint, {"chat_id": chat}, BACKGROUND if outbox else None
        )

    def times(self) -> list[float]:
        return [at for _, at in self.came]


@pytest.fixture(autouse=True)
def _times_as_timedelta(monkeypatch: pytest.MonkeyPatch) -> None:
    """The library's next type of `retry_after`; short waits."""
    monkeypatch.setenv("PTB_TIMEDELTA", "1")
    monkeypatch.setattr(pace, "_FIRST_WAIT", 0.01)


async def test_the_outbox_keeps_to_30_a_second() -> None:
    """11.1: in any second, but for a small burst after silence."""
    line = Line()
    await asyncio.gather(*(line.send(chat, outbox=True) for chat in range(48)))
    times = line.times()
    assert times[-1] - times[0] >= (48 - pace._BURST - 1) / 30
    assert max(sum(start <= at < start + 0.5 for at in times) for start in times) <= 15 + pace._BURST + 1


async def test_the_outbox_leaves_a_chat_its_second() -> None:
    """11.1: after an answer to it as well."""
    line = Line()
    await line.send(1)
    await line.send(1, outbox=True)
    await line.send(1, outbox=True)
    gaps = [after - before for before, after in itertools.pairwise(line.times())]
    assert all(gap >= 0.99 for gap in gaps), gaps


async def test_answers_go_first_and_make_the_outbox_wait() -> None:
    """11.1: nobody who types stands behind an announcement."""
    line = Line()
    crowd = [asyncio.create_task(line.send(chat, outbox=True)) for chat in range(30)]
    await asyncio.sleep(0.05)
    before = len(line.came)
    asked = asyncio.get_running_loop().time()
    await asyncio.gather(*(line.send(100 + chat) for chat in range(20)))
    assert [chat for chat, _ in line.came[before:]] == list(range(100, 120))
    assert line.times()[-1] - asked < 0.1
    await asyncio.gather(*crowd)
    assert line.times()[-1] - line.times()[0] >= (50 - pace._BURST - 1) / 30


async def test_an_answer_waits_as_a_429_says_and_goes_again() -> None:
    """11.2."""
    line = Line()
    line.failures.append(RetryAfter(1))
    assert await line.send(1) == 1
    first, second = line.times()
    assert second - first >= 1


async def test_after_a_429_the_whole_outbox_pauses() -> None:
    """11.2: whoever met it; nothing is sent until the time is over."""
    line = Line()
    line.failures.append(RetryAfter(1))
    with pytest.raises(RetryAfter):
        await line.send(1, outbox=True)
    with pytest.raises(RetryAfter) as told:
        await line.send(2, outbox=True)
    assert pace.seconds(told.value) == 1
    assert len(line.came) == 1
    await asyncio.sleep(1)
    assert await line.send(2, outbox=True) == 2


async def test_what_the_network_lost_is_repeated_for_people_only() -> None:
    """11.2: the outbox has its own calendar."""
    line = Line()
    line.failures.extend([NetworkError("reset"), TimedOut()])
    assert await line.send(1) == 1
    line.failures.append(NetworkError("reset"))
    with pytest.raises(NetworkError):
        await line.send(2, outbox=True)
    assert [chat for chat, _ in line.came] == [1, 1, 1, 2]


@pytest.mark.parametrize(("error", "endpoint"), [(BadRequest("no"), "sendMessage"), (TimedOut(), "getUpdates")])
async def test_what_would_fail_again_is_not_repeated(error: Exception, endpoint: str) -> None:
    line = Line()
    line.failures.append(error)
    with pytest.raises(type(error)):
        await line.send(1, endpoint=endpoint)
    assert len(line.came) == 1


async def test_trying_ends() -> None:
    line = Line()
    line.failures.extend(NetworkError("reset") for _ in range(10))
    with pytest.raises(NetworkError):
        await line.send(1)
    assert len(line.came) == 4


async def test_chats_are_not_remembered_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pace, "_FORGET_OVER", 10)
    monkeypatch.setattr(pace, "_CHAT_SECONDS", 0.0)
    line = Line()
    for chat in range(50):
        await line.send(chat)
    assert len(line.pace._written_at) <= 11
