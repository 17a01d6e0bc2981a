"""The worker with real machines of this host."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import asyncssh
import pytest

from billing.clock import ManualClock
from billing.db import Database
from cloud.drivers.base import Driver, DriverError
from cloud.models import Deployment, State
from cloud.reconcile import Reconciler
from tests.cloud import world as worlds
from tests.cloud.world import World
from tests.contract import drivers

_SECONDS = 300
"""A host under load; alone it takes a twentieth."""


@pytest.fixture
async def qemu(tmp_path: Path) -> AsyncIterator[Driver]:
    """QEMU on this host, empty; nothing is left of it afterwards."""
    cloud = drivers.qemu(tmp_path / "qemu")
    try:
        await cloud.driver.check()
    except DriverError as error:
        pytest.skip(str(error))
    yield cloud.driver
    for machine in await cloud.driver.list_owned():
        await cloud.driver.delete(machine.name)
    await cloud.driver.close()


async def until(worker: Reconciler, world: World, rows: list[Deployment], state: State) -> None:
    """Tick until all are in a state."""
    async with asyncio.timeout(_SECONDS):
        while any([await world.state(row) is not state for row in rows]):
            await worker.tick()
            await asyncio.sleep(0.3)


@pytest.mark.qemu
@pytest.mark.xdist_group("qemu")
async def test_machines_that_people_can_log_in_to(
    sqlite_database: Database, clock: ManualClock, tmp_path: Path, qemu: Driver
) -> None:
    """Three ordered at once, each answers with its own name and host key; deleted, nothing stays."""
    world = await World.make(sqlite_database, clock, tmp_path / "unused")
    worker = Reconciler(world.database, qemu, clock)
    rows = [await world.order(name) for name in ("one", "two", "three")]
    await until(worker, world, rows, State.SUCCESS)
    for row in rows:
        (node,) = await world.nodes(row)
        async with asyncssh.connect(
            node.host,
            node.port,
            username="user",
            client_keys=[worlds.KEY],
            known_hosts=asyncssh.import_known_hosts(f"[{node.host}]:{node.port} {_public(node.host_key)}"),
            config=[],
        ) as connection:
            assert (await connection.run("hostname", check=True)).stdout == f"{row.name}\n"
        await world.delete(row)
    await until(worker, world, rows, State.DELETED)
    await worker.close()
    assert await qemu.list_owned() == []


def _public(private: str) -> str:
    return asyncssh.import_private_key(private).export_public_key().decode()
