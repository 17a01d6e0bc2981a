"""What every cloud driver does alike (`cloud/drivers/base.py`), held against each of them."""

import asyncio
from dataclasses import replace

import pytest

from cloud.drivers.base import OutOfCapacity, Power, Refused
from tests.contract.drivers import CAPACITY, Cloud, create, seen_running, spec


async def test_a_machine_comes_up_and_keeps_its_address(cloud: Cloud) -> None:
    made = await cloud.driver.create(spec("m-1"))
    assert made.name == "m-1"
    assert (made.power is Power.STARTING and made.detail) or not cloud.boots
    running = await seen_running(cloud.driver, "m-1")
    assert running.host
    assert (running.ref, running.port) == (made.ref, made.port)
    assert made.host in {"", running.host}, "it may be unknown at first"


async def test_create_twice_makes_one(cloud: Cloud) -> None:
    """The name is the idempotency key, whatever else is in the second spec."""
    first = await cloud.driver.create(spec("m-1"))
    again = await cloud.driver.create(spec("m-1", hostname="another"))
    assert (again.ref, again.port) == (first.ref, first.port)
    assert first.host in {"", again.host}
    assert [machine.name for machine in await cloud.driver.list_owned()] == ["m-1"]


async def test_create_many_times_at_once_makes_one(cloud: Cloud) -> None:
    """Two processes with a driver each, several calls in each, all for one name."""
    other = cloud.again()
    wanted = spec("m-1")
    made = await asyncio.gather(*(create(driver, wanted) for driver in (cloud.driver, other) for _ in range(3)))
    assert len({(machine.ref, machine.port) for machine in made}) == 1
    assert len(await cloud.driver.list_owned()) == 1
    await other.close()


async def test_machines_do_not_share_an_address(cloud: Cloud) -> None:
    await asyncio.gather(*(create(cloud.driver, spec(f"m-{number}")) for number in range(CAPACITY)))
    made = [await seen_running(cloud.driver, f"m-{number}") for number in range(CAPACITY)]
    assert len({(machine.host, machine.port) for machine in made}) == CAPACITY
    assert {machine.name for machine in await cloud.driver.list_owned()} == {machine.name for machine in made}


async def test_a_full_cloud_says_so_and_has_room_again_after_a_delete(cloud: Cloud) -> None:
    if cloud.capacity is None:
        pytest.skip("this stand-in is never full; see the tests of its errors")
    await asyncio.gather(*(create(cloud.driver, spec(f"m-{number}")) for number in range(cloud.capacity)))
    with pytest.raises(OutOfCapacity):
        await cloud.driver.create(spec("one-more"))
    assert await cloud.driver.get("one-more") is None
    assert (await cloud.driver.create(spec("m-0"))).name == "m-0", "what is there needs no more room"
    await cloud.driver.delete("m-0")
    assert (await cloud.driver.create(spec("one-more"))).power is Power.STARTING


@pytest.mark.parametrize("name", ["", "UPPER", "../up", "a/b", "-a", "a.b", "x" * 64])
async def test_what_cannot_be_a_name_is_refused(cloud: Cloud, name: str) -> None:
    with pytest.raises(Refused):
        await cloud.driver.create(spec(name))
    assert await cloud.driver.get(name) is None
    await cloud.driver.delete(name)
    assert await cloud.driver.list_owned() == []


async def test_missing_machines(cloud: Cloud) -> None:
    """Off or gone is what was wished; on is not."""
    assert await cloud.driver.get("nobody") is None
    await cloud.driver.delete("nobody")
    await cloud.driver.power_off("nobody")
    with pytest.raises(Refused):
        await cloud.driver.power_on("nobody")
    with pytest.raises(Refused):
        await cloud.driver.reboot("nobody")
    assert await cloud.driver.list_owned() == []


async def test_delete_leaves_nothing_and_may_be_repeated(cloud: Cloud) -> None:
    await cloud.driver.create(spec("m-1"))
    await asyncio.gather(cloud.driver.delete("m-1"), cloud.driver.delete("m-1"))
    await cloud.driver.delete("m-1")
    assert await cloud.driver.get("m-1") is None
    assert await cloud.driver.list_owned() == []


async def test_off_and_on_again(cloud: Cloud) -> None:
    await cloud.driver.create(spec("m-1"))
    before = await seen_running(cloud.driver, "m-1")
    await cloud.driver.power_off("m-1")
    off = await cloud.driver.get("m-1")
    assert off is not None
    assert off.power is Power.STOPPED
    await cloud.driver.power_off("m-1")
    await cloud.driver.power_on("m-1")
    after = await seen_running(cloud.driver, "m-1")
    assert after == (before if cloud.keeps_address else replace(before, host=after.host))
    await cloud.driver.power_on("m-1")
    assert await seen_running(cloud.driver, "m-1") == after


async def test_off_stays_off_after_a_restart_of_ours(cloud: Cloud) -> None:
    await cloud.driver.create(spec("m-1"))
    await cloud.driver.power_off("m-1")
    await cloud.driver.close()
    later = cloud.again()
    machine = await later.get("m-1")
    assert machine is not None
    assert machine.power is Power.STOPPED
    await later.close()


async def test_reboot_comes_up_again(cloud: Cloud) -> None:
    await cloud.driver.create(spec("m-1"))
    before = await seen_running(cloud.driver, "m-1")
    await cloud.driver.reboot("m-1")
    after = await cloud.driver.get("m-1")
    assert after is not None
    assert after.power is Power.STARTING or not cloud.tells_reboots
    assert await seen_running(cloud.driver, "m-1") == before


async def test_reboot_starts_one_that_is_off(cloud: Cloud) -> None:
    await cloud.driver.create(spec("m-1"))
    await cloud.driver.power_off("m-1")
    await cloud.driver.reboot("m-1")
    await seen_running(cloud.driver, "m-1")


async def test_machines_are_found_again_by_a_fresh_driver(cloud: Cloud) -> None:
    await cloud.driver.create(spec("m-1"))
    before = await seen_running(cloud.driver, "m-1")
    await cloud.driver.close()
    later = cloud.again()
    assert await later.get("m-1") == before
    assert [machine.name for machine in await later.list_owned()] == ["m-1"]
    assert (await later.create(spec("m-1"))).ref == before.ref
    await later.delete("m-1")
    assert await later.list_owned() == []
    await later.close()


async def test_an_own_address_if_there_are_any(cloud: Cloud) -> None:
    if not (await cloud.driver.capabilities()).public_ip:
        pytest.skip("no public addresses here")
    await asyncio.gather(create(cloud.driver, spec("m-1", public=True)), create(cloud.driver, spec("m-2")))
    public, plain = await seen_running(cloud.driver, "m-1"), await seen_running(cloud.driver, "m-2")
    assert public.host != plain.host


async def test_the_private_network_is_as_promised(cloud: Cloud) -> None:
    in_network = replace(spec("m-1"), network="cluster-1")
    if (await cloud.driver.capabilities()).private_network:
        await cloud.driver.create(in_network)
        assert (await seen_running(cloud.driver, "m-1")).private_ip
    else:
        with pytest.raises(Refused):
            await cloud.driver.create(in_network)


async def test_doctor_gets_one_line(cloud: Cloud) -> None:
    line = await cloud.driver.check()
    assert line
    assert "\n" not in line
