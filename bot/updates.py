"""Updates from Telegram: stored before they are acknowledged, handled in order per user, users side by side.

The library acknowledges an update when it has fetched it. A process that dies then would lose it, so the update is
a row first, and the row is marked when it has been handled; at start the rows that are left are handled again.
"""

import asyncio
import logging
from collections.abc import Awaitable, Sequence
from typing import Any
from weakref import WeakValueDictionary

from sqlalchemy import delete, select, update
from sqlalchemy.dialects import postgresql, sqlite
from telegram import Bot, Update
from telegram.error import RetryAfter, TelegramError
from telegram.ext import BaseUpdateProcessor
from telegram.request import HTTPXRequest

from billing.clock import DAY, Clock
from billing.db import Database
from bot.models import ChatUpdate
from bot.pace import seconds

log = logging.getLogger(__name__)

ALLOWED = ("message", "callback_query", "my_chat_member", "pre_checkout_query")
"""Kinds of updates that we ask for."""
_AT_ONCE = 512
"""Updates in hand at the same time; beyond that they wait in the queue, and are safe in the database."""
_POLL_SECONDS = 30
_ATTEMPTS = 20
"""An update that was waiting or in hand at so many crashes is left alone: far more than a bad day's kills, which
are not its fault, and an end to a start that can never succeed."""
_KEEP = 3 * DAY
"""Telegram repeats an update for a day at most; handled rows are kept longer so that a repeat is known."""


class UpdateStore:
    """The rows of updates, and the queue of those to be handled by this process."""

    def __init__(self, database: Database, clock: Clock) -> None:
        """Start with an empty queue; `resume` fills it with what an earlier process left."""
        self._database = database
        self._clock = clock
        self.queue: asyncio.Queue[object] = asyncio.Queue()

    async def add(self, payloads: Sequence[dict[str, Any]], bot: Bot) -> None:
        """Store updates as they came and queue those that are new; returns when they are safe."""
        now = self._clock.now()
        insert = sqlite.insert if self._database.is_sqlite else postgresql.insert
        values = [
            {"id": payload["update_id"], "payload": payload, "received_at": now, "attempts": 0} for payload in payloads
        ]
        async with self._database.transaction() as session:
            new = set(
                await session.scalars(
                    insert(ChatUpdate).values(values).on_conflict_do_nothing().returning(ChatUpdate.id)
                )
            )
        for payload in payloads:
            if payload["update_id"] in new:
                await self._queue(payload, bot)

    async def resume(self, bot: Bot) -> None:
        """Queue what an earlier process stored and did not handle, oldest first; forget old rows."""
        async with self._database.transaction() as session:
            await session.execute(delete(ChatUpdate).where(ChatUpdate.handled_at < self._clock.now() - _KEEP))
            rows = (
                await session.scalars(select(ChatUpdate).where(ChatUpdate.handled_at.is_(None)).order_by(ChatUpdate.id))
            ).all()
            for row in rows:
                row.attempts += 1
                if row.attempts > _ATTEMPTS:
                    log.error("update %s was in hand at %s crashes: left alone", row.id, _ATTEMPTS)
                    row.handled_at = self._clock.now()
        for row in rows:
            if row.handled_at is None:
                await self._queue(row.payload, bot)

    async def _queue(self, payload: dict[str, Any], bot: Bot) -> None:
        try:
            update = Update.de_json(payload, bot)
        except Exception as error:  # noqa: BLE001 whatever the library makes of a shape that it does not know
            # Refusing it would have Telegram send it again and again, with all that come after it waiting.
            log.warning("update %s cannot be read: %s", payload["update_id"], error)
            await self.done(payload["update_id"])
        else:
            await self.queue.put(update)

    async def done(self, update_id: int) -> None:
        """Mark an update as handled; what people typed, a voucher's code for one, is kept no longer than needed."""
        ended = {"handled_at": self._clock.now(), "payload": {}}
        async with self._database.transaction() as session:
            await session.execute(update(ChatUpdate).where(ChatUpdate.id == update_id).values(ended))


class InOrderPerUser(BaseUpdateProcessor):
    """Handles the updates of one user one after the other, of different users at the same time."""

    def __init__(self, store: UpdateStore) -> None:
        """Take the store that is told what has been handled."""
        super().__init__(max_concurrent_updates=_AT_ONCE)
        self._store = store
        self._locks: WeakValueDictionary[int, asyncio.Lock] = WeakValueDictionary()

    async def do_process_update(self, update: object, coroutine: Awaitable[Any]) -> None:
        """Wait for this user's earlier updates (asyncio's locks are first come, first served), then handle."""
        assert isinstance(update, Update)  # noqa: S101 what the store queues
        user = update.effective_user.id if update.effective_user else 0
        lock = self._locks.setdefault(user, asyncio.Lock())
        async with lock:
            await coroutine
            await self._store.done(update.update_id)

    async def initialize(self) -> None:
        """Nothing to prepare."""

    async def shutdown(self) -> None:
        """Nothing to let go of."""


class ReadableUpdates(HTTPXRequest):
    """Fetches updates; of one that the library cannot read only the number is left.

    Otherwise the library gives none of the batch, and Telegram the same batch for ever.
    """

    @staticmethod
    def parse_json_payload(payload: bytes) -> dict[str, Any]:
        """Return Telegram's answer, with what cannot be read taken out."""
        answer = HTTPXRequest.parse_json_payload(payload)
        result = answer.get("result")
        if isinstance(result, list):
            answer["result"] = [one if _is_readable(one) else {"update_id": one["update_id"]} for one in result]
        return answer


def _is_readable(update: dict[str, Any]) -> bool:
    try:
        Update.de_json(update, None)
    except Exception as error:  # noqa: BLE001 whatever the library makes of a shape that it does not know
        log.warning("update %s cannot be read: %s", update["update_id"], error)
        return False
    return True


async def poll(bot: Bot, store: UpdateStore) -> None:
    """Fetch updates for ever: each batch is stored before the next request acknowledges it."""
    offset: int | None = None
    wait = 1.0
    while True:
        try:
            updates = await bot.get_updates(offset, timeout=_POLL_SECONDS, allowed_updates=ALLOWED)
            if updates:
                await store.add([update.to_dict() for update in updates], bot)
                offset = updates[-1].update_id + 1
            wait = 1.0
        except RetryAfter as error:
            await asyncio.sleep(seconds(error))
        except Exception as error:  # a database that is away for a moment must not leave us deaf until a restart
            log.warning("polling: %s; again in %.0f s", error, wait, exc_info=not isinstance(error, TelegramError))
            await asyncio.sleep(wait)
            wait = min(wait * 2, 30)
