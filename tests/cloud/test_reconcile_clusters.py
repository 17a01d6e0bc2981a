"""Clusters: the control plane first, workers that are told where it is, done when every node is Ready."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from billing.clock import ManualClock
from billing.db import Database
from cloud.cluster import ClusterSight, Member
from cloud.drivers.base import Capabilities, Machine, Refused
from cloud.drivers.files import read_json
from cloud.drivers.simulated import Fault, SimulatedDriver
from cloud.machines import NO_CONTROL
from cloud.models import Deployment, State
from cloud.product_key import ProductKey
from cloud.reconcile import Reconciler
from cloud.specs import SpecMaker
from tests.cloud.world import K8S, World, drain


class Door:
    """A way into clusters whose answers the test chooses; asks itself nothing."""

    def __init__(self) -> None:
        self.answer: ClusterSight | Exception = ClusterSight("1 of 3 nodes ready")
        self.asked: list[tuple[str, Sequence[Member]]] = []

    async def look(self, name: str, members: Sequence[Member]) -> ClusterSight:
        self.asked.append((name, members))
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


class Real(SimulatedDriver):
    """Machines that count as real, without an SSH server."""

    shows_host = True

    async def capabilities(self) -> Capabilities:
        return replace(await super().capabilities(), real=True)

    async def get(self, name: str) -> Machine | None:
        machine = await super().get(name)
        return machine if self.shows_host or machine is None else replace(machine, host="", private_ip="")

    async def create(self, spec: Any) -> Machine:
        machine = await super().create(spec)
        return machine if self.shows_host else replace(machine, host="", private_ip="")


@pytest.fixture
async def world(sqlite_database: Database, clock: ManualClock, tmp_path: Path) -> World:
    return await World.make(sqlite_database, clock, tmp_path / "cloud")


@pytest.fixture
def key(tmp_path: Path) -> ProductKey:
    return ProductKey(tmp_path / "cluster_key")


@pytest.fixture
def real(world: World, monkeypatch: pytest.MonkeyPatch) -> Real:
    """Machines whose SSH server shows the right key: that is tried elsewhere."""

    async def no_trouble(*_: object) -> str:
        return ""

    monkeypatch.setattr("cloud.machines.Machines._probe", no_trouble)
    return Real(world.driver.directory)


def worker_of(world: World, driver: SimulatedDriver, key: ProductKey, door: Door | None = None) -> Reconciler:
    return Reconciler(world.database, driver, world.clock, specs=SpecMaker(product_key=key), door=door)


async def user_data(world: World, deployment: Deployment) -> list[dict[str, Any]]:
    """What each machine of a deployment was told, the control plane first."""
    told = []
    for node in await world.nodes(deployment):
        state = read_json(world.driver.directory / f"{node.machine}.json")
        assert state is not None
        told.append(json.loads(state["spec"]["user_data"].partition("\n")[2]))
    return told


def environment(config: dict[str, Any]) -> dict[str, str]:
    """What a node's script is told."""
    lines = config["write_files"][0]["content"].splitlines()
    return dict(line.split("=", 1) for line in lines)


async def test_workers_are_told_where_the_control_plane_is(world: World, key: ProductKey) -> None:
    deployment = await world.order("prod", item=K8S, workers=2)
    await drain(worker_of(world, world.driver, key))
    control, *workers = [environment(config) for config in await user_data(world, deployment)]
    assert (control["ROLE"], control["SERVER"]) == ("server", "''")
    node = (await world.nodes(deployment))[0]
    assert [(told["ROLE"], told["SERVER"]) for told in workers] == [("agent", node.private_ip)] * 2
    assert len({told["TOKEN"] for told in (control, *workers)}) == 1
    assert control["PRIVATE"] == "1"


async def test_clusters_do_not_share_a_token(world: World, key: ProductKey) -> None:
    first, second = await world.order("a", item=K8S, workers=1), await world.order("b", item=K8S, workers=1)
    await drain(worker_of(world, world.driver, key))
    tokens = {environment((await user_data(world, one))[0])["TOKEN"] for one in (first, second)}
    assert len(tokens) == 2


