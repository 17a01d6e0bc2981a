"""What there was no room for is known until an order of the same goes through, and no longer than a while."""

from datetime import timedelta
from pathlib import Path

import pytest

from billing.catalog import Item
from billing.clock import ManualClock
from billing.db import Database
from billing.models import Kind
from cloud import sold_out
from cloud.drivers.simulated import Fault
from tests.cloud.world import World, drain

BOTH = frozenset({(Kind.VM, "small"), (Kind.K8S, "small")})


@pytest.fixture
async def world(sqlite_database: Database, clock: ManualClock, tmp_path: Path) -> World:
    return await World.make(sqlite_database, clock, tmp_path / "cloud")


async def lately(world: World) -> frozenset[sold_out.Sort]:
    async with world.database.read() as session:
        return await sold_out.lately(session, world.clock.now())


async def test_it_holds_for_half_an_hour(world: World) -> None:
    world.driver.faults = {"full": Fault.NO_CAPACITY, "bad": Fault.REFUSE}
    await world.order("bad", item=Item(Kind.VM, "large"))
    await drain(world.worker())
    assert await lately(world) == frozenset()
    await world.order("full")
    await drain(world.worker())
    assert await lately(world) == BOTH
    world.clock.move(timedelta(minutes=29))
    assert await lately(world) == BOTH
    world.clock.move(timedelta(minutes=1))
    assert await lately(world) == frozenset()


async def test_it_ends_with_an_order_that_goes_through(world: World) -> None:
    world.driver.faults = {"full": Fault.NO_CAPACITY}
    await world.order("full")
    await drain(world.worker())
    await world.order("other", item=Item(Kind.VM, "medium"))
    await drain(world.worker())
    assert await lately(world) == BOTH
    await world.order("web")
    await drain(world.worker())
    assert await lately(world) == frozenset()


async def test_no_room_for_a_cluster_says_nothing_of_one_machine(world: World) -> None:
    world.driver.faults = {"lab*": Fault.NO_CAPACITY}
    await world.order("lab", item=Item(Kind.K8S, "small"), workers=3)
    await drain(world.worker())
    assert await lately(world) == {(Kind.K8S, "small")}
