"""The schedule: cadence -> function, and the clockwork that runs each once per tick.

A tick is taken by writing it into the job's row, so that of many processes one runs it, and a gap is caught up
after an outage or when the clock was moved. The cadences are APScheduler's triggers, which compute times and no
more; its scheduler would sleep through a clock that jumps back.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from apscheduler.triggers.base import BaseTrigger
from apscheduler.triggers.cron import CronTrigger
from sqlalchemy import literal, or_, select, update
from sqlalchemy.dialects import postgresql, sqlite

from billing import leases
from billing.clock import Clock
from billing.db import Database
from billing.models import JobRun
from bot import logs

log = logging.getLogger(__name__)

_SECOND = timedelta(seconds=1)
_LOOKS = 10
"""Looks at the clock in a second."""
_LEASE = timedelta(minutes=30)
"""A process that died in a job holds it no longer than this."""
_AGAIN_AFTER = timedelta(minutes=10)
"""A job that failed is tried again then: the next tick of some is a day away."""
_ERROR = 200
_NEVER = datetime(1970, 1, 1, tzinfo=UTC)


def _cron(**fields: str | int) -> BaseTrigger:
    return CronTrigger(timezone=UTC, **fields)


CADENCE: Mapping[str, BaseTrigger] = {
    "meter": _cron(minute=2),
    "invoice": _cron(hour=0, minute=10),
    "settle": _cron(minute=20),
    "remind": _cron(hour=9, minute=0),
    "requests": _cron(hour=9, minute=15),
    "reap": _cron(hour=9, minute=30),
    "check": _cron(hour=4, minute=0),
}
"""When each job is due, UTC. `reconcile` and `deliver` have no cadence: workers do them all the time."""

Job = Callable[[], Awaitable[object]]


@dataclass(frozen=True, slots=True)
class Clockwork:
    """Runs what is due."""

    database: Database
    clock: Clock
    jobs: Mapping[str, Job]
    _owner: str = field(default_factory=leases.new_owner, init=False)
    _stopping: asyncio.Event = field(default_factory=asyncio.Event, init=False)

    async def tick(self) -> list[str]:
        """Run every job that has become due, in the order of their times; return the names of those that ran."""
        now = self.clock.now()
        async with self.database.read() as session:
            rows = {row.name: row for row in await session.scalars(select(JobRun))}
        due = [
            (at, name)
            for name, trigger in CADENCE.items()
            if name in self.jobs and (at := self._due_at(trigger, rows.get(name), now))
        ]
        return [name for _, name in sorted(due) if await self._run(name, seen=_tick(rows.get(name)), now=now)]

    async def run(self) -> None:
        """Look every second until `stop`, and at once when the clock has jumped: after a sleep, or moved by hand."""
        while not self._stopping.is_set():
            try:
                await self.tick()
            except Exception:
                log.exception("clockwork")
            await self._second()

    def stop(self) -> None:
        """End `run` after the jobs in hand."""
        self._stopping.set()

    async def give_back(self) -> None:
        """Let others run at once what was broken off here."""
        held = update(JobRun).where(JobRun.leased_by == self._owner, JobRun.leased_until.is_not(None))
        async with self.database.transaction() as session:
            await session.execute(held.values(leased_until=_NEVER))

    async def _second(self) -> None:
        """Wait a second, or until the clock jumps or we stop."""
        before = self.clock.now()
        for _ in range(_LOOKS):
            with suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), 1 / _LOOKS)
            if self._stopping.is_set() or self.clock.now() - before > 2 * _SECOND:
                return

    def _due_at(self, trigger: BaseTrigger, row: JobRun | None, now: datetime) -> datetime | None:
        """Return when a job became due: by its calendar, or because its last run did not come to its end."""
        if row is None or row.tick_at > now:
            return due_at(trigger, None if row is None else row.tick_at, now)
        # What still bears our own name is not in hand: its end could not be written.
        free = row.leased_by == self._owner or leases.is_dead(row.leased_by)
        over = row.leased_until is not None and row.leased_until <= now
        if over or free or (row.error and row.tick_at + _AGAIN_AFTER <= now):
            return row.tick_at
        return due_at(trigger, row.tick_at, now)

    async def _run(self, name: str, *, seen: datetime, now: datetime) -> bool:
        if not await self._take(name, seen, now):
            return False
        error = ""
        try:
            with logs.about(f"job:{name}:{now:%Y-%m-%dT%H:%M}"):
                await self.jobs[name]()
        except Exception as failure:
            log.exception("job %s", name)
            error = f"{type(failure).__name__}: {failure}"[:_ERROR]
        async with self.database.transaction() as session:
            mine = JobRun.name == name, JobRun.leased_by == self._owner
            ended = update(JobRun).where(*mine).values(leased_until=None, leased_by="", error=error)
            await session.execute(ended if error else ended.values(finished_at=now))
        return True

    async def _take(self, name: str, seen: datetime, now: datetime) -> bool:
        """Take the tick, unless somebody else has taken it since we looked, or is at work."""
        insert = sqlite.insert if self.database.is_sqlite else postgresql.insert
        async with self.database.transaction() as session:
            await session.execute(
                insert(JobRun).values(name=name, tick_at=_NEVER, leased_by="").on_conflict_do_nothing()
            )
            holder = await session.scalar(select(JobRun.leased_by).where(JobRun.name == name))
            taken = await session.scalar(
                update(JobRun)
                .where(
                    JobRun.name == name,
                    JobRun.tick_at == seen,
                    or_(
                        JobRun.leased_until.is_(None),
                        JobRun.leased_until <= now,
                        JobRun.leased_until > now + _LEASE,
                        literal(holder is not None and (holder == self._owner or leases.is_dead(holder))),
                    ),
                )
                .values(tick_at=now, leased_until=now + _LEASE, leased_by=self._owner)
                .returning(JobRun.name)
            )
        return taken is not None


def _tick(row: JobRun | None) -> datetime:
    return _NEVER if row is None else row.tick_at


def due_at(trigger: BaseTrigger, last: datetime | None, now: datetime) -> datetime | None:
    """Return when a job became due after its last tick, `None` if it is not due.

    A job that never ran is due at once; one whose last tick lies ahead (the clock was set back) at its next time.
    """
    if last is None:
        return now
    if last > now:
        last = now - _SECOND
    following = trigger.get_next_fire_time(last, last + _SECOND)
    return following if following is not None and following <= now else None
