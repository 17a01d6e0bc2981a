"""The clockwork: each job once per tick, whoever runs it, whatever the clock does."""

import asyncio
import sys
from datetime import UTC, datetime, timedelta
from unittest.mock import Mock

import pytest
from apscheduler.triggers.cron import CronTrigger
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import select, update

from billing.clock import ManualClock
from billing.db import Database
from billing.models import JobRun
from bot.jobs import CADENCE, Clockwork, due_at

HOURLY = CronTrigger(minute=2, timezone=UTC)
NOON = datetime(2026, 1, 10, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("last", "now", "due"),
    [
        (None, NOON, NOON),
        (NOON, NOON, None),
        (NOON, NOON + timedelta(minutes=1, seconds=59), None),
        (NOON, NOON + timedelta(minutes=2), NOON + timedelta(minutes=2)),
        (NOON, NOON + timedelta(days=40), NOON + timedelta(minutes=2)),
        (NOON + timedelta(days=40), NOON, None),
        (NOON + timedelta(days=40), NOON + timedelta(minutes=2), NOON + timedelta(minutes=2)),
    ],
)
def test_when_a_job_is_due(last: datetime | None, now: datetime, due: datetime | None) -> None:
    assert due_at(HOURLY, last, now) == due


@given(st.sampled_from(sorted(CADENCE)), st.integers(0, 400 * 86400), st.integers(1, 40 * 86400))
def test_a_job_is_due_after_a_gap_exactly_when_its_time_was_in_it(name: str, start: int, gap: int) -> None:
    last = NOON + timedelta(seconds=start)
    now = last + timedelta(seconds=gap)
    found = due_at(CADENCE[name], last, now)
    following = CADENCE[name].get_next_fire_time(last, last + timedelta(seconds=1))
    assert (found is not None) == (following <= now)
    assert found is None or last < found <= now


class Rig:
    """A clockwork whose jobs count their runs."""

    def __init__(self, database: Database, clock: ManualClock) -> None:
        self.ran: list[str] = []
        self.clockwork = Clockwork(database, clock, {"meter": self._job("meter"), "invoice": self._job("invoice")})

    def _job(self, name: str):  # type: ignore[no-untyped-def]  # noqa: ANN202 a closure of the rig
        async def run() -> None:
            await asyncio.sleep(0)
            self.ran.append(name)

        return run


async def test_each_tick_runs_once_and_a_gap_is_caught_up_by_one_run(database: Database, clock: ManualClock) -> None:
    rig = Rig(database, clock)
    await rig.clockwork.tick()
    assert sorted(rig.ran) == ["invoice", "meter"]
    await rig.clockwork.tick()
    assert len(rig.ran) == 2
    clock.move(timedelta(days=3))
    await rig.clockwork.tick()
    assert sorted(rig.ran) == ["invoice", "invoice", "meter", "meter"]


async def test_of_two_processes_one_takes_the_tick(database: Database, clock: ManualClock) -> None:
    rigs = [Rig(database, clock) for _ in range(3)]
    for _ in range(3):
        await asyncio.gather(*(rig.clockwork.tick() for rig in rigs))
        clock.move(timedelta(hours=1))
    ran = [name for rig in rigs for name in rig.ran]
    assert ran.count("meter") == 3
    assert ran.count("invoice") == 1


async def test_a_clock_that_jumps_back_does_not_stop_the_work(database: Database, clock: ManualClock) -> None:
    rig = Rig(database, clock)
    clock.move(timedelta(days=400))
    await rig.clockwork.tick()
    clock.move(timedelta(days=-400))
    rig.ran.clear()
    clock.move(timedelta(hours=1))
    await rig.clockwork.tick()
    assert rig.ran in ([], ["meter"])
    clock.move(timedelta(minutes=2))
    await rig.clockwork.tick()
    assert "meter" in rig.ran


async def test_a_job_that_fails_is_written_down_and_runs_at_its_next_tick(
    database: Database, clock: ManualClock
) -> None:
    async def broken() -> None:
        raise RuntimeError("no disk")

    clockwork = Clockwork(database, clock, {"meter": broken})
    assert await clockwork.tick() == ["meter"]
    async with database.read() as session:
        run = (await session.scalars(select(JobRun))).one()
    assert run.error == "RuntimeError: no disk"
    assert run.finished_at is None
    assert run.leased_until is None
    clock.move(timedelta(hours=1))
    assert await clockwork.tick() == ["meter"]


async def test_a_job_of_a_process_that_died_is_taken_over_at_once(database: Database, clock: ManualClock) -> None:
    """A kill -9 in the middle of a job must not hold it for its lease, nor invoices until the next day."""
    rig = Rig(database, clock)
    await rig.clockwork.tick()
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-c", "from billing import leases; print(leases.new_owner())", stdout=asyncio.subprocess.PIPE
    )
    owner = (await child.communicate())[0].decode().strip()
    async with database.transaction() as session:
        await session.execute(
            update(JobRun)
            .where(JobRun.name == "invoice")
            .values(leased_until=clock.now() + timedelta(minutes=30), leased_by=owner)
        )
    clock.move(timedelta(seconds=2))
    assert await rig.clockwork.tick() == ["invoice"]
    assert await rig.clockwork.tick() == []


async def test_a_job_whose_end_could_not_be_written_runs_again_at_once(
    sqlite_database: Database, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The database went away in the middle: nobody else may take the job, for this process lives."""
    rig = Rig(sqlite_database, clock)

    async def lose_the_database() -> None:
        rig.ran.append("meter")
        monkeypatch.setattr(sqlite_database, "transaction", Mock(side_effect=OSError("connection lost")))
        raise OSError("connection lost")

    clockwork = Clockwork(sqlite_database, clock, {"meter": lose_the_database})
    with pytest.raises(OSError, match="connection lost"):
        await clockwork.tick()
    monkeypatch.undo()
    monkeypatch.setitem(clockwork.jobs, "meter", rig.clockwork.jobs["meter"])
    assert await rig.clockwork.tick() == ["invoice"]  # another process leaves it alone
    assert await clockwork.tick() == ["meter"]
    assert await clockwork.tick() == []
    assert rig.ran == ["meter", "invoice", "meter"]


async def test_a_job_that_failed_is_tried_again_soon(database: Database, clock: ManualClock) -> None:
    """Invoices are not a day late for one bad moment."""
    ran = []

    async def bad_once() -> None:
        ran.append(clock.now())
        if len(ran) == 1:
            raise RuntimeError("no disk")

    clockwork = Clockwork(database, clock, {"invoice": bad_once})
    await clockwork.tick()
    clock.move(timedelta(minutes=9))
    assert await clockwork.tick() == []
    clock.move(timedelta(minutes=1))
    assert await clockwork.tick() == ["invoice"]
    clock.move(timedelta(hours=1))
    assert await clockwork.tick() == []
