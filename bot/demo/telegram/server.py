"""The stand-in as a whole: the Bot API over HTTP, faults, the log of calls, and the people."""

import contextlib
import json
import time
from collections import deque
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from bot.demo.telegram import acts, methods
from bot.demo.telegram.client import Group, Person
from bot.demo.telegram.client_api import client_routes
from bot.demo.telegram.faults import Fault, Faults, Kind
from bot.demo.telegram.pace import Pace
from bot.demo.telegram.page_routes import page_routes
from bot.demo.telegram.params import Params, Raw, Upload, read_raw
from bot.demo.telegram.registry import METHODS, Method, carry_out
from bot.demo.telegram.serving import serving
from bot.demo.telegram.state import State
from bot.demo.telegram.webhook import Delivery
from bot.demo.telegram.wire import ApiError, Json

DEFAULT_TOKEN = "700000001:stand-in"  # noqa: S105 - opens nothing but this stand-in
_REMEMBERED_CALLS = 10_000
_DECLARED = bool(methods)


@dataclass(frozen=True)
class Call:
    """One call of a method, as logged."""

    method: str
    """As published; as called where there is no such method."""
    params: Json
    """As sent; a file as `{"file": name, "size": bytes}`."""
    at: float
    """Seconds since the epoch."""
    ok: bool
    answer: Json = field(repr=False)
    """The whole answer."""


class Dropped(Response):
    """No answer: the connection closes in the middle of one."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Promise a body and end without it, on which the server closes the connection."""
        del scope, receive
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"1")]})


