"""The processes that serve one database: who lives, who takes over from the dead, and who polls Telegram.

Each shows every few seconds that it lives, by the database's clock: the clocks of machines differ, and ours can be
moved. What a dead one had in hand is given back. The one that is there longest polls.
"""

import asyncio
import logging
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import sqlalchemy as sa
from sqlalchemy import delete, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from billing import leases, wishes
from billing.db import Database
from billing.models import Instant, JobRun, Notice, NoticeStatus
from bot.models import ChatUpdate, Replica
from cloud.models import Deployment

log = logging.getLogger(__name__)

BEAT_SECONDS = 2.0
_WRITE_AFTER = timedelta(seconds=3)
_DEAD_AFTER = timedelta(seconds=10)
"""With the beats between, somebody else has taken over 15 seconds after a death; on the same machine after one beat."""
_LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)


class Membership:
    """This process among those that serve the same database.

    Attributes:
        name: what its claims on updates say.
        leads: set while it is the one that polls.
    """

    def __init__(self, database: Database) -> None:
        """Take a name; nobody knows it before the first beat."""
        self.name = leases.new_owner()
        self.leads = asyncio.Event()
        self._database = database
        self._known = False
        self._steady_since: datetime | None = None

    async def beat(self) -> bool:
        """Show that we live, and bury those who do not; return whether what we had in hand is still ours."""
        async with self._database.read() as session:
            now, rows = await self.look(session)
        mine = next((row for row in rows if row.name == self.name), None)
        missed = mine is None or now - mine.seen_at >= _DEAD_AFTER
        if missed or self._steady_since is None or self._steady_since > now:
            # Nobody is called dead by one who was away itself: after a pause of the database all look dead.
            self._steady_since = now
        dead = [row for row in rows if row is not mine and self._is_dead(row, now)]
        if dead or mine is None or now - mine.seen_at >= _WRITE_AFTER:
            async with self._database.transaction() as session:
                await self._show(session, now)
                for row in dead:
                    await _bury(session, row)
            async with self._database.read() as session:
                now, rows = await self.look(session)
        self._lead(rows)
        lost = self._known and mine is None
        self._known = True
        return not lost

    async def leave(self) -> None:
        """Say that we are gone; what was in hand has to be given back before."""
        self.leads.clear()
        async with self._database.transaction() as session:
            await session.execute(delete(Replica).where(Replica.name == self.name))

    def _lead(self, rows: Sequence[Replica]) -> None:
        first = min(rows, key=lambda row: (row.started_at, row.name), default=None)
        if first is not None and first.name == self.name:
            if not self.leads.is_set():
                log.info("this process is the one that polls, if there is polling")
            self.leads.set()
        else:
            self.leads.clear()

    def _is_dead(self, row: Replica, now: datetime) -> bool:
        if leases.is_dead(row.name):
            return True
        steady = self._steady_since is not None and now - self._steady_since >= _DEAD_AFTER
        return steady and now - row.seen_at >= _DEAD_AFTER

    async def look(self, session: AsyncSession) -> tuple[datetime, Sequence[Replica]]:
        """Return the database's time, and everybody who has not been buried."""
        now = await session.scalar(select(sa.type_coerce(self._now, Instant())))
        assert now is not None  # noqa: S101 it is a clock
        return now, (await session.scalars(select(Replica))).all()

    @property
    def _now(self) -> sa.ColumnElement[int]:
        words = "CAST(strftime('%s', 'now') AS INTEGER)" if self._database.is_sqlite else _POSTGRES_NOW
        return sa.literal_column(words, sa.BigInteger())

    async def _show(self, session: AsyncSession, now: datetime) -> None:
        seen = update(Replica).where(Replica.name == self.name).values(seen_at=now).returning(Replica.name)
        if await session.scalar(seen) is None:
            session.add(Replica(name=self.name, started_at=now, seen_at=now))
            await session.flush()


_POSTGRES_NOW = "CAST(floor(extract(epoch FROM clock_timestamp())) AS BIGINT)"


async def _bury(session: AsyncSession, dead: Replica) -> None:
    """Give back what a process had in hand, unless it shows up or somebody else was faster."""
    still = delete(Replica).where(Replica.name == dead.name, Replica.seen_at == dead.seen_at).returning(Replica.name)
    if await session.scalar(still) is None:
        return
    log.warning("process %s is gone; what it had in hand is given back", dead.name)
    held = ChatUpdate.leased_by == dead.name
    await session.execute(
        update(ChatUpdate)
        .where(ChatUpdate.handled_at.is_(None), held)
        .values(leased_by=None, attempts=ChatUpdate.attempts + 1)
    )
    # Workers have names of their own, which begin as their process' does.
    process = dead.name.rpartition(":")[0] + ":"
    notices = update(Notice).where(Notice.status == NoticeStatus.WAITING, Notice.leased_by.startswith(process))
    await session.execute(notices.values(leased_until=None, leased_by=None))
    await wishes.free(session, process)
    deployments = update(Deployment).where(
        Deployment.reconcile_at.is_not(None), Deployment.leased_by.startswith(process)
    )
    await session.execute(deployments.values(leased_until=None, leased_by=""))
    jobs = update(JobRun).where(JobRun.leased_until.is_not(None), JobRun.leased_by.startswith(process))
    await session.execute(jobs.values(leased_until=_LONG_AGO))  # over, but not ended: it is due again


async def living(database: Database) -> list[str]:
    """Return the names of processes that serve a database now, as far as that can be told."""
    member = Membership(database)
    async with database.read() as session:
        if not await session.scalar(_has_table(database)):
            return []
        now, rows = await member.look(session)
    return [row.name for row in rows if not leases.is_dead(row.name) and now - row.seen_at < _DEAD_AFTER]


def _has_table(database: Database) -> sa.Select[bool]:
    found = (
        sa.text("SELECT count(*) > 0 FROM sqlite_master WHERE name = 'replicas'")
        if database.is_sqlite
        else sa.text("SELECT to_regclass('replicas') IS NOT NULL")
    )
    return found.columns(sa.column("found", sa.Boolean()))  # type: ignore[return-value]
