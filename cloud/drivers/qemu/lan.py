"""Private networks: the nodes of a cluster on a bridge of their own, which nothing else is on.

The bridge goes with the last machine of its network. The host has no address there and takes nothing from it, as the
firewall's table says (`network.rules`). Needs root, like the firewall without which a node would have no internet
anyway.
"""

import hashlib
import os
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

from cloud.drivers.base import OutOfCapacity
from cloud.drivers.qemu import tap
from cloud.drivers.qemu.tools import ToolFailed, run

PREFIX = "vmbot-"
"""How the names of all our bridges begin."""
_SUBNET = "10.64.0."
_BITS = 24


def available() -> bool:
    """Return whether private networks can be made on this host by this process."""
    return tap.available()


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
    if not tap.exists(bridge):
        try:
            run("ip", "link", "add", "name", bridge, "type", "bridge")
        except ToolFailed:
            if not tap.exists(bridge):  # somebody else may just have made it
                raise
        run("ip", "link", "set", "dev", bridge, "addrgenmode", "none", "up")
    with tap.plugged(bridge, "vmbotap%d") as device:
        yield device


def remove(bridge: str) -> None:
    """Remove a bridge; a missing one is success."""
    if tap.exists(bridge):
        try:
            run("ip", "link", "delete", "dev", bridge)
        except ToolFailed:
            if tap.exists(bridge):
                raise
