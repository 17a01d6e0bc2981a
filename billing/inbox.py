"""The provider's events: stored before they are answered, handled once (rules.md 6, 7).

An event only says where to look. What it is about is read again from the provider before anything is believed, so
late, repeated and disordered events are harmless.
"""

import logging
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime, timedelta

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from billing import outbox, sql
from billing.clock import Clock
from billing.db import Database
from billing.gateway import Event
from billing.models import EventKind, ProviderEvent

log = logging.getLogger(__name__)

STRIPE = "stripe"

_CHUNK = 50
_HANDLING = timedelta(minutes=2)
"""How long an event that one process handles is left alone by others."""
_GIVE_UP_AFTER = 12
"""Tries; with doubled waits that is about a day and a half."""
_FIRST_WAIT = timedelta(seconds=30)
_ERROR_MOST = 200

Handler = Callable[[str], Awaitable[object]]
"""Takes the id of what an event is about."""


async def store(session: AsyncSession, source: str, event: Event, *, now: datetime) -> bool:
    """Store an event whose signature is proven; return whether it is new."""
    statement = sql.inserting(session, ProviderEvent).values(
        source=source,
        event_id=event.event_id,
        type=event.type,
        kind=event.kind,
        object_id=event.object_id,
        payload=event.payload,
        received_at=now,
        retry_at=now,
        attempts=0,
        error="",
    )
    have = sql.table(ProviderEvent).c
    added = statement.on_conflict_do_nothing(index_elements=[have.source, have.event_id]).returning(have.id)
    return (await session.execute(added)).scalar_one_or_none() is not None


class Inbox:
    """The worker that handles stored events."""

    def __init__(self, database: Database, clock: Clock, handlers: Mapping[EventKind, Handler]) -> None:
        """Take who looks at what; kinds without a handler need nothing done."""
        self._database = database
        self._clock = clock
        self._handlers = handlers

    async def handle_due(self) -> int:
        """Handle every event whose time has come, and return how many those were."""
        done = 0
        while True:
            due = await self._claim()
            for event_id in due:
                await self.handle(event_id)
            done += len(due)
            if not due:
                return done

    async def _claim(self) -> list[int]:
        async with self._database.transaction() as session:
            now = self._clock.now()
            chosen = (
                select(ProviderEvent)
                .where(ProviderEvent.handled_at.is_(None), ProviderEvent.retry_at <= now)
                .order_by(ProviderEvent.retry_at, ProviderEvent.id)
                .limit(_CHUNK)
                .with_for_update(skip_locked=True)
            )
            events = (await session.scalars(chosen)).all()
            for event in events:
                event.retry_at = now + _HANDLING
            return [event.id for event in events]

    async def handle(self, event_id: int) -> None:
        """Handle one event: done, or tried again later, or given up and shown to the operator."""
        async with self._database.read() as reading:
            event = await reading.get_one(ProviderEvent, event_id)
        if event.handled_at is not None:
            return
        handler = self._handlers.get(event.kind)
        error = ""
        if handler is not None:
            try:
                await handler(event.object_id)
            except Exception as failure:  # whatever it is, the event must not be lost
                log.exception("event %s (%s) is tried again", event.event_id, event.type)
                error = f"{type(failure).__name__}: {failure}"[:_ERROR_MOST]
        async with self._database.transaction() as session:
            await _conclude(session, event_id, error, self._clock.now())


async def _conclude(session: AsyncSession, event_id: int, error: str, now: datetime) -> None:
    event = await session.get_one(ProviderEvent, event_id, with_for_update=True)
    event.attempts += 1
    event.error = error
    if error and event.attempts < _GIVE_UP_AFTER:
        event.retry_at = now + _FIRST_WAIT * 2 ** (event.attempts - 1)
        return
    event.handled_at = now
    if error:
        facts = {"event_id": event.event_id, "type": event.type, "error": error}
        await outbox.tell_house(session, "event_given_up", facts, now=now, dedup=f"event:{event.id}:given_up")
