"""What this computer can offer the demo: real machines where QEMU can be had, and free ports."""

import errno
import os
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from cloud.drivers.base import DriverError
from cloud.drivers.qemu import image
from cloud.drivers.qemu.driver import QemuDriver

_IMAGE = "tiny"
_MEMORY_MB = "160"
_PUBLIC_IPS = "127.0.1.1,127.0.1.2,127.0.1.3,127.0.1.4"
"""Addresses of this computer that nothing outside reaches."""
_HIGHEST_PORT = 65_535


@dataclass(frozen=True, slots=True)
class Machines:
    """How machines are made here.

    Attributes:
        settings: what the product is told.
        note: the same for people, one line.
        how_to: how to get real ones, where they are not.
    """

    settings: Mapping[str, str]
    note: str
    how_to: str = ""


def driver(folder: Path, images: Path) -> QemuDriver:
    """The driver of real machines, on the folders that the product uses."""
    return QemuDriver(folder / "product" / "qemu", image=_IMAGE, image_directory=images)


async def machines(folder: Path, images: Path, say: Callable[[str], None]) -> Machines:
    """Find out what can be had, and build the image of real machines if this is the first time.

    Args:
        folder: the demo's.
        images: where images are kept.
        say: is told before something that takes a while.
    """
    if os.environ.get("COMPUTE") == "simulated":
        return Machines({"COMPUTE": "simulated"}, "Machines are simulated.", "They are real without COMPUTE=simulated.")
    try:
        image.need_tools(_IMAGE)
        if not image.is_ready(_IMAGE, images):
            say("Building the image of the virtual machines, once …")
        await driver(folder, images).prepare()
    except DriverError as error:
        return Machines({"COMPUTE": "simulated"}, "Machines are simulated.", str(error))
    settings = {
        "COMPUTE": "qemu",
        "IMAGE": _IMAGE,
        "IMAGE_DIR": str(images),
        "MACHINE_MEMORY_MB": _MEMORY_MB,
        "PUBLIC_IPS": _PUBLIC_IPS,
    }
    return Machines(settings, "Machines are real: QEMU guests on this computer.")


async def count(folder: Path, images: Path) -> int:
    """How many real machines there are."""
    return len(await driver(folder, images).list_owned())


async def remove(folder: Path, images: Path) -> int:
    """Delete all real machines; how many there were."""
    owned = driver(folder, images)
    found = await owned.list_owned()
    for machine in found:
        await owned.delete(machine.name)
    return len(found)


def free_port(first: int) -> int:
    """The first port from here on that nobody listens on.

    Raises:
        OSError: there is none up to the last.
    """
    for port in range(first, _HIGHEST_PORT + 1):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError as error:
                if error.errno not in {errno.EADDRINUSE, errno.EACCES}:
                    raise
            else:
                return port
    raise OSError(errno.EADDRINUSE, f"no free port from {first}")
