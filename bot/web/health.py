"""Alive, ready, and figures for Prometheus."""

import time

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from sqlalchemy import text
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from telegram import Bot
from telegram.error import TelegramError

from billing.clock import Clock
from billing.db import Database
from bot.metrics import House
from bot.process_metrics import PROCESS

_TRUST_SECONDS = 20
"""An answer of Telegram counts for so long; `/readyz` may be asked every second."""


class Health:
    """`GET /healthz`, `/readyz`, `/metrics`."""

    def __init__(self, database: Database, bot: Bot, clock: Clock) -> None:
        """Take what has to answer."""
        self._database = database
        self._bot = bot
        self._clock = clock
        self._house = House()
        self._telegram_seen = 0.0

    async def alive(self, _: Request) -> Response:
        """Return 200 while the loop turns."""
        return PlainTextResponse("ok")

    async def ready(self, _: Request) -> Response:
        """Return 200 when database and Telegram answer, 503 with what does not."""
        state = {"database": await self._database_answers(), "telegram": await self._telegram_answers()}
        return JSONResponse(state, 200 if all(state.values()) else 503)

    async def metrics(self, _: Request) -> Response:
        """Return the figures of this process and of the house."""
        registry = CollectorRegistry()
        async with self._database.read() as session:
            await self._house.collect(session, registry, now=self._clock.now())
        return Response(generate_latest(PROCESS) + generate_latest(registry), media_type=CONTENT_TYPE_LATEST)

    async def _database_answers(self) -> bool:
        try:
            async with self._database.read() as session:
                await session.execute(text("SELECT 1"))
        except Exception:  # noqa: BLE001 whatever it is, it does not answer
            return False
        return True

    async def _telegram_answers(self) -> bool:
        if time.monotonic() - self._telegram_seen < _TRUST_SECONDS:
            return True
        try:
            await self._bot.get_me()
        except TelegramError:
            return False
        self._telegram_seen = time.monotonic()
        return True
