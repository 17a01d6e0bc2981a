"""Machines without a deployment, and deployments without a machine (rules.md 3.8)."""

import asyncio
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import select

from billing.clock import HOUR, ManualClock
from billing.db import Database
from cloud.drivers.base import Machine, MachineSpec, TryAgain
from cloud.drivers.simulated import SimulatedDriver
from cloud.models import Deployment, Finding, FindingKind, State
from cloud.reconcile import SWEEP_EVERY
from cloud.records import VANISHED
from cloud.ssh_keys import generate_host_key
from tests.cloud.world import K8S, PUBLIC_KEY, World, drain

TEN_MINUTES = timedelta(minutes=10)


@pytest.fixture
async def world(database: Database, clock: ManualClock, tmp_path: Path) -> World:
    return await World.make(database, clock, tmp_path / "cloud")


def stranger(name: str) -> MachineSpec:
    return MachineSpec(
        name=name,
        hostname=name,
        vcpus=1,
        memory_mb=2048,
        disk_gb=25,
        public=False,
        authorized_keys=(PUBLIC_KEY,),
        user="user",
        host_key=generate_host_key().private,
        user_data="",
    )


async def findings(world: World) -> dict[str, FindingKind]:
    async with world.database.read() as session:
        return {finding.machine: finding.kind for finding in await session.scalars(select(Finding))}


async def test_all_well_finds_nothing_and_notes_when_machines_were_seen(world: World) -> None:
    deployment = await world.order()
    worker = world.worker()
    await drain(worker)
    world.clock.move(SWEEP_EVERY)
    assert await worker.tick() is False
    (node,) = await world.nodes(deployment)
    assert node.seen_at == world.clock.now()
    assert await findings(world) == {}
    assert await world.told() == ["deployment_ready"]


async def test_a_machine_that_vanished_is_billed_until_it_was_last_seen(world: World) -> None:
    """Reported first, ended when it is still gone ten minutes later; customer and house are told."""
    deployment = await world.order()
    worker = world.worker()
    await drain(worker)
    world.clock.move(HOUR)
    await worker.sweep()
    last_seen = world.clock.now()
    (node,) = await world.nodes(deployment)
    await world.driver.delete(node.machine)
    world.clock.move(SWEEP_EVERY)
    await worker.sweep()
    assert await findings(world) == {node.machine: FindingKind.MISSING}
    assert (await world.notice("house_machine_missing")).data["machine"] == node.machine
    assert await world.state(deployment) is State.SUCCESS

    world.clock.move(TEN_MINUTES)
    assert await worker.sweep() is True
    assert ((await world.row(deployment)).state, (await world.row(deployment)).detail) == (State.DELETING, VANISHED)
    await drain(worker)
    row = await world.row(deployment)
    assert (row.state, row.ended_at) == (State.DELETED, world.clock.now())
    ((_, ended),) = await world.intervals(deployment)
    assert ended == last_seen
    assert (await world.subscription(deployment)).ended_at == last_seen
    notice = await world.notice("deployment_vanished")
    assert (notice.recipient, notice.data["last_seen"]) == (world.customer.telegram_id, last_seen.isoformat())
    assert "house_deployment_vanished" in await world.told()
    await worker.sweep()
    assert await findings(world) == {}


async def test_a_machine_that_was_missing_for_a_moment_is_forgotten(world: World) -> None:
    class Blind(SimulatedDriver):
        blind = True

        async def list_owned(self) -> list[Machine]:
            return [] if self.blind else await super().list_owned()

        async def get(self, name: str) -> Machine | None:
            return None if self.blind else await super().get(name)

    deployment = await world.order()
    await drain(world.worker())
    blind = Blind(world.driver.directory)
    worker = world.worker(lambda _: blind)
    world.clock.move(SWEEP_EVERY)
    await worker.sweep()
    assert len(await findings(world)) == 1
    blind.blind = False
    await worker.sweep()
    assert await findings(world) == {}
    blind.blind = True
    world.clock.move(TEN_MINUTES)
    await worker.sweep()
    assert await world.state(deployment) is State.SUCCESS


async def test_a_list_that_lags_is_asked_by_name(world: World) -> None:
    class Lagging(SimulatedDriver):
        async def list_owned(self) -> list[Machine]:
            return []

    await world.order()
    await drain(world.worker())
    world.clock.move(SWEEP_EVERY)
    await world.worker(lambda driver: Lagging(driver.directory)).sweep()
    assert await findings(world) == {}


