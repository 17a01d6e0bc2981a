"""`python -m bot demo` as a process of its own, and the people in it over HTTP: nothing here knows the code inside."""

import asyncio
import os
import re
import signal
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import httpx

from bot.demo.host import free_port
from bot.demo.telegram import ChatMessage

ROOT = Path(__file__).resolve().parents[2]
ANN, OLGA = 1001, 1002
START_SECONDS = 120.0
WAIT_SECONDS = 30.0
MOVE_SECONDS = 300.0  # on a busy machine; a month takes 20 s on an idle one


class Demo:
    """A running demo."""

    def __init__(self, folder: Path, process: asyncio.subprocess.Process) -> None:
        self.folder = folder
        self.process = process
        self.lines: list[str] = []
        self.url = ""
        self.client = httpx.AsyncClient(trust_env=False, verify=False, timeout=30)  # noqa: S501 plain http to loopback

    @property
    def said(self) -> str:
        """What it printed so far."""
        return "\n".join(self.lines)

    def children(self, of: int | None = None) -> list[int]:
        """Processes that a process started, the demo's own by default."""
        pid = of or self.process.pid
        with suppress(FileNotFoundError, ProcessLookupError):
            return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
        return []

    @property
    def product(self) -> int:
        """The product's process."""
        (pid,) = self.children()
        return pid

    async def kill_product(self) -> None:
        """`kill -9`, and wait until it answers again."""
        killed = self.product
        os.kill(killed, signal.SIGKILL)
        async with asyncio.timeout(WAIT_SECONDS):
            while not [pid for pid in self.children() if pid != killed]:  # noqa: ASYNC110 nobody tells
                await asyncio.sleep(0.02)

    def person(self, person_id: int = ANN) -> "Person":
        return Person(self, person_id)

    async def get(self, path: str) -> Any:
        answer = await self.client.get(f"{self.url}{path}")
        answer.raise_for_status()
        return answer.json()

    async def post(self, path: str, fields: dict[str, Any]) -> Any:
        answer = await self.client.post(f"{self.url}{path}", json=fields)
        assert answer.is_success, answer.text
        return answer.json()

    async def move(self, by: str) -> None:
        """Move the clock and wait until it has arrived."""
        assert await self.post("/world/move", {"by": by}) == {"moving": True}
        await self.arrived()

    async def arrived(self) -> None:
        """Wait for the end of a move."""
        async with asyncio.timeout(MOVE_SECONDS):
            while (await self.get("/world"))["busy"]:  # noqa: ASYNC110 another process has no event for us
                await asyncio.sleep(0.1)

    async def charges(self) -> list[Any]:
        """What Stripe really took."""
        found: list[Any] = await self.get("/stripe/control/charges")
        return found

    async def stop(self, number: int = signal.SIGINT) -> None:
        """Ctrl-C, and wait for the end."""
        self.process.send_signal(number)
        await asyncio.wait_for(self.process.wait(), 30)


class Person:
    """Somebody in the chat."""

    def __init__(self, demo: Demo, person_id: int) -> None:
        self._demo = demo
        self.id = person_id
        self._known: list[ChatMessage] = []

    async def messages(self) -> list[ChatMessage]:
        chat = await self._demo.get(f"/telegram/client/chats/{self.id}?person={self.id}")
        return [ChatMessage(view["message"]) for view in chat["messages"]]

    async def act(self, name: str, **fields: Any) -> None:
        self._known = await self.messages()
        await self._demo.post(f"/telegram/client/people/{self.id}/{name}", fields)

    async def send(self, text: str) -> None:
        await self.act("start") if text == "/start" else await self.act("send", text=text)

    async def press(self, button: str) -> None:
        """Tap a button on the newest message that has it."""
        for message in reversed(await self.messages()):
            with suppress(LookupError):
                await self.act("tap", message_id=message.id, data=message.button(button).data)
                return
        raise LookupError(button)

    async def sees(self, *parts: str, seconds: float = WAIT_SECONDS) -> ChatMessage:
        """The newest message of the bot, sent or edited since the last act, that contains every part."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            fresh = [message for message in await self.messages() if message not in self._known]
            found = [message for message in fresh if message.from_bot and all(part in message.text for part in parts)]
            if found:
                return found[-1]
            await asyncio.sleep(0.05)
        shown = "\n---\n".join(message.text for message in (await self.messages())[-4:])
        raise TimeoutError(f"no {parts}; the last ones:\n{shown}\n\n{self._demo.said}")

    async def pays(self, message: ChatMessage, card: str = "4242 4242 4242 4242") -> None:
        """Open the payment page that a message links to, type a card, and go where the page leads."""
        url = next(button.url for row in message.rows for button in row if button.url)
        page = await self._demo.client.get(url)
        assert "Save payment details" in page.text
        form = {"number": card, "expiry": "12 / 34", "cvc": "123", "name": "Ann Example", "email": "ann@example.com"}
        answer = await self._demo.client.post(url, json=form)
        assert answer.is_success, answer.text
        with suppress(httpx.TransportError):  # a product that is away shows no page; it hears of the card all the same
            back = await self._demo.client.get(answer.json()["redirect"])
            assert re.search(r'href="[^"]+/t\.me/\w+" data-testid="back-to-chat"', back.text)


@asynccontextmanager
async def running(folder: Path, **environment: str) -> AsyncIterator[Demo]:
    """A demo in a folder, stopped at the end if it still runs."""
    with_mine = {**os.environ, "COMPUTE": "simulated", **environment}
    port = free_port(23000 + os.getpid() % 2000)
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "bot", "demo", "--folder", str(folder), "--port", str(port)),
        cwd=ROOT,
        env=with_mine,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    demo = Demo(folder, process)
    reading = asyncio.create_task(_read(demo))
    try:
        async with asyncio.timeout(START_SECONDS):
            while not demo.url or "Ctrl-C" not in demo.said:
                assert process.returncode is None, demo.said
                await asyncio.sleep(0.02)
        yield demo
    finally:
        if process.returncode is None:
            await demo.stop(signal.SIGTERM)
        await reading
        await demo.client.aclose()


async def _read(demo: Demo) -> None:
    assert demo.process.stdout
    async for line in demo.process.stdout:
        text = line.decode().rstrip()
        demo.lines.append(text)
        if found := re.search(r"Open (http://\S+)", text):
            demo.url = found[1]
