"""A real machine is ready when its SSH server shows the host key that we gave it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import asyncssh
import pytest

from billing.clock import ManualClock
from billing.db import Database
from cloud.drivers.base import Capabilities, Machine
from cloud.drivers.simulated import SimulatedDriver
from cloud.machines import NO_SSH, OTHER_KEY
from cloud.models import State
from cloud.ssh_keys import generate_host_key
from tests.cloud.world import World


class Real(SimulatedDriver):
    """Simulated machines whose SSH server is somewhere on this host."""

    port = 1

    async def capabilities(self) -> Capabilities:
        return replace(await super().capabilities(), real=True)

    async def get(self, name: str) -> Machine | None:
        machine = await super().get(name)
        return machine and replace(machine, host="127.0.0.1", port=self.port)


@asynccontextmanager
async def ssh_server(host_key: str) -> AsyncIterator[int]:
    """An SSH server that shows a host key; its port."""
    async with asyncssh.listen("127.0.0.1", 0, server_host_keys=[asyncssh.import_private_key(host_key)]) as server:
        yield server.get_port()


@pytest.fixture
async def world(sqlite_database: Database, clock: ManualClock, tmp_path: Path) -> World:
    return await World.make(sqlite_database, clock, tmp_path / "cloud")


async def test_success_waits_for_our_host_key(world: World) -> None:
    deployment = await world.order()
    (node,) = await world.nodes(deployment)
    real = Real(world.driver.directory)
    worker = world.worker(lambda _: real)

    await worker.tick()
    row = await world.row(deployment)
    assert (row.state, row.detail) == (State.IN_PROGRESS, NO_SSH)

    async with ssh_server(generate_host_key().private) as real.port:
        await worker.tick()
    row = await world.row(deployment)
    assert (row.state, row.detail) == (State.IN_PROGRESS, OTHER_KEY)
    assert await world.intervals(deployment) == []

    async with ssh_server(node.host_key) as real.port:
        await worker.tick()
    assert await world.state(deployment) is State.SUCCESS
    assert (await world.notice("deployment_ready")).data["port"] == real.port
