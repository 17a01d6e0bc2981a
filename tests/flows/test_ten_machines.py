"""Ten real machines ordered at once: each runs or is sold out, and the chat answers meanwhile."""

import asyncio
import statistics
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from sqlalchemy import select

from billing.clock import ManualClock
from bot.demo.telegram import Person
from cloud.drivers.base import DriverError
from cloud.drivers.qemu import QemuDriver, QemuOptions
from cloud.models import Deployment, State
from tests.contract.drivers import IMAGES
from tests.flows.test_order import with_card
from tests.flows.world import World, open_world

pytestmark = [pytest.mark.slow, pytest.mark.qemu, pytest.mark.xdist_group("qemu")]

ROOM, ORDERED = 8, 10
_SECONDS = 1200
"""A host under load without hardware virtualization; alone it takes a tenth."""


async def states(world: World) -> Counter[State]:
    async with world.app.database.read() as session:
        return Counter(await session.scalars(select(Deployment.state)))


async def answers_in(person: Person) -> float:
    """Seconds until a screen is there that was asked for."""
    asked = time.monotonic()
    await person.send("/balance")
    await person.wait_for_text("Balance", timeout_s=60)
    return time.monotonic() - asked


async def eventually(reached: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(_SECONDS):
        while not await reached():  # noqa: ASYNC110 -- a database tells nobody
            await asyncio.sleep(0.5)


async def test_ten_at_once_run_or_are_sold_out_and_the_chat_answers(
    tmp_path: Path, sqlite_url: str, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There is room for eight. The chat may be as much slower as one that shares its processors must, no more."""
    options = QemuOptions(memory_mb_max=160, processors=1, cpu_overcommit=ROOM, disk_overcommit=100)
    driver = QemuDriver(tmp_path / "qemu", options=options, image_directory=IMAGES)
    try:
        await driver.check()
        await driver.prepare()
    except DriverError as error:
        pytest.skip(str(error))
    monkeypatch.setattr("bot.compute.make_driver", lambda _: driver)
    try:
        async with open_world(tmp_path, sqlite_url, clock, provision_minutes=600, credit_limit="1000") as world:
            ann = await with_card(world, world.person())
            bob = world.person(2, "Bob")
            await bob.start()
            await bob.wait_for_text("Hello")
            quiet = [await answers_in(bob) for _ in range(5)]
            for number in range(ORDERED):
                await ann.send(f"/deploy vm small web-{number}")
                offer = await ann.wait_for_text(f"web-{number}", "held until", timeout_s=60)
                await ann.tap(offer, "Deploy")
            busy: list[float] = []

            async def all_over() -> bool:
                busy.append(await answers_in(bob))
                now = await states(world)
                return now.total() == ORDERED and not now[State.IN_PROGRESS]

            await eventually(all_over)
            assert await states(world) == {State.SUCCESS: ROOM, State.FAILED: ORDERED - ROOM}
            await ann.wait_for_text("sold out", timeout_s=60)
            assert statistics.median(busy) < max(1.0, 5 * statistics.median(quiet)), (quiet, busy)

            await ann.send("/deleteall")
            await ann.tap(await ann.wait_for_text("all 10 deployments", timeout_s=60), "Delete all")

            async def all_gone() -> bool:
                return not await driver.list_owned()

            await eventually(all_gone)
    finally:
        again = QemuDriver(tmp_path / "qemu", options=options, image_directory=IMAGES)
        for machine in await again.list_owned():
            await again.delete(machine.name)
        await again.close()
