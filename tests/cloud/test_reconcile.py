"""The worker makes the cloud agree with the deployments (rules.md 3.8, 4.1)."""

import asyncio
from datetime import timedelta
from pathlib import Path

import pytest

from billing.clock import HOUR, ManualClock
from billing.db import Database
from billing.models import Notice
from cloud.drivers.base import PREPARING, Machine, NotYet, Power, TryAgain
from cloud.drivers.simulated import Fault, SimulatedDriver
from cloud.models import State
from cloud.reconcile import Reconciler
from cloud.records import TROUBLE
from tests.cloud.world import K8S, World, drain

MINUTE = timedelta(minutes=1)


@pytest.fixture
async def world(database: Database, clock: ManualClock, tmp_path: Path) -> World:
    return await World.make(database, clock, tmp_path / "cloud")


@pytest.fixture
async def small(sqlite_database: Database, clock: ManualClock, tmp_path: Path) -> World:
    """The same on SQLite only."""
    return await World.make(sqlite_database, clock, tmp_path / "cloud")


# --- it comes


async def test_an_order_becomes_a_running_machine_and_billing_starts(world: World) -> None:
    deployment = await world.order()
    await drain(world.worker())
    row = await world.row(deployment)
    (node,) = await world.nodes(deployment)
    machine = await world.driver.get(node.machine)
    assert machine is not None
    assert (row.state, row.ready_at, row.detail, row.reconcile_at) == (State.SUCCESS, world.clock.now(), "", None)
    assert (row.leased_by, row.leased_until) == ("", None)
    assert (node.host, node.port, node.seen_at) == (machine.host, machine.port, world.clock.now())
    assert await world.intervals(deployment) == [(world.clock.now(), None)]
    assert await world.machines() == [node.machine]
    assert world.changes == [deployment.id]


async def test_the_customer_gets_what_is_needed_to_log_in(small: World) -> None:
    """B4."""
    deployment = await small.order()
    await drain(small.worker())
    (node,) = await small.nodes(deployment)
    notice = await small.notice("deployment_ready")
    assert notice.recipient == small.customer.telegram_id
    assert notice.data["deployment_id"] == deployment.id
    assert (notice.data["user"], notice.data["host"], notice.data["port"]) == ("user", node.host, node.port)
    assert notice.data["host_key_fingerprint"] == node.host_key_fingerprint


async def test_progress_is_shown_while_it_boots(small: World) -> None:
    small.driver.gets_until_running = 3
    deployment = await small.order()
    worker = small.worker()
    assert await worker.tick() is False
    row = await small.row(deployment)
    assert (row.state, row.detail) == (State.IN_PROGRESS, "booting (simulated)")
    assert await small.intervals(deployment) == []
    await worker.tick()
    await worker.tick()
    assert await small.state(deployment) is State.SUCCESS
    assert small.changes == [deployment.id, deployment.id]


async def test_the_machine_is_made_as_ordered(small: World) -> None:
    specs = []

    class Watching(SimulatedDriver):
        async def create(self, spec):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202 the Protocol says it
            specs.append(spec)
            return await super().create(spec)

    await small.order("web")
    await drain(small.worker(lambda driver: Watching(driver.directory)))
    (spec,) = specs
    assert (spec.hostname, spec.vcpus, spec.memory_mb, spec.disk_gb, spec.public) == ("web", 1, 2048, 25, False)
    assert len(spec.authorized_keys) == 1
    assert spec.user == "user"
    assert spec.network is None
    assert spec.user_data.startswith("#cloud-config\n")


async def test_a_cluster_is_success_when_all_of_it_runs(world: World) -> None:
    deployment = await world.order("lab", item=K8S, workers=3)
    await drain(world.worker())
    nodes = await world.nodes(deployment)
    assert await world.state(deployment) is State.SUCCESS
    assert sorted(await world.machines()) == sorted(node.machine for node in nodes)
    assert all(node.private_ip for node in nodes)
    assert len(await world.intervals(deployment)) == 1
    assert [node["role"] for node in (await world.notice("deployment_ready")).data["nodes"]] == ["control"] + [
        "worker"
    ] * 3


async def test_one_failing_node_fails_the_cluster_and_nothing_of_it_stays(world: World) -> None:
    world.driver.faults["lab-worker-2"] = Fault.NO_CAPACITY
    deployment = await world.order("lab", item=K8S, workers=3)
    await drain(world.worker())
    row = await world.row(deployment)
    assert (row.state, row.cleaned_at) == (State.FAILED, world.clock.now())
    assert await world.machines() == []


# --- it does not come


