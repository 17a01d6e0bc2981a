"""Which driver the settings ask for; each is imported only where it is used."""

import asyncio
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import assert_never

from bot.cloud_settings import plain
from bot.setting_types import Compute
from bot.settings import CannotStart, Settings
from cloud.drivers.base import Driver, DriverError

log = logging.getLogger(__name__)

_PREPARE_AGAIN_SECONDS = 30.0


async def prepare(driver: Driver) -> None:
    """Have what is done once before the first order done now, however often it takes; returns when it is."""
    while True:
        try:
            await driver.prepare()
        except DriverError as error:
            log.warning("no machine can be made yet: %s", error)
        else:
            return
        await asyncio.sleep(_PREPARE_AGAIN_SECONDS)


def make_driver(settings: Settings) -> Driver:
    """Return the driver of the configured cloud; nothing is touched yet.

    Raises:
        CannotStart: the library that it needs is not installed.
    """
    match settings.compute:
        case Compute.SIMULATED:
            from cloud.drivers.simulated import SimulatedDriver  # noqa: PLC0415 only where it is used

            return SimulatedDriver(settings.data_dir / "simulated")
        case Compute.QEMU:
            return _qemu(settings)
        case Compute.PROXMOX:
            return _proxmox(settings)
        case Compute.HETZNER:
            return _hetzner(settings)
        case Compute.LIBCLOUD:
            return _libcloud(settings)
        case _:
            assert_never(settings.compute)


def _qemu(settings: Settings) -> Driver:
    from cloud.drivers.qemu.download import Download  # noqa: PLC0415 only where it is used
    from cloud.drivers.qemu.driver import QemuDriver  # noqa: PLC0415
    from cloud.drivers.qemu.options import QemuOptions  # noqa: PLC0415
    from cloud.drivers.qemu.uplink import Uplink  # noqa: PLC0415

    router = settings.qemu_gateway
    uplink = Uplink(settings.qemu_bridge, str(router.ip), router.network.prefixlen) if router else None
    return QemuDriver(
        settings.data_dir / "qemu",
        image=Download(settings.image, settings.image_sha256) if settings.image_sha256 else settings.image,
        image_directory=settings.image_dir,
        options=QemuOptions(
            host=settings.machine_host,
            bind=settings.machine_bind,
            public_ips=settings.public_ips,
            uplink=uplink,
            memory_mb_max=settings.machine_memory_mb,
        ),
    )


def _proxmox(settings: Settings) -> Driver:
    with _needs("proxmox"):
        from cloud.drivers.proxmox import ProxmoxDriver, ProxmoxOptions  # noqa: PLC0415 an extra
    return ProxmoxDriver(
        ProxmoxOptions(
            url=settings.proxmox_url,
            token_id=settings.proxmox_token_id,
            token_secret=plain(settings.proxmox_token_secret),
            template=settings.proxmox_template or 0,
            bridge=settings.proxmox_bridge,
            public_bridge=settings.proxmox_public_bridge,
            nodes=settings.proxmox_nodes,
            storage=settings.proxmox_storage,
            iso_storage=settings.proxmox_iso_storage,
            first_id=settings.proxmox_first_id,
            reserve_mb=settings.proxmox_reserve_mb,
            verify=str(settings.proxmox_ca) if settings.proxmox_ca else True,
        )
    )


def _hetzner(settings: Settings) -> Driver:
    with _needs("hetzner"):
        from cloud.drivers.hetzner import HetznerDriver, HetznerOptions  # noqa: PLC0415 an extra
    return HetznerDriver(
        HetznerOptions(
            token=plain(settings.hetzner_token),
            url=settings.hetzner_api_url,
            image=settings.hetzner_image,
            location=settings.hetzner_location,
            types=settings.hetzner_types,
        )
    )


def _libcloud(settings: Settings) -> Driver:
    with _needs("libcloud"):
        from cloud.drivers.libcloud import LibcloudDriver, LibcloudOptions  # noqa: PLC0415 an extra
    return LibcloudDriver(
        LibcloudOptions(
            provider=str(settings.libcloud_provider),
            key=plain(settings.libcloud_key),
            secret=plain(settings.libcloud_secret),
            image=settings.libcloud_image,
            region=settings.libcloud_region,
            url=settings.libcloud_url,
            project=settings.libcloud_project,
            domain=settings.libcloud_domain,
            network=settings.libcloud_network,
            public_network=settings.libcloud_public_network,
            sizes=settings.libcloud_sizes,
        )
    )


@contextmanager
def _needs(extra: str) -> Iterator[None]:
    """Say in one line what to install when a driver's library is missing."""
    try:
        yield
    except ModuleNotFoundError as error:
        what = f"the library {error.name}, which comes with pip install 'vmbot[{extra}]'"
        raise CannotStart(f"COMPUTE={extra} needs {what}") from None
