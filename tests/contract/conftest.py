"""One cloud per driver, cleaned up after each test by the driver itself."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from libcloud.compute.drivers import ec2

from cloud.drivers.base import DriverError
from tests.contract import drivers, environments, openstack
from tests.contract.drivers import Cloud

STAND_INS = ("proxmox", "hetzner", "ec2", "openstack")


@pytest.fixture(
    params=["simulated", pytest.param("qemu", marks=[pytest.mark.qemu, pytest.mark.xdist_group("qemu")]), *STAND_INS]
)
async def cloud(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Cloud]:
    """Each kind of cloud in turn, empty; nothing is left of it afterwards."""
    if request.param == "qemu":
        await _qemu_or_skip(tmp_path)
    where = request.getfixturevalue(f"{request.param}_address") if request.param in STAND_INS else tmp_path / "cloud"
    cloud: Cloud = getattr(drivers, request.param)(where)
    yield cloud
    await _clear(cloud)


@pytest.fixture(scope="session")
def proxmox_address() -> Iterator[str]:
    """Where fakepve listens."""
    with environments.served(environments.PROXMOX) as address:
        yield address


@pytest.fixture(scope="session")
def hetzner_address() -> Iterator[str]:
    """Where cloudalone listens."""
    with environments.served(environments.HETZNER) as address:
        yield address


@pytest.fixture(scope="session")
def _moto() -> Iterator[str]:
    with environments.served(environments.EC2) as address:
        yield address


@pytest.fixture
def ec2_address(_moto: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """Where moto listens; it answers in a namespace that lacks the slash at the end of Amazon's own."""
    monkeypatch.setattr(ec2, "NAMESPACE", ec2.NAMESPACE.rstrip("/"))
    return _moto


@pytest.fixture
def openstack_world() -> Iterator[tuple[str, openstack.World]]:
    """Our own OpenStack: its address and its machines."""
    with openstack.served() as served:
        yield served


@pytest.fixture
def openstack_address(openstack_world: tuple[str, openstack.World]) -> str:
    """Where our own OpenStack listens."""
    return openstack_world[0]


@pytest.fixture
async def qemu(tmp_path: Path) -> AsyncIterator[Cloud]:
    """QEMU on this host, for what only real machines can show."""
    await _qemu_or_skip(tmp_path)
    cloud = drivers.qemu(tmp_path / "cloud")
    yield cloud
    await _clear(cloud)


async def _qemu_or_skip(tmp_path: Path) -> None:
    """Build the image unless that was done before; skip where it cannot be."""
    driver = drivers.qemu(tmp_path / "probe").driver
    try:
        await driver.check()
        await driver.prepare()
    except DriverError as error:
        pytest.skip(str(error))


async def _clear(cloud: Cloud) -> None:
    await cloud.driver.close()
    driver = cloud.again()
    await asyncio.gather(*(driver.delete(machine.name) for machine in await driver.list_owned()))
    await driver.close()
