"""Private networks: the nodes of a cluster on a bridge of their own, which nothing else is on.

A guest's end of it is a device that vanishes with its QEMU, so that a crash leaves none behind; the bridge goes with
the last machine of its network. The host has no address there and takes nothing from it, as the firewall's table
says (`network.rules`). Needs root, like the firewall without which a node would have no internet anyway.
"""

import fcntl
import hashlib
import os
import struct
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

from cloud.drivers.base import OutOfCapacity, TryAgain
from cloud.drivers.qemu.tools import ToolFailed, find, run

PREFIX = "vmbot-"
"""How the names of all our bridges begin."""
_SUBNET = "10.64.0."
_BITS = 24
_TUN = Path("/dev/net/tun")
_STATUS = Path("/proc/self/status")
_CAP_NET_ADMIN = 12
_TUNSETIFF = 0x400454CA
_IFF_TAP, _IFF_NO_PI, _IFF_VNET_HDR = 0x0002, 0x1000, 0x4000
_REQUEST = "16sH22x"


def available() -> bool:
    """Return whether private networks can be made on this host by this process."""
    return os.access(_TUN, os.R_OK | os.W_OK) and _administers_networks() and bool(find("ip") and find("nft"))


def bridge_of(machines: Path, network: str) -> str:
    """Return the name of a network's bridge; other installations on this host have others."""
    return PREFIX + hashlib.sha256(os.fsencode(machines) + b"\0" + network.encode()).hexdigest()[:9]


def mac_of(name: str) -> str:
    """Return the hardware address of a machine in its private network."""
    return "52:54:00:" + hashlib.sha256(name.encode()).digest()[:3].hex(":")


def choose_address(taken: Collection[str]) -> str:
    """Return a free address in a network, where `taken` are in use.

    Raises:
        OutOfCapacity: there is none.
    """
    for number in range(2, 255):
        if (address := f"{_SUBNET}{number}") not in taken:
            return address
    raise OutOfCapacity("There is no free address in this private network.")


def with_bits(address: str) -> str:
    """Return an address as a guest must set it."""
    return f"{address}/{_BITS}"


@contextmanager
def plugged(bridge: str) -> Iterator[int]:
    """Hold the open device of a new guest, plugged into a bridge, which is made if it is not there.

    It is gone when all who inherited it have closed it.

    Raises:
        TryAgain: it cannot be made.
    """
    device = os.open(_TUN, os.O_RDWR | os.O_CLOEXEC)
    try:
        flags = _IFF_TAP | _IFF_NO_PI | _IFF_VNET_HDR
        try:
            told = fcntl.ioctl(device, _TUNSETIFF, struct.pack(_REQUEST, b"vmbotap%d", flags))
        except OSError as error:
            raise TryAgain(f"This host cannot make a private network: {error.strerror}") from error
        name = struct.unpack(_REQUEST, told)[0].rstrip(b"\0").decode()
        if not _exists(bridge):
            try:
                run("ip", "link", "add", "name", bridge, "type", "bridge")
            except ToolFailed:
                if not _exists(bridge):  # somebody else may just have made it
                    raise
            run("ip", "link", "set", "dev", bridge, "addrgenmode", "none", "up")
        run("ip", "link", "set", "dev", name, "addrgenmode", "none", "master", bridge, "up")
        yield device
    finally:
        os.close(device)


def remove(bridge: str) -> None:
    """Remove a bridge; a missing one is success."""
    if _exists(bridge):
        try:
            run("ip", "link", "delete", "dev", bridge)
        except ToolFailed:
            if _exists(bridge):
                raise


def _exists(device: str) -> bool:
    return Path("/sys/class/net", device).exists()


def _administers_networks() -> bool:
    (effective,) = (line for line in _STATUS.read_text().splitlines() if line.startswith("CapEff:"))
    return os.geteuid() == 0 and bool(int(effective.split()[1], 16) >> _CAP_NET_ADMIN & 1)
