"""Machines, deployments and billing compared (C13)."""

from pathlib import Path

import pytest
from sqlalchemy import update

from billing.clock import ManualClock
from billing.db import Database
from billing.models import Interval
from cloud import comparison
from cloud.models import Deployment, State
from tests.cloud.world import World, drain


@pytest.fixture
async def world(sqlite_database: Database, clock: ManualClock, tmp_path: Path) -> World:
    return await World.make(sqlite_database, clock, tmp_path / "machines")


async def running(world: World) -> Deployment:
    deployment = await world.order()
    await drain(world.worker())
    assert await world.state(deployment) is State.SUCCESS
    return deployment


async def compared(world: World) -> list[tuple[str, str]]:
    return [(one.check, one.found) for one in await comparison.differences(world.database, world.driver)]


async def test_nothing_differs_while_it_comes_runs_and_goes(world: World) -> None:
    deployment = await world.order()
    assert await compared(world) == []
    worker = world.worker()
    await drain(worker)
    assert await compared(world) == []
    await world.delete(deployment)
    assert await compared(world) == []
    await drain(worker)
    assert await compared(world) == []
    assert await world.machines() == []


async def test_a_machine_that_is_gone(world: World) -> None:
    await running(world)
    (name,) = await world.machines()
    await world.driver.delete(name)
    assert await compared(world) == [("machines", "none")]


async def test_a_machine_that_nobody_ordered(world: World) -> None:
    deployment = await running(world)
    async with world.database.transaction() as session:
        values = {"state": State.DELETED, "cleaned_at": world.clock.now()}
        await session.execute(update(Deployment).where(Deployment.id == deployment.id).values(values))
        await session.execute(update(Interval).values(ended_at=world.clock.now()))
    assert await compared(world) == [("machines", "a machine that no deployment has")]


async def test_what_runs_and_is_not_billed(world: World) -> None:
    await running(world)
    async with world.database.transaction() as session:
        await session.execute(update(Interval).values(ended_at=world.clock.now()))
    assert await compared(world) == [("billed", "no running interval")]
