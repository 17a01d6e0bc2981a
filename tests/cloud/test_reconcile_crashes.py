"""Whatever dies, whenever: one machine or none, and the next look goes on (B6)."""

import asyncio
import subprocess
import sys
from collections.abc import Awaitable, Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select, update

from billing import leases
from billing.clock import ManualClock
from billing.db import Database
from cloud import deployments
from cloud.claims import LEASE
from cloud.drivers.base import Machine, MachineSpec, TryAgain
from cloud.drivers.simulated import SimulatedDriver
from cloud.models import Deployment, PowerWish, State
from tests.cloud.world import K8S, World, drain

ACTS = ("create", "get", "delete", "power_off", "power_on", "reboot")


@pytest.fixture
async def world(database: Database, clock: ManualClock, tmp_path: Path) -> World:
    return await World.make(database, clock, tmp_path / "cloud")


@pytest.fixture
async def small(sqlite_database: Database, clock: ManualClock, tmp_path: Path) -> World:
    """The same on SQLite only."""
    return await World.make(sqlite_database, clock, tmp_path / "cloud")


class Killer(SimulatedDriver):
    """Ends the worker's task at the n-th act, before or after it was done: nothing is caught, nothing cleaned up."""

    left = 0
    after = False

    def __getattribute__(self, name: str) -> Any:
        found = super().__getattribute__(name)
        if name not in ACTS:
            return found
        killer = self

        async def act(*arguments: object) -> object:
            killer.left -= 1
            if killer.left == 0 and not killer.after:
                raise asyncio.CancelledError
            result = await found(*arguments)
            if killer.left == 0:
                raise asyncio.CancelledError
            return result

        return act


def _always(driver: SimulatedDriver) -> Callable[[SimulatedDriver], SimulatedDriver]:
    return lambda _: driver


async def survive(world: World, begin: Callable[[], Awaitable[Deployment]], wanted: State) -> int:
    """Kill the worker at every act of what `begin` sets off, and let another go on; return how many kills."""
    kills = 0
    for number in range(1, 100):
        for after in (False, True):
            deployment = await begin()
            killer = Killer(world.driver.directory, gets_until_running=2)
            killer.left, killer.after = number, after
            victim = world.worker(_always(killer))
            for _ in range(3):
                await drain(victim)
            died = killer.left <= 0
            world.clock.move(LEASE)
            heir = world.worker()
            for _ in range(4):
                await drain(heir)
            row = await world.row(deployment)
            assert row.state is wanted, f"killed {'after' if after else 'before'} act {number}"
            assert (row.leased_until, row.reconcile_at) == (None, None)
            nodes = [node.machine for node in await world.nodes(deployment)]
            present = [machine for machine in await world.machines() if machine in nodes]
            assert sorted(present) == (sorted(nodes) if wanted is State.SUCCESS else [])
            assert len(await world.intervals(deployment)) == 1
            await world.delete(deployment)
            await drain(heir)
            assert await world.machines() == []
            kills += died
        if not died:
            return kills
    raise AssertionError("it never ends")


async def test_killed_at_every_act_of_making_a_machine(world: World) -> None:
    assert await survive(world, world.order, State.SUCCESS) >= 6


async def test_killed_at_every_act_of_making_a_cluster(small: World) -> None:
    async def begin() -> Deployment:
        return await small.order("lab", item=K8S, workers=2)

    assert await survive(small, begin, State.SUCCESS) >= 18


async def test_killed_at_every_act_of_deleting(world: World) -> None:
    async def begin() -> Deployment:
        deployment = await world.order()
        await drain(world.worker())
        await world.delete(deployment)
        return deployment

    assert await survive(world, begin, State.DELETED) == 2


async def test_killed_at_every_act_of_restarting(small: World) -> None:
    async def begin() -> Deployment:
        deployment = await small.order()
        await drain(small.worker())
        async with small.database.transaction() as session:
            await deployments.set_power(session, small.customer, deployment.id, PowerWish.OFF, now=small.clock.now())
        await drain(small.worker())
        async with small.database.transaction() as session:
            await deployments.reboot(session, small.customer, deployment.id, now=small.clock.now())
        return deployment

    assert await survive(small, begin, State.SUCCESS) >= 4