async def test_a_worker_of_a_cluster_that_vanished_is_made_again(world: World) -> None:
    """The rest of the cluster, with the customer's data, stays."""
    deployment = await world.order("lab", item=K8S, workers=2)
    worker = world.worker()
    await drain(worker)
    gone = (await world.nodes(deployment))[2]
    await world.driver.delete(gone.machine)
    for _ in range(2):
        world.clock.move(TEN_MINUTES)
        await worker.sweep()
    await drain(worker)
    row = await world.row(deployment)
    assert (row.state, row.reconcile_at) == (State.SUCCESS, None)
    assert len(await world.machines()) == 3
    assert [ended for _, ended in await world.intervals(deployment)] == [None]
    assert "deployment_vanished" not in await world.told()


async def test_a_cluster_without_control_plane_is_over(world: World) -> None:
    deployment = await world.order("lab", item=K8S, workers=1)
    worker = world.worker()
    await drain(worker)
    await world.driver.delete((await world.nodes(deployment))[0].machine)
    for _ in range(2):
        world.clock.move(TEN_MINUTES)
        await worker.sweep()
    await drain(worker)
    assert await world.state(deployment) is State.DELETED
    assert await world.machines() == []


async def test_what_is_left_of_a_deployment_is_removed_after_ten_minutes(world: World) -> None:
    deployment = await world.order()
    worker = world.worker()
    await drain(worker)
    (node,) = await world.nodes(deployment)
    await world.delete(deployment)
    await drain(worker)
    await world.driver.create(stranger(node.machine))
    await worker.sweep()
    await drain(worker)
    assert await findings(world) == {node.machine: FindingKind.LEFT}
    assert await world.machines() == [node.machine]
    world.clock.move(TEN_MINUTES)
    await worker.sweep()
    await drain(worker)
    assert await world.machines() == []
    assert await world.state(deployment) is State.DELETED
    assert (await world.told()).count("house_machine_left") == 1
    await worker.sweep()
    assert await findings(world) == {}


async def test_a_machine_that_nobody_knows_is_reported_and_removed_a_day_later(world: World) -> None:
    """It may be a customer's, of a database that was restored from a backup."""
    deployment = await world.order()
    worker = world.worker()
    await drain(worker)
    await world.driver.create(stranger("vm-99-abcdef"))
    await worker.sweep()
    notice = await world.notice("house_machine_unknown")
    assert notice.data["machine"] == "vm-99-abcdef"
    assert notice.data["acts_at"] == (world.clock.now() + timedelta(days=1)).isoformat()
    world.clock.move(timedelta(hours=23))
    await worker.sweep()
    assert len(await world.machines()) == 2
    world.clock.move(HOUR)
    await worker.sweep()
    assert await world.machines() == [(await world.nodes(deployment))[0].machine]
    assert (await world.notice("house_machine_removed")).data["machine"] == "vm-99-abcdef"
    assert await world.state(deployment) is State.SUCCESS


async def test_machines_that_are_being_made_or_removed_are_no_findings(world: World) -> None:
    world.driver.gets_until_running = 100
    deployment = await world.order()
    worker = world.worker()
    await worker.tick()
    assert len(await world.machines()) == 1
    await worker.sweep()
    assert await findings(world) == {}
    await world.delete(deployment)
    await worker.sweep()
    assert await findings(world) == {}


async def test_the_worker_sweeps_by_itself_now_and_then(world: World) -> None:
    lists = []

    class Counting(SimulatedDriver):
        async def list_owned(self) -> list[Machine]:
            lists.append(world.clock.now())
            return await super().list_owned()

    worker = world.worker(lambda driver: Counting(driver.directory))
    for _ in range(11):
        await worker.tick()
        world.clock.move(timedelta(minutes=1))
    assert len(lists) == 3


async def test_a_cloud_that_cannot_be_listed_changes_nothing(world: World) -> None:
    class Silent(SimulatedDriver):
        async def list_owned(self) -> list[Machine]:
            raise TryAgain("The cloud does not answer.")

    deployment = await world.order()
    worker = world.worker(lambda driver: Silent(driver.directory))
    await drain(worker)
    assert await worker.sweep() is False
    assert await world.state(deployment) is State.SUCCESS


async def test_two_sweeps_at_once_report_once(world: World) -> None:
    await world.driver.create(stranger("vm-99-abcdef"))
    await asyncio.gather(*(worker.sweep() for worker in (world.worker(), world.worker(), world.worker())))
    assert (await world.told()).count("house_machine_unknown") == 1
    async with world.database.read() as session:
        assert (await session.scalars(select(Deployment))).all() == []
