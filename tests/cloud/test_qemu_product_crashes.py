"""The product is killed with -9 while it makes or deletes a real machine: one comes of it or none, and nothing stays.

What dies is a worker with its own database connection and driver, in a process of its own; what goes on is another.
"""

import asyncio
import signal
import socket
import sys
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest

from billing.clock import ManualClock
from billing.db import Database
from cloud.claims import LEASE
from cloud.drivers.base import DriverError
from cloud.drivers.qemu import QemuDriver
from cloud.models import Deployment, State
from cloud.reconcile import Reconciler
from tests.cloud.world import World
from tests.contract import drivers
from tests.contract.test_driver_qemu import CREATE_STEPS, DELETE_STEPS, processes_of

pytestmark = [pytest.mark.slow, pytest.mark.qemu, pytest.mark.xdist_group("qemu")]

ROOT = Path(__file__).parents[2]
_SECONDS = 240

WORKER = """
import asyncio, os, signal, sys
from datetime import datetime
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from billing.clock import ManualClock
from billing.db import Database
from cloud.reconcile import Reconciler
from tests.contract import drivers

step, url, directory, now = sys.argv[2], sys.argv[3], Path(sys.argv[4]), datetime.fromisoformat(sys.argv[5])
module, _, name = step.rpartition(":")
target = __import__(module, fromlist=["x"])
*owner, name = name.split(".")
for part in owner:
    target = getattr(target, part)

def die(*args, **kwargs):
    os.kill(os.getpid(), signal.SIGKILL)

setattr(target, name, die)

async def main():
    worker = Reconciler(Database(url), drivers.qemu(directory).driver, ManualClock(now))
    while True:
        await worker.tick()
        await asyncio.sleep(0.2)

asyncio.run(main())
"""

MAKING = [
    "cloud.machines:Machines._take_turn",
    *CREATE_STEPS,
    "cloud.machines:probe_host_key",  # it runs, and nobody knows
    "cloud.records:ready",
]
REMOVING = [*DELETE_STEPS, "cloud.records:removed"]


class Scene:
    """A customer, a real cloud, and workers that come and go."""

    def __init__(self, world: World, url: str, directory: Path) -> None:
        self.world = world
        self.url = url
        self.directory = directory
        self.driver = self.fresh()

    def fresh(self) -> QemuDriver:
        driver = drivers.qemu(self.directory).driver
        assert isinstance(driver, QemuDriver)
        return driver

    async def killed_at(self, step: str) -> None:
        """Let a worker work until it dies at `step`."""
        now = self.world.clock.now().isoformat()
        arguments = ("-c", WORKER, str(ROOT), step, self.url, str(self.directory), now)
        child = await asyncio.create_subprocess_exec(sys.executable, *arguments)
        try:
            assert await asyncio.wait_for(child.wait(), _SECONDS) == -signal.SIGKILL, f"it never came to {step}"
        finally:
            if child.returncode is None:
                child.kill()
                await child.wait()
        self.world.clock.move(LEASE + timedelta(seconds=1))

    async def goes_on(self, row: Deployment, state: State) -> None:
        """Let another worker bring a deployment to a state."""
        worker = Reconciler(self.world.database, self.driver, self.world.clock)
        async with asyncio.timeout(_SECONDS):
            while await self.world.state(row) is not state:
                await worker.tick()
                await asyncio.sleep(0.5)
                self.world.clock.move(timedelta(seconds=1))
        await worker.close()

    def left(self) -> list[str]:
        """All that is on this host of any machine: its process, its folder, its lock."""
        known = {".lock", *(f".boot-{number}" for number in range(10))}
        files = [path.name for path in (self.directory / "machines").iterdir() if path.name not in known]
        return [*files, *(f"process {pid}" for pid in processes_of(self.directory))]


@pytest.fixture
async def scene(sqlite_database: Database, sqlite_url: str, clock: ManualClock, tmp_path: Path) -> AsyncIterator[Scene]:
    scene = Scene(await World.make(sqlite_database, clock, tmp_path / "unused"), sqlite_url, tmp_path / "qemu")
    try:
        await scene.driver.check()
        await scene.driver.prepare()
    except DriverError as error:
        pytest.skip(str(error))
    yield scene
    for machine in await scene.driver.list_owned():
        await scene.driver.delete(machine.name)
    await scene.driver.close()


@pytest.mark.parametrize("step", MAKING)
async def test_killed_while_making_one_machine_comes_of_it(scene: Scene, step: str) -> None:
    """Afterwards it is deleted, and neither disk nor process nor port is left."""
    row = await scene.world.order()
    await scene.killed_at(step)
    await scene.goes_on(row, State.SUCCESS)
    (node,) = await scene.world.nodes(row)
    assert [machine.name for machine in await scene.driver.list_owned()] == [node.machine]
    assert len(processes_of(scene.directory)) == 1
    assert len(await scene.world.intervals(row)) == 1
    await scene.world.delete(row)
    await scene.goes_on(row, State.DELETED)
    assert scene.left() == []
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # connections that just ended do not count
        probe.bind((node.host, node.port))


@pytest.mark.parametrize("step", REMOVING)
async def test_killed_while_deleting_nothing_stays(scene: Scene, step: str) -> None:
    row = await scene.world.order()
    await scene.goes_on(row, State.SUCCESS)
    await scene.world.delete(row)
    await scene.killed_at(step)
    await scene.goes_on(row, State.DELETED)
    assert scene.left() == []
    ((_, ended),) = await scene.world.intervals(row)
    assert ended is not None
