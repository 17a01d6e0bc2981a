"""A guest's end of a bridge of this host: a device that vanishes with the QEMU that has it open.

So a crash leaves none behind.
"""

import fcntl
import os
import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cloud.drivers.base import TryAgain
from cloud.drivers.qemu.tools import find, run

_TUN = Path("/dev/net/tun")
_STATUS = Path("/proc/self/status")
_CAP_NET_ADMIN = 12
_TUNSETIFF = 0x400454CA
_IFF_TAP, _IFF_NO_PI, _IFF_VNET_HDR = 0x0002, 0x1000, 0x4000
_REQUEST = "16sH22x"


def available() -> bool:
    """Return whether this process may plug guests into bridges of this host."""
    return os.access(_TUN, os.R_OK | os.W_OK) and _administers_networks() and bool(find("ip") and find("nft"))


@contextmanager
def plugged(bridge: str, name: str) -> Iterator[int]:
    """Hold the open device of a guest, plugged into a bridge.

    It is gone when all who inherited it have closed it.

    Args:
        bridge: of this host; it exists.
        name: the device's, up to 15 characters; a `%d` in it becomes a free number.

    Raises:
        TryAgain: it cannot be made, or a device of that name is there.
    """
    device = os.open(_TUN, os.O_RDWR | os.O_CLOEXEC)
    try:
        flags = _IFF_TAP | _IFF_NO_PI | _IFF_VNET_HDR
        try:
            told = fcntl.ioctl(device, _TUNSETIFF, struct.pack(_REQUEST, name.encode(), flags))
        except OSError as error:
            raise TryAgain(f"This host cannot make a network device: {error.strerror}") from error
        made = struct.unpack(_REQUEST, told)[0].rstrip(b"\0").decode()
        run("ip", "link", "set", "dev", made, "addrgenmode", "none", "master", bridge, "up")
        yield device
    finally:
        os.close(device)


def exists(device: str) -> bool:
    """Return whether this host has a network device of that name."""
    return device in {name for _, name in socket.if_nameindex()}


def _administers_networks() -> bool:
    (effective,) = (line for line in _STATUS.read_text().splitlines() if line.startswith("CapEff:"))
    return os.geteuid() == 0 and bool(int(effective.split()[1], 16) >> _CAP_NET_ADMIN & 1)