class Telegram:
    """A whole Telegram with one bot and any number of people.

    Mount `app` anywhere, with `start()` and `stop()` around it, `end_streams()` before the web server stops,
    and `page_routes(prefix)` where the chat page is to be. Alone: `async with telegram.serving() as url`.

    Args:
        token: the bot's token.
        directory: where to keep chats; nothing keeps nothing.
        now: seconds, for the dates people see.
        name: the bot's name.
        username: the bot's name in links.
        strict: refuse parameters that a method does not have.
        pace: limits on sending, none by default.
        query_s: how long a tap may wait for its answer, in real seconds.
        retry_s: wait after a failed delivery to the webhook, doubled each time.
    """

    def __init__(
        self,
        token: str = DEFAULT_TOKEN,
        directory: Path | None = None,
        *,
        now: Callable[[], int] | None = None,
        name: str = "Cloud desk",
        username: str = "cloud_desk_bot",
        strict: bool = True,
        pace: Pace | None = None,
        query_s: float = 60.0,
        retry_s: float = 1.0,
    ) -> None:
        self.token = token
        self.username = username
        self.strict = strict
        self.pace = pace
        self.faults = Faults()
        self.calls: deque[Call] = deque(maxlen=_REMEMBERED_CALLS)
        self.state = State(token, directory, now=now or _wall_clock, name=name, username=username, query_s=query_s)
        self._delivery = Delivery(self.state.updates, self.state.now, self._answered, retry_s=retry_s)
        self.app = Starlette(
            routes=[
                Route("/bot{token}/{method}", self._called, methods=["GET", "POST"]),
                Route("/file/bot{token}/{path:path}", self._download),
                *client_routes(self.state, self.faults, self.calls),
                *page_routes(),
            ]
        )

    async def start(self) -> None:
        """Begin to deliver to a webhook, now or whenever the bot sets one."""
        self._delivery.start()

    def end_streams(self) -> None:
        """End long polls and event streams, so that a server can shut down without waiting for them."""
        self.state.events.close()
        self.state.updates.close()

    async def stop(self) -> None:
        """Stop delivering and close everything."""
        self.end_streams()
        await self._delivery.stop()
        self.state.close()

    @contextlib.asynccontextmanager
    async def serving(self, port: int = 0) -> AsyncIterator[str]:
        """Everything above on a port of this machine while the context lasts; gives the address."""
        await self.start()
        try:
            async with serving(self.app, port=port, before_stop=self.end_streams) as url:
                yield url
        finally:
            await self.stop()

    def person(self, person_id: int, first_name: str = "Ann", *, language: str = "en", username: str = "") -> Person:
        """A person, new or already there."""
        if person_id not in self.state.people:
            user: Json = {"id": person_id, "is_bot": False, "first_name": first_name}
            user |= {"username": username} if username else {}
            acts.add_person(self.state, user | {"language_code": language})
        return Person(self.state, person_id, self.state.chats[person_id])

    def group(
        self,
        title: str,
        *members: Person,
        bot: bool = True,
        administrator: bool = False,
        supergroup: bool = False,
        forum: bool = False,
    ) -> Group:
        """A group of people, the first of whom owns it, with the bot in it or not yet."""
        ids = [member.id for member in members]
        chat = acts.add_group(self.state, title, ids, supergroup=supergroup, forum=forum)
        if bot:
            acts.add_bot(self.state, chat, ids[0], administrator=administrator)
        return Group(self.state, chat)

    def duplicate_updates(self, count: int = 1) -> None:
        """Deliver each of the next updates twice, by poll or webhook."""
        self.state.updates.duplicates = count

    def called(self, method: str) -> list[Call]:
        """Calls of one method, oldest first."""
        return [call for call in self.calls if call.method.lower() == method.lower()]

    async def call(self, method: str, raw: Raw) -> Json:
        """Carry out a method and log it; returns the answer's body, also for a refusal."""
        found = METHODS.get(method.lower())
        try:
            answer: Json = {"ok": True, "result": await self._result(found, raw)}
        except ApiError as refused:
            answer = refused.body()
        self._log(found.name if found else method, raw, answer)
        return answer

    async def _result(self, found: Method | None, raw: Raw) -> object:
        if found is None:
            raise ApiError(404, "Not Found")
        params = Params(raw, found.known, strict=self.strict)
        if self.pace and found.sends:
            self.pace.take(params.chat())
        return await carry_out(found, self.state, params)

    def _log(self, method: str, raw: Raw, answer: Json) -> None:
        shown: dict[str, Any] = {
            name: {"file": value.name, "size": len(value.content)} if isinstance(value, Upload) else value
            for name, value in raw.items()
        }
        self.calls.append(Call(method, shown, time.time(), answer["ok"], answer))

    async def _answered(self, method: str, params: dict[str, Any]) -> None:
        """A call that came as the webhook's answer; what it returns goes nowhere."""
        raw: Raw = {n: v if isinstance(v, str) else json.dumps(v) for n, v in params.items()}
        await self.call(method, raw)

    async def _called(self, request: Request) -> Response:
        if request.path_params["token"] != self.token:
            return _answer(ApiError(401, "Unauthorized").body())
        method = request.path_params["method"]
        fault = self.faults.strike(method)
        try:
            raw = await read_raw(request)
        except ApiError as refused:
            return _answer(refused.body())
        if fault:
            return await self._faulty(fault, method, raw)
        return _answer(await self.call(method, raw))

    async def _faulty(self, fault: Fault, method: str, raw: Raw) -> Response:
        if error := fault.error():
            self._log(method, raw, error.body())
            return _answer(error.body())
        if fault.kind in {Kind.CLOSE_BEFORE, Kind.HANG}:
            self._log(method, raw, {"ok": False, "description": fault.kind.value})
        if fault.kind in {Kind.HANG, Kind.SLOW}:
            await self.state.events.until(lambda: False, fault.seconds)
        if fault.kind in {Kind.CLOSE_AFTER, Kind.SLOW}:
            answer = await self.call(method, raw)
            return Dropped() if fault.kind is Kind.CLOSE_AFTER else _answer(answer)
        return Dropped()

    async def _download(self, request: Request) -> Response:
        if request.path_params["token"] != self.token:
            return _answer(ApiError(401, "Unauthorized").body())
        path = request.path_params["path"]
        for record in self.state.files.values():
            if record["file_path"] == path:
                content = self.state.keep.read_file(record["file_id"])
                return Response(content, media_type="application/octet-stream")
        return _answer(ApiError(404, "Not Found: file not found").body())


def _answer(body: Json) -> JSONResponse:
    return JSONResponse(body, status_code=200 if body["ok"] else body["error_code"])


def _wall_clock() -> int:
    return int(time.time())