@pytest.mark.parametrize(
    ("fault", "why", "words"),
    [(Fault.REFUSE, "refused", "was refused"), (Fault.NO_CAPACITY, "sold_out", "no room")],
)
async def test_what_cannot_be_had_fails_with_the_clouds_reason(
    world: World, fault: Fault, why: str, words: str
) -> None:
    """Never billed, nothing left, customer and house told."""
    world.driver.faults["web"] = fault
    deployment = await world.order()
    await drain(world.worker())
    row = await world.row(deployment)
    assert (row.state, row.ended_at, row.reconcile_at) == (State.FAILED, world.clock.now(), None)
    assert words in row.detail
    assert await world.intervals(deployment) == []
    assert (await world.subscription(deployment)).ended_at == world.clock.now()
    assert await world.machines() == []
    notice = await world.notice("deployment_failed")
    assert (notice.data["why"], notice.data["reason"]) == (why, row.detail)
    assert notice.data["other_sizes"] == (["medium", "large"] if why == "sold_out" else [])
    house = await world.notice("house_deployment_failed")
    assert (house.recipient, house.customer_id) == (None, world.customer.id)


async def test_in_progress_for_15_minutes_fails_and_its_remains_are_removed(world: World) -> None:
    """Rules 3.8."""
    world.driver.faults["web"] = Fault.NEVER_READY
    deployment = await world.order()
    worker = world.worker()
    for _ in range(15):
        await drain(worker)
        assert await world.state(deployment) is State.IN_PROGRESS
        world.clock.move(MINUTE)
    assert len(await world.machines()) == 1
    await drain(worker)
    row = await world.row(deployment)
    assert (row.state, row.cleaned_at) == (State.FAILED, world.clock.now())
    assert "booting (simulated)" in row.detail
    assert await world.machines() == []
    assert await world.intervals(deployment) == []
    assert (await world.notice("deployment_failed")).data["why"] == "too_late"


async def test_a_name_is_free_again_after_a_failure(small: World) -> None:
    small.driver.faults["web"] = Fault.REFUSE
    await small.order()
    await drain(small.worker())
    small.driver.faults.clear()
    again = await small.order()
    await drain(small.worker())
    assert await small.state(again) is State.SUCCESS


# --- not now


class Cloudless(SimulatedDriver):
    """A cloud that answers nothing until it is told to."""

    silent = True
    calls = 0

    async def get(self, name: str) -> Machine | None:
        self._answer()
        return await super().get(name)

    async def create(self, spec):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201 the Protocol says it
        self._answer()
        return await super().create(spec)

    async def delete(self, name: str) -> None:
        self._answer()
        await super().delete(name)

    def _answer(self) -> None:
        self.calls += 1
        if self.silent:
            raise TryAgain("The cloud is being repaired.")


async def test_a_cloud_in_trouble_is_asked_again_after_growing_waits(world: World) -> None:
    clouds: list[Cloudless] = []

    def wrap(driver: SimulatedDriver) -> SimulatedDriver:
        clouds.append(Cloudless(driver.directory))
        return clouds[0]

    deployment = await world.order()
    worker = world.worker(wrap)
    waits = []
    for _ in range(6):
        await drain(worker)
        row = await world.row(deployment)
        assert row.reconcile_at is not None
        assert row.detail == "The cloud is being repaired."
        waits.append((row.reconcile_at - world.clock.now()).total_seconds())
        calls = clouds[0].calls
        await drain(worker)
        assert clouds[0].calls == calls
        world.clock.set(row.reconcile_at)
    assert waits == [5, 10, 20, 40, 60, 60]
    assert (await world.told()).count("house_cloud_trouble") == 1
    clouds[0].silent = False
    await drain(worker)
    row = await world.row(deployment)
    assert (row.state, row.attempts) == (State.SUCCESS, 0)


async def test_a_mistake_of_ours_does_not_stop_the_others_and_is_not_shown(
    small: World, caplog: pytest.LogCaptureFixture
) -> None:
    class Broken(SimulatedDriver):
        async def create(self, spec):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202 the Protocol says it
            if spec.hostname == "bad":
                raise ZeroDivisionError("secret")
            return await super().create(spec)

    bad, good = await small.order("bad"), await small.order("good")
    await drain(small.worker(lambda driver: Broken(driver.directory)))
    assert await small.state(good) is State.SUCCESS
    row = await small.row(bad)
    assert (row.state, row.detail) == (State.IN_PROGRESS, TROUBLE)
    assert "ZeroDivisionError" in caplog.text


async def test_a_listener_in_trouble_harms_nothing(small: World, caplog: pytest.LogCaptureFixture) -> None:
    async def on_change(_: int) -> None:
        raise ValueError("the chat is down")

    deployment = await small.order()
    worker = Reconciler(small.database, small.driver, small.clock, on_change=on_change)
    await drain(worker)
    assert await small.state(deployment) is State.SUCCESS
    assert "the chat is down" in caplog.text


