"""Which driver the settings ask for; each is imported only where it is used."""

from typing import assert_never

from bot.setting_types import Compute
from bot.settings import Settings
from cloud.drivers.base import Driver


def make_driver(settings: Settings) -> Driver:
    """Return the driver of the configured cloud; nothing is touched yet."""
    match settings.compute:
        case Compute.SIMULATED:
            from cloud.drivers.simulated import SimulatedDriver  # noqa: PLC0415 only where it is used

            return SimulatedDriver(settings.data_dir / "simulated")
        case Compute.QEMU:
            from cloud.drivers.qemu.driver import QemuDriver  # noqa: PLC0415 only where it is used
            from cloud.drivers.qemu.options import QemuOptions  # noqa: PLC0415

            return QemuDriver(
                settings.data_dir / "qemu",
                image=settings.image,
                image_directory=settings.image_dir,
                options=QemuOptions(
                    host=settings.machine_host,
                    bind=settings.machine_bind,
                    public_ips=settings.public_ips,
                    memory_mb_max=settings.machine_memory_mb,
                ),
            )
        case _:
            assert_never(settings.compute)