async def test_our_key_opens_nodes_of_clusters_and_nothing_else(world: World, key: ProductKey) -> None:
    cluster, machine = await world.order("prod", item=K8S, workers=1), await world.order("web")
    await drain(worker_of(world, world.driver, key))
    for config in await user_data(world, cluster):
        assert key.public in config["users"][0]["ssh_authorized_keys"]
    (config,) = await user_data(world, machine)
    assert key.public not in config["users"][0]["ssh_authorized_keys"]
    assert "write_files" not in config


async def test_a_simulated_cluster_has_a_simulated_kubeconfig(world: World, key: ProductKey) -> None:
    deployment = await world.order("prod", item=K8S, workers=2)
    await drain(worker_of(world, world.driver, key))
    row = await world.row(deployment)
    assert row.state is State.SUCCESS
    assert row.kubeconfig.startswith("# Simulated")


async def test_workers_wait_for_the_address_of_their_control_plane(world: World, key: ProductKey, real: Real) -> None:
    deployment = await world.order("prod", item=K8S, workers=2)
    real.shows_host = False
    worker = worker_of(world, real, key, Door())
    await worker.tick()
    assert len(await world.machines()) == 1
    assert NO_CONTROL in (await world.row(deployment)).detail
    real.shows_host = True
    await worker.tick()
    assert len(await world.machines()) == 3


async def test_success_waits_until_every_node_is_ready(world: World, key: ProductKey, real: Real) -> None:
    door = Door()
    deployment = await world.order("prod", item=K8S, workers=2)
    worker = worker_of(world, real, key, door)
    await worker.tick()
    row = await world.row(deployment)
    assert (row.state, row.detail) == (State.IN_PROGRESS, "1 of 3 nodes ready")
    assert await world.intervals(deployment) == []
    name, members = door.asked[-1]
    nodes = await world.nodes(deployment)
    assert name == "prod"
    assert [member.host_key for member in members] == [node.host_key for node in nodes]
    assert all(member.host for member in members)

    door.answer = ClusterSight(kubeconfig="kind: Config\n")
    await worker.tick()
    row = await world.row(deployment)
    assert (row.state, row.kubeconfig) == (State.SUCCESS, "kind: Config\n")
    assert len(await world.intervals(deployment)) == 1


async def test_one_failing_node_fails_the_cluster_and_nothing_stays(world: World, key: ProductKey, real: Real) -> None:
    door = Door()
    door.answer = Refused("Kubernetes could not be installed: failed to verify k3s.")
    deployment = await world.order("prod", item=K8S, workers=2)
    await drain(worker_of(world, real, key, door))
    row = await world.row(deployment)
    assert (row.state, row.detail) == (State.FAILED, "Kubernetes could not be installed: failed to verify k3s.")
    assert await world.machines() == []
    assert await world.intervals(deployment) == []


async def test_a_worker_that_is_refused_fails_the_cluster(world: World, key: ProductKey) -> None:
    world.driver.faults = {"*-worker-2": Fault.REFUSE}
    deployment = await world.order("prod", item=K8S, workers=2)
    await drain(worker_of(world, world.driver, key))
    assert await world.state(deployment) is State.FAILED
    assert await world.machines() == []


async def test_a_cluster_that_never_gets_ready_fails_in_time(
    world: World, clock: ManualClock, key: ProductKey, real: Real
) -> None:
    deployment = await world.order("prod", item=K8S, workers=2)
    worker = worker_of(world, real, key, Door())
    await worker.tick()
    clock.set(deployment.deadline_at)
    await drain(worker)
    row = await world.row(deployment)
    assert row.state is State.FAILED
    assert row.detail == "It was not ready in time. Last it was: 1 of 3 nodes ready"


async def test_a_cluster_that_the_cloud_cannot_make_fails_at_once(
    world: World, key: ProductKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Sold before the operator changed to another cloud: it is not made as plain machines."""
    able = replace(await world.driver.capabilities(), clusters=False)

    async def capabilities(_: SimulatedDriver) -> Capabilities:
        return able

    monkeypatch.setattr(SimulatedDriver, "capabilities", capabilities)
    row = await world.order(item=K8S, workers=2)
    await drain(worker_of(world, world.driver, key))
    assert await world.state(row) is State.FAILED
    assert "cannot be made" in (await world.notice("deployment_failed")).data["reason"]
    assert await world.machines() == []
    assert await world.intervals(row) == []