# --- turns to boot


async def test_machines_wait_for_their_turn_to_boot(small: World) -> None:
    """No more at once than the cloud can bear; one that hangs loses its turn after a while."""

    class Slow(SimulatedDriver):
        async def capabilities(self):  # type: ignore[no-untyped-def]  # noqa: ANN202 the Protocol says it
            from dataclasses import replace  # noqa: PLC0415

            return replace(await super().capabilities(), boots_at_once=2)

    slow = Slow(small.driver.directory, faults={"vm1": Fault.NEVER_READY}, gets_until_running=2)
    rows = [await small.order(f"vm{number}") for number in range(1, 6)]
    worker = small.worker(lambda _: slow)
    await worker.tick()
    assert len(await small.machines()) == 2
    waiting = [(await small.row(row)).detail for row in rows].count("waiting for its turn to start")
    assert waiting == 3
    for _ in range(4):
        await worker.tick()
        booting = [machine for machine in await slow.list_owned() if machine.power is Power.STARTING]
        assert len(booting) <= 2
    for _ in range(10):
        await worker.tick()
    assert [await small.state(row) for row in rows] == [State.IN_PROGRESS] + [State.SUCCESS] * 4


async def test_so_many_are_in_hand_at_once(small: World) -> None:
    lets, most, now = asyncio.Event(), 0, 0

    class Slow(SimulatedDriver):
        async def create(self, spec):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202 the Protocol says it
            nonlocal most, now
            now += 1
            most = max(most, now)
            await lets.wait()
            now -= 1
            return await super().create(spec)

    rows = [await small.order(f"vm{number}") for number in range(5)]
    worker = Reconciler(small.database, Slow(small.driver.directory), small.clock, parallel=2)
    await worker.tick()
    assert (now, most) == (2, 2)
    lets.set()
    for _ in range(10):
        await worker.tick()
    assert [await small.state(row) for row in rows] == [State.SUCCESS] * 5
    assert most == 2


# --- deleting


async def test_deleting_leaves_nothing(world: World) -> None:
    deployment = await world.order("lab", item=K8S, workers=2)
    worker = world.worker()
    await drain(worker)
    world.clock.move(HOUR)
    await world.delete(deployment)
    assert await world.state(deployment) is State.DELETING
    world.clock.move(MINUTE)
    await drain(worker)
    row = await world.row(deployment)
    assert (row.state, row.ended_at, row.cleaned_at) == (State.DELETED, world.clock.now(), world.clock.now())
    assert await world.machines() == []
    ((_, ended),) = await world.intervals(deployment)
    assert ended == world.clock.now() - MINUTE


async def test_deleting_while_in_progress_is_never_billed(world: World) -> None:
    world.driver.faults["web"] = Fault.NEVER_READY
    deployment = await world.order()
    worker = world.worker()
    await drain(worker)
    await world.delete(deployment)
    await drain(worker)
    assert await world.state(deployment) is State.DELETED
    assert await world.machines() == []
    assert await world.intervals(deployment) == []
    assert await world.told() == []


async def test_deleting_a_failed_one_before_its_remains_are_gone_still_removes_them(small: World) -> None:
    small.driver.faults["lab-worker-1"] = Fault.REFUSE
    deployment = await small.order("lab", item=K8S, workers=1)
    worker = small.worker()
    await worker.tick()
    assert await small.state(deployment) is State.FAILED
    assert len(await small.machines()) == 1
    await small.delete(deployment)
    await drain(worker)
    row = await small.row(deployment)
    assert (row.state, row.cleaned_at) == (State.DELETED, small.clock.now())
    assert await small.machines() == []


async def test_messages_are_told_once_per_fact(small: World) -> None:
    await small.order()
    worker = small.worker()
    for _ in range(3):
        await drain(worker)
        small.clock.move(HOUR)
    assert await small.told() == ["deployment_ready"]
    async with small.database.read() as session:
        assert (await session.get_one(Notice, 1)).customer_id == small.customer.id


async def test_what_is_prepared_for_all_is_waited_for_and_no_trouble(
    small: World, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = small

    async def create(*_: object) -> Machine:
        raise NotYet(PREPARING)

    row = await world.order()
    worker = world.worker()
    with monkeypatch.context() as patch:
        patch.setattr(SimulatedDriver, "create", create)
        for _ in range(10):
            await worker.tick()
            clock.move(timedelta(seconds=1))
    assert (await world.row(row)).detail == PREPARING
    assert await world.told() == [], "the house is not alarmed"
    await drain(worker)
    assert await world.state(row) is State.SUCCESS
