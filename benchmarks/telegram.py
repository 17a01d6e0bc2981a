"""A Telegram that costs nearly nothing, and the people who type: a process of its own, so that the bot has a core.

`python -m benchmarks.telegram` listens on a free port and prints it. Told by `POST /go` what to type, by how many and
how often, it hands updates out by long polling, and says what became of them.
"""

import asyncio
import contextlib
import json
import time
from collections import deque
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

BOT = {"id": 700000001, "is_bot": True, "first_name": "Shop", "username": "shop_bot"}
FIRST_PERSON = 1_000_001
_PATIENCE_S = 30
_OK = json.dumps({"ok": True, "result": True}).encode()


@dataclass
class Run:
    """What is going on.

    Attributes:
        people: how many type at once: after an answer the next one does, unless there is a rate.
        crowd: how many there are to take turns: nobody types so fast that they would be told to slow down.
        texts: what each types in turn; or button data, one for each tap, where `taps`.
        rate: updates a second over all; 0 for as fast as answers come.
    """

    people: int
    crowd: int
    texts: list[str]
    taps: bool
    rate: float
    ends_at: float
    sent: int = 0
    waiting: dict[int, deque[float]] = field(default_factory=dict)
    latencies: list[float] = field(default_factory=list)
    done: asyncio.Event = field(default_factory=asyncio.Event)


class Telegram:
    """The Bot API's side of it."""

    def __init__(self) -> None:
        """Start with nobody typing."""
        self._queue: deque[dict[str, Any]] = deque()
        self._there = asyncio.Event()
        self._update_id = 1000
        self._message_id = 1
        self._run: Run | None = None

    async def go(self, request: web.Request) -> web.Response:
        """Have people type for some seconds; answer with updates a second and latencies."""
        told = await request.json()
        run = Run(
            told["people"],
            told["crowd"],
            told["texts"],
            told["taps"],
            told["rate"],
            time.perf_counter() + told["seconds"],
        )
        self._run = run
        begun = time.perf_counter()
        if run.rate:
            await self._at_a_rate(run)
        else:
            for _ in range(run.people):
                self._type(run)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(run.done.wait(), told["seconds"] + _PATIENCE_S)
        took = time.perf_counter() - begun
        self._run = None
        return web.json_response({"answers": len(run.latencies), "seconds": took, "latencies": run.latencies})

    async def _at_a_rate(self, run: Run) -> None:
        begun = time.perf_counter()
        number = 0
        while time.perf_counter() < run.ends_at:
            self._type(run)
            number += 1
            await asyncio.sleep(begun + number / run.rate - time.perf_counter())

    def _type(self, run: Run) -> None:
        now = time.perf_counter()
        if now >= run.ends_at or (run.taps and run.sent >= len(run.texts)):
            if not any(run.waiting.values()):
                run.done.set()
            return
        person = FIRST_PERSON + run.sent % run.crowd
        text = run.texts[run.sent % len(run.texts)]
        run.sent += 1
        self._update_id += 1
        self._message_id += 1
        number = person - FIRST_PERSON + 1
        user = {"id": person, "is_bot": False, "first_name": "Customer", "last_name": str(number),
                "username": f"user{number}", "language_code": "en"}  # fmt: skip
        chat = {"id": person, "type": "private", "first_name": "Customer"}
        message: dict[str, Any] = {"message_id": self._message_id, "date": 1768910400, "chat": chat, "text": text}
        if run.taps:
            message |= {"from": BOT, "text": "An offer"}
            update = {"callback_query": {"id": str(self._update_id), "from": user, "chat_instance": "1",
                                         "message": message, "data": text}}  # fmt: skip
        else:
            entity = {"type": "bot_command", "offset": 0, "length": len(text)}
            update = {"message": message | {"from": user, "entities": [entity]}}
        self._queue.append({"update_id": self._update_id, **update})
        run.waiting.setdefault(person, deque()).append(now)
        self._there.set()

    async def method(self, request: web.Request) -> web.Response:
        """Answer a call of the bot."""
        name = request.match_info["method"]
        if name == "getUpdates":
            await request.read()
            return await self._updates()
        if name == "getMe":
            return web.json_response({"ok": True, "result": BOT})
        if name not in {"sendMessage", "editMessageText"}:
            await request.read()
            return web.Response(body=_OK, content_type="application/json")
        form = await (request.json() if "json" in request.content_type else request.post())
        person = int(form["chat_id"])
        self._message_id += 1
        self._answered(person)
        result = {"message_id": self._message_id, "date": 1768910400, "from": BOT,
                  "chat": {"id": person, "type": "private", "first_name": "Customer"}, "text": "ok"}  # fmt: skip
        return web.json_response({"ok": True, "result": result})

    def _answered(self, person: int) -> None:
        run = self._run
        if run is None or not run.waiting.get(person):
            return
        run.latencies.append(time.perf_counter() - run.waiting[person].popleft())
        if run.rate:
            if time.perf_counter() >= run.ends_at and not any(run.waiting.values()):
                run.done.set()
        else:
            self._type(run)

    async def _updates(self) -> web.Response:
        if not self._queue:
            self._there.clear()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._there.wait(), 20)
        batch = [self._queue.popleft() for _ in range(min(100, len(self._queue)))]
        return web.json_response({"ok": True, "result": batch})


async def main() -> None:
    """Serve until the process is ended."""
    telegram = Telegram()
    app = web.Application()
    app.router.add_post("/go", telegram.go)
    app.router.add_route("*", "/bot{token}/{method}", telegram.method)
    runner = web.AppRunner(app, access_log=None, handler_cancellation=True)  # who hangs up takes no updates along
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    print(runner.addresses[0][1], flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main())
