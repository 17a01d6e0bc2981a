"""What only the simulation has: boots that take a set number of looks, and faults on demand."""

from pathlib import Path

import pytest

from cloud.drivers.base import MachineSpec, OutOfCapacity, Power, Refused, TryAgain
from cloud.drivers.simulated import Fault, SimulatedDriver


def spec(name: str = "m-1", hostname: str = "web") -> MachineSpec:
    return MachineSpec(
        name, hostname, 1, 2048, 25, public=False, authorized_keys=("k",), user="user", host_key="h", user_data=""
    )


async def power(driver: SimulatedDriver, name: str = "m-1") -> Power | None:
    machine = await driver.get(name)
    return machine.power if machine else None


async def test_runs_at_the_first_look_by_default(tmp_path: Path) -> None:
    driver = SimulatedDriver(tmp_path)
    assert (await driver.create(spec())).power is Power.STARTING
    assert [machine.power for machine in await driver.list_owned()] == [Power.STARTING], "a list is no look"
    assert await power(driver) is Power.RUNNING


async def test_a_boot_takes_as_many_looks_as_set(tmp_path: Path) -> None:
    driver = SimulatedDriver(tmp_path, gets_until_running=3)
    await driver.create(spec())
    assert [await power(driver) for _ in range(3)] == [Power.STARTING, Power.STARTING, Power.RUNNING]
    await driver.reboot("m-1")
    assert [await power(driver) for _ in range(3)] == [Power.STARTING, Power.STARTING, Power.RUNNING]


async def test_a_fresh_driver_goes_on_with_the_same_boot(tmp_path: Path) -> None:
    await SimulatedDriver(tmp_path).create(spec())
    driver = SimulatedDriver(tmp_path, gets_until_running=2)
    assert await power(driver) is Power.STARTING
    assert await power(SimulatedDriver(tmp_path, gets_until_running=2)) is Power.RUNNING


@pytest.mark.parametrize("pattern", ["m-*", "we?"])
@pytest.mark.parametrize(("fault", "error"), [(Fault.REFUSE, Refused), (Fault.NO_CAPACITY, OutOfCapacity)])
async def test_faults_of_create(pattern: str, fault: Fault, error: type[Exception], tmp_path: Path) -> None:
    driver = SimulatedDriver(tmp_path, faults={pattern: fault})
    with pytest.raises(error):
        await driver.create(spec())
    assert await driver.list_owned() == []
    await driver.create(spec("other", "other"))


async def test_try_again_passes_the_second_time(tmp_path: Path) -> None:
    driver = SimulatedDriver(tmp_path, faults={"*": Fault.TRY_AGAIN})
    with pytest.raises(TryAgain):
        await driver.create(spec())
    assert (await driver.create(spec())).name == "m-1"


async def test_never_ready(tmp_path: Path) -> None:
    driver = SimulatedDriver(tmp_path, faults={"web": Fault.NEVER_READY})
    await driver.create(spec())
    assert {await power(driver) for _ in range(20)} == {Power.STARTING}
    driver.faults.clear()
    assert await power(driver) is Power.RUNNING


async def test_vanish(tmp_path: Path) -> None:
    driver = SimulatedDriver(tmp_path, faults={"web": Fault.VANISH})
    await driver.create(spec())
    assert await power(driver) is Power.RUNNING
    assert await power(driver) is None
    assert await driver.list_owned() == []


async def test_what_a_killed_writer_left_is_no_machine(tmp_path: Path) -> None:
    (tmp_path / ".m-1.json.123.draft").write_text('{"spec": {"na')
    driver = SimulatedDriver(tmp_path)
    assert await driver.list_owned() == []
    assert await driver.get("m-1") is None
    await driver.create(spec())


async def test_nothing_here_is_real(tmp_path: Path) -> None:
    driver = SimulatedDriver(tmp_path, capacity=7)
    assert not (await driver.capabilities()).real
    assert await driver.check() == "simulated machines, 0 of 7 in use; nothing real is started"
