"""One cloud per driver, cleaned up after each test by the driver itself."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from cloud.drivers.base import DriverError
from tests.contract import drivers
from tests.contract.drivers import Cloud


@pytest.fixture(params=["simulated", pytest.param("qemu", marks=[pytest.mark.qemu, pytest.mark.xdist_group("qemu")])])
async def cloud(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Cloud]:
    """Each kind of cloud in turn, empty; nothing is left of it afterwards."""
    if request.param == "qemu":
        await _qemu_or_skip(tmp_path)
    cloud: Cloud = getattr(drivers, request.param)(tmp_path / "cloud")
    yield cloud
    await _clear(cloud)


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
        await driver.prepare()  # type: ignore[attr-defined]  # of QemuDriver only
    except DriverError as error:
        pytest.skip(str(error))


async def _clear(cloud: Cloud) -> None:
    await cloud.driver.close()
    driver = cloud.again()
    await asyncio.gather(*(driver.delete(machine.name) for machine in await driver.list_owned()))
    await driver.close()
