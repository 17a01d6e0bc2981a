"""Points at which a product can be made to die: around every commit, and around every call to the outside.

A point has a name, made of what is done and of who does it. While the file that `CRASH_ARMED` names exists, the
process dies at the first point whose name is not in that file's list of done ones, and adds it.
"""

import fcntl
import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import aiosmtplib
import httpx
from sqlalchemy.ext.asyncio import AsyncSession
from telegram.request import RequestData

from billing.db import Database
from bot.transport import AiohttpRequest
from cloud.drivers.simulated import SimulatedDriver

STATUS = 66
"""What a process that died at a point ends with."""
_PRODUCT = ("/billing/", "/cloud/", "/bot/")
_THROUGH = ("/bot/pace.py", "/bot/apart.py", "/billing/db.py", "/bot/workers.py", "/bot/view.py", "/cloud/drivers/")
_FRAMES = 2
_NOT_ASKED = ("getUpdates", "getMe", "setMyCommands", "setWebhook", "deleteWebhook")
"""Calls that belong to no flow."""
_NO_FLOW = ("replicas.", "jobs.Clockwork", "app.App.__aenter__", "app.App._in_the_chat")


def install() -> None:
    """Put the points around what the product does, where the environment asks for it."""
    armed = os.environ.get("CRASH_ARMED")
    if not armed:
        return
    pull = _Trigger(Path(armed))
    _around_transactions(pull)
    _around_http(pull)
    _around_telegram(pull)
    _around_machines(pull)
    _around_mail(pull)


class _Trigger:
    def __init__(self, armed: Path) -> None:
        self._armed = armed

    def __call__(self, point: str) -> None:
        """Die here, if it is the first time anybody could."""
        try:
            file = self._armed.open("r+")
        except FileNotFoundError:
            return
        with file:
            fcntl.flock(file, fcntl.LOCK_EX)
            done = file.read().splitlines()
            if "!" in done or point in done:
                return
            file.write(f"{point}\n!\n")
            file.flush()
            os._exit(STATUS)


def _around_transactions(pull: Callable[[str], None]) -> None:
    plain = Database.transaction

    @asynccontextmanager
    async def around(database: Database, who: str) -> AsyncIterator[AsyncSession]:
        async with plain(database) as session:
            yield session
            pull(f"before commit, {who}")
        pull(f"after commit, {who}")

    def transaction(database: Database) -> AbstractAsyncContextManager[AsyncSession]:
        who = _who(sys._getframe(1))
        return plain(database) if who.startswith(_NO_FLOW) else around(database, who)

    Database.transaction = transaction  # type: ignore[method-assign,assignment]


def _around_http(pull: Callable[[str], None]) -> None:
    plain = httpx.AsyncClient.send

    async def send(client: httpx.AsyncClient, request: httpx.Request, **more: Any) -> httpx.Response:
        name = f"{request.method} {_without_ids(request.url.path)}, {_who(sys._getframe(1))}"
        pull(f"before {name}")
        answer = await plain(client, request, **more)
        pull(f"after {name}")
        return answer

    httpx.AsyncClient.send = send  # type: ignore[assignment,method-assign]


def _around_telegram(pull: Callable[[str], None]) -> None:
    plain = AiohttpRequest.do_request

    async def do_request(
        request: AiohttpRequest, url: str, method: str, request_data: RequestData | None = None, **more: Any
    ) -> tuple[int, bytes]:
        what = url.rpartition("/")[2]
        if what in _NOT_ASKED:
            return await plain(request, url, method, request_data, **more)
        name = f"{what}, {_who(sys._getframe(1))}"
        pull(f"before {name}")
        answer = await plain(request, url, method, request_data, **more)
        pull(f"after {name}")
        return answer

    # In this process alone, which is made to die: what is around a call is put around the method itself.
    AiohttpRequest.do_request = do_request  # type: ignore[method-assign,assignment]


def _without_ids(path: str) -> str:
    return "/".join("*" if "_" in part and any(map(str.isdigit, part)) else part for part in path.split("/"))


def _around_machines(pull: Callable[[str], None]) -> None:
    for act in ("create", "get", "delete", "power_off", "power_on"):
        setattr(SimulatedDriver, act, _around(act, getattr(SimulatedDriver, act), pull))


def _around_mail(pull: Callable[[str], None]) -> None:
    # In this process alone, as above.
    aiosmtplib.SMTP.send_message = _around("mail", aiosmtplib.SMTP.send_message, pull, of="")  # type: ignore[method-assign,assignment]


def _around(
    act: str, plain: Callable[..., Awaitable[Any]], pull: Callable[[str], None], *, of: str = "machine's "
) -> Callable[..., Awaitable[Any]]:
    async def acts(*arguments: Any, **more: Any) -> Any:
        name = f"{of}{act}, {_who(sys._getframe(1))}"
        pull(f"before {name}")
        answer = await plain(*arguments, **more)
        pull(f"after {name}")
        return answer

    return acts


def _who(frame: FrameType | None) -> str:
    """Return the two nearest functions of the product that do something of their own."""
    found: list[str] = []
    while frame is not None and len(found) < _FRAMES:
        file = frame.f_code.co_filename
        if any(part in file for part in _PRODUCT) and not any(part in file for part in _THROUGH):
            found.append(f"{Path(file).stem}.{frame.f_code.co_qualname}")
        frame = frame.f_back
    return " < ".join(found)
