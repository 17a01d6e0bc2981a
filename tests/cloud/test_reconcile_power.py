"""Power off, on and restart, as wished (C17, rules.md 4.1)."""

from datetime import timedelta
from pathlib import Path

import pytest

from billing.clock import ManualClock
from billing.db import Database
from cloud import deployments
from cloud.drivers.base import Power
from cloud.drivers.simulated import Fault, SimulatedDriver
from cloud.models import Deployment, PowerWish, State
from cloud.reconcile import NOT_UP
from tests.cloud.world import World, drain


@pytest.fixture
async def world(database: Database, clock: ManualClock, tmp_path: Path) -> World:
    return await World.make(database, clock, tmp_path / "cloud")


@pytest.fixture
async def small(sqlite_database: Database, clock: ManualClock, tmp_path: Path) -> World:
    """The same on SQLite only."""
    return await World.make(sqlite_database, clock, tmp_path / "cloud")


async def power_of(world: World, deployment: Deployment) -> Power:
    (node,) = await world.nodes(deployment)
    (machine,) = [machine for machine in await world.driver.list_owned() if machine.name == node.machine]
    return machine.power


async def test_power_off_on_and_reboot(world: World) -> None:
    """C17; off by the customer's wish is billed on (4.1)."""
    deployment = await world.order()
    worker = world.worker()
    await drain(worker)

    async def wish(power: PowerWish) -> None:
        async with world.database.transaction() as session:
            await deployments.set_power(session, world.customer, deployment.id, power, now=world.clock.now())
        await drain(worker)

    await wish(PowerWish.OFF)
    assert await power_of(world, deployment) is Power.STOPPED
    assert [ended for _, ended in await world.intervals(deployment)] == [None]
    await wish(PowerWish.ON)
    assert await power_of(world, deployment) is Power.RUNNING
    async with world.database.transaction() as session:
        await deployments.reboot(session, world.customer, deployment.id, now=world.clock.now())
    world.driver.gets_until_running = 2
    await worker.tick()
    row = await world.row(deployment)
    assert (row.reboot_wanted, row.detail) == (False, "booting (simulated)")
    await worker.tick()
    row = await world.row(deployment)
    assert (row.state, row.detail, row.reconcile_at) == (State.SUCCESS, "", None)
    assert await power_of(world, deployment) is Power.RUNNING


async def test_a_machine_that_does_not_come_up_again_is_said_so_and_let_be(small: World) -> None:
    deployment = await small.order()
    worker = small.worker()
    await drain(worker)
    small.driver.faults["web"] = Fault.NEVER_READY
    async with small.database.transaction() as session:
        await deployments.reboot(session, small.customer, deployment.id, now=small.clock.now())
    await drain(worker)
    small.clock.move(timedelta(minutes=15))
    await drain(worker)
    row = await small.row(deployment)
    assert (row.state, row.detail, row.reconcile_at) == (State.SUCCESS, NOT_UP, None)


async def test_a_wish_that_comes_while_another_is_carried_out_is_not_lost(world: World) -> None:
    deployment = await world.order()
    await drain(world.worker())

    class Changing(SimulatedDriver):
        changed = False

        async def power_off(self, name: str) -> None:
            await super().power_off(name)
            if not self.changed:
                self.changed = True
                async with world.database.transaction() as session:
                    await deployments.set_power(
                        session, world.customer, deployment.id, PowerWish.ON, now=world.clock.now()
                    )

    async with world.database.transaction() as session:
        await deployments.set_power(session, world.customer, deployment.id, PowerWish.OFF, now=world.clock.now())
    await drain(world.worker(lambda driver: Changing(driver.directory)))
    assert await power_of(world, deployment) is Power.RUNNING