# --- several workers


async def test_two_workers_at_once_make_one_machine_each(world: World) -> None:
    """And one message, one interval."""
    rows = [await world.order(f"vm{number}") for number in range(8)]
    workers = [world.worker() for _ in range(3)]
    await asyncio.gather(*(drain(worker) for worker in workers))
    await asyncio.gather(*(drain(worker) for worker in workers))
    assert [await world.state(row) for row in rows] == [State.SUCCESS] * 8
    assert len(await world.machines()) == 8
    assert await world.told() == ["deployment_ready"] * 8
    assert [len(await world.intervals(row)) for row in rows] == [1] * 8


async def test_a_deployment_in_one_workers_hands_is_left_to_it(world: World) -> None:
    deployment = await world.order()
    slow = Slow(world.driver.directory)
    first, second = world.worker(_always(slow)), world.worker()
    ticking = asyncio.create_task(first.tick())
    await slow.begun.wait()
    await drain(second)
    assert await world.state(deployment) is State.IN_PROGRESS
    slow.go_on.set()
    await ticking
    await drain(first)
    assert await world.state(deployment) is State.SUCCESS


class Slow(SimulatedDriver):
    """A cloud that is about to make a machine, until it is told to go on."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self.begun, self.go_on = asyncio.Event(), asyncio.Event()

    async def create(self, spec: MachineSpec) -> Machine:
        self.begun.set()
        await self.go_on.wait()
        return await super().create(spec)


async def test_a_machine_that_comes_after_all_was_over_is_removed_again(world: World) -> None:
    """One worker hangs in `create` beyond its lease; meanwhile the customer deletes, and another cleans up."""
    deployment = await world.order()
    slow = Slow(world.driver.directory)
    first, second = world.worker(_always(slow)), world.worker()
    ticking = asyncio.create_task(first.tick())
    await slow.begun.wait()
    await world.delete(deployment)
    world.clock.move(LEASE)
    await drain(second)
    row = await world.row(deployment)
    assert (row.state, row.cleaned_at) == (State.DELETED, world.clock.now())
    slow.go_on.set()
    await ticking
    await drain(first)
    await drain(second)
    assert await world.machines() == []
    assert (await world.row(deployment)).cleaned_at == world.clock.now()
    assert await world.told() == []


class Denies(SimulatedDriver):
    """A cloud that does what it is told, and says that it did not, the first times."""

    def __init__(self, directory: Path, times: int = 2) -> None:
        super().__init__(directory)
        self.left = {"create": times, "delete": times}

    def _deny(self, act: str) -> None:
        self.left[act] -= 1
        if self.left[act] >= 0:
            raise TryAgain(f"{act} failed")

    async def create(self, spec: MachineSpec) -> Machine:
        made = await super().create(spec)
        self._deny("create")
        return made

    async def delete(self, name: str) -> None:
        await super().delete(name)
        self._deny("delete")


async def test_what_was_done_and_said_to_have_failed_is_done_once(small: World) -> None:
    deployment = await small.order()
    worker = small.worker(_always(Denies(small.driver.directory)))
    for _ in range(10):
        await worker.tick()
        small.clock.move(timedelta(seconds=20))
    assert await small.state(deployment) is State.SUCCESS
    assert len(await small.machines()) == 1
    assert len(await small.intervals(deployment)) == 1
    await small.delete(deployment)
    for _ in range(10):
        await worker.tick()
        small.clock.move(timedelta(seconds=20))
    assert await small.state(deployment) is State.DELETED
    assert (await small.row(deployment)).cleaned_at is not None
    assert await small.machines() == []
    assert (await small.told()).count("deployment_ready") == 1


async def test_deleted_while_a_worker_makes_it_is_deleted_by_that_worker(world: World) -> None:
    deployment = await world.order()
    slow = Slow(world.driver.directory)
    worker = world.worker(_always(slow))
    ticking = asyncio.create_task(worker.tick())
    await slow.begun.wait()
    await world.delete(deployment)
    slow.go_on.set()
    await ticking
    await drain(worker)
    assert await world.state(deployment) is State.DELETED
    assert await world.machines() == []
    assert await world.intervals(deployment) == []


async def test_a_slow_act_holds_nobody_else_up_and_keeps_its_lease(
    small: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cloud.reconcile._PATIENCE", 0.05)
    monkeypatch.setattr("cloud.reconcile._RENEW_SECONDS", 0.02)
    deployment = await small.order("slow")
    slow = Slow(small.driver.directory)
    worker = small.worker(_always(slow))
    assert await worker.tick() is True
    slow.begun.clear()
    small.clock.move(LEASE / 2)
    quick = await small.order("quick")
    assert await worker.tick() is True
    await slow.begun.wait()
    row = await small.row(deployment)
    assert row.leased_until == small.clock.now() + LEASE
    slow.go_on.set()
    await drain(worker)
    assert [await small.state(row) for row in (deployment, quick)] == [State.SUCCESS] * 2


async def test_stopping_gives_back_what_was_in_hand(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cloud.reconcile._PATIENCE", 0.05)
    deployment = await world.order()
    slow = Slow(world.driver.directory)
    worker = world.worker(_always(slow))
    await worker.tick()
    await worker.close()
    row = await world.row(deployment)
    assert (row.leased_by, row.leased_until, row.state) == ("", None, State.IN_PROGRESS)
    await drain(world.worker())
    assert await world.state(deployment) is State.SUCCESS


# --- owners that are gone


def owner_that_died() -> str:
    """The name of a worker in a process that has ended."""
    code = "from billing import leases; print(leases.new_owner())"
    root = Path(__file__).parents[2]
    return subprocess.run(  # noqa: S603 our own interpreter
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=root
    ).stdout.strip()


def test_a_process_that_is_gone_is_known_to_be_dead() -> None:
    owner = owner_that_died()
    place, pid, started, _ = owner.split(":")
    assert leases.is_dead(owner)
    assert not leases.is_dead(leases.new_owner())
    assert not leases.is_dead(f"elsewhere:{pid}:{started}:0")
    assert leases.is_dead(f"{place}:1:{int(started) + 10**9}:0")
    assert not any(leases.is_dead(text) for text in ("", "x", place, f"{place}:x:1", f"{place}:{pid}"))
    assert len(owner) <= 64


async def test_after_kill_9_nobody_waits_for_the_lease(world: World) -> None:
    deployment = await world.order()
    async with world.database.transaction() as session:
        await session.execute(
            update(Deployment).values(leased_by=owner_that_died(), leased_until=world.clock.now() + LEASE)
        )
    await drain(world.worker())
    assert await world.state(deployment) is State.SUCCESS


async def test_a_lease_of_another_machine_runs_out_by_the_clock(world: World) -> None:
    deployment = await world.order()
    async with world.database.transaction() as session:
        await session.execute(
            update(Deployment).values(leased_by="elsewhere:1:2:3", leased_until=world.clock.now() + LEASE)
        )
    worker = world.worker()
    await drain(worker)
    assert await world.state(deployment) is State.IN_PROGRESS
    world.clock.move(LEASE)
    await drain(worker)
    assert await world.state(deployment) is State.SUCCESS


async def test_a_lease_from_a_clock_that_was_set_back_holds_nobody_up(small: World) -> None:
    deployment = await small.order()
    async with small.database.transaction() as session:
        far = small.clock.now() + timedelta(days=30)
        await session.execute(update(Deployment).values(leased_by="elsewhere:1:2:3", leased_until=far))
        assert await session.scalar(select(Deployment.leased_until)) == far
    await drain(small.worker())
    assert await small.state(deployment) is State.SUCCESS
