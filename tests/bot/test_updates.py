"""Polling: it goes on whatever the database or an odd update does to it, and no update is lost."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from sqlalchemy import select
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route
from telegram import Bot

from billing.clock import ManualClock
from billing.db import Database
from bot.demo.telegram.serving import serving
from bot.models import ChatUpdate
from bot.polling import WholeUpdates, poll
from bot.updates import UpdateStore

CHAT = {"id": 5, "type": "private"}
ANN = {"id": 5, "is_bot": False, "first_name": "Ann"}


def says(number: int, **more: Any) -> dict[str, Any]:
    message = {"message_id": number, "date": 1768046400, "chat": CHAT, "from": ANN, "text": "/start"}
    return {"update_id": number, "message": message} | more


class Telegram:
    """Gives the updates that were not acknowledged."""

    def __init__(self, *updates: dict[str, Any]) -> None:
        self.updates = updates
        self.all_acknowledged = asyncio.Event()

    async def answer(self, request: Request) -> JSONResponse:
        offset = int(str((await request.form()).get("offset", "0")))
        await asyncio.sleep(0.02)
        left = [update for update in self.updates if update["update_id"] >= offset]
        if not left:
            self.all_acknowledged.set()
        return JSONResponse({"ok": True, "result": left})


class Forgetful(UpdateStore):
    """A store whose database is away the first time."""

    away = True

    async def add(self, payloads: Any, bot: Bot) -> None:
        if self.away:
            self.away = False
            raise OSError("connection lost")
        await super().add(payloads, bot)


@asynccontextmanager
async def polling(telegram: Telegram, store: UpdateStore) -> AsyncIterator[None]:
    app = Starlette(routes=[Route("/bot1:a/getUpdates", telegram.answer, methods=["POST"])])
    async with serving(app, before_stop=None) as url:
        request = WholeUpdates()
        await request.initialize()
        bot = Bot("1:a", base_url=f"{url}/bot", get_updates_request=request)
        leads = asyncio.Event()
        leads.set()
        task = asyncio.create_task(poll(bot, store, leads))
        try:
            async with asyncio.timeout(10):
                yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            await request.shutdown()


async def stored(database: Database) -> dict[int, bool]:
    async with database.read() as session:
        return {row.id: "message" in row.payload for row in await session.scalars(select(ChatUpdate))}


async def test_polling_goes_on_when_the_database_was_away(sqlite_database: Database, clock: ManualClock) -> None:
    telegram = Telegram(says(1))
    async with polling(telegram, Forgetful(sqlite_database, clock)):
        await telegram.all_acknowledged.wait()
    assert await stored(sqlite_database) == {1: True}


async def test_one_unreadable_update_does_not_keep_the_others(sqlite_database: Database, clock: ManualClock) -> None:
    unreadable = {"update_id": 2, "callback_query": {"id": "1", "from": ANN, "data": "x"}}
    telegram = Telegram(says(1), unreadable, says(3))
    async with polling(telegram, UpdateStore(sqlite_database, clock)):
        await telegram.all_acknowledged.wait()
    assert await stored(sqlite_database) == {1: True, 2: False, 3: True}
