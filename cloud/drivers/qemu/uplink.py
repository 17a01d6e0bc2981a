"""Public addresses on a bridge of the operator's: a machine is in that network itself, all its ports with it.

The operator makes the bridge and puts a network card of the host into it. A guest may send from its own address
only, which the name of its device says: a table of the firewall, one for each installation, drops the rest. IPv4.
"""

import hashlib
import ipaddress
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from cloud.drivers.base import TryAgain
from cloud.drivers.qemu import tap
from cloud.drivers.qemu.tools import run

_PREFIX = "vp"


@dataclass(frozen=True, slots=True)
class Uplink:
    """A network with public addresses.

    Attributes:
        bridge: the host's bridge in it.
        gateway: the address of its router.
        bits: the length of its prefix.
    """

    bridge: str
    gateway: str
    bits: int


def need(bridge: str) -> None:
    """Return if machines can be plugged into that bridge.

    Raises:
        TryAgain: there is none of that name, or we may not.
    """
    if not tap.available():
        raise TryAgain("Machines on a bridge need root, iproute2 and nftables.")
    if not tap.exists(bridge):
        raise TryAgain(f"This host has no bridge {bridge}.")


def mac_of(address: str) -> str:
    """Return the hardware address that goes with an address, so that no two in a network are alike."""
    return "02:76:" + ipaddress.IPv4Address(address).packed.hex(":")


def device_of(machines: Path, address: str) -> str:
    """Return the name of the device that a guest of that address is plugged in with."""
    return devices_of(machines) + ipaddress.IPv4Address(address).packed.hex()


def devices_of(machines: Path) -> str:
    """Return how the names of all such devices of an installation begin."""
    return _PREFIX + hashlib.sha256(os.fsencode(machines)).hexdigest()[:4]


def guard(machines: Path, addresses: Iterable[str]) -> None:
    """Let the guests of an installation send from these addresses, each from its own device, and from no others.

    Raises:
        TryAgain: the firewall does not take it.
    """
    run("nft", "-f", "-", input_text=rules(machines, addresses))


def rules(machines: Path, addresses: Iterable[str]) -> str:
    """Return the firewall's table for nft; loading it replaces the one before at once."""
    table = f"bridge vmbot_{devices_of(machines)}"
    own = [f'"{device_of(machines, address)}" . {mac_of(address)} . {address}' for address in sorted(addresses)]
    elements = f"elements = {{ {', '.join(own)} }};" if own else ""
    return (
        f"table {table}\ndelete table {table}\ntable {table} {{\n"
        f"  set own {{ type ifname . ether_addr . ipv4_addr; {elements} }}\n"
        "  chain prerouting {\n"
        "    type filter hook prerouting priority filter; policy accept;\n"
        f'    iifname != "{devices_of(machines)}*" accept\n'
        "    iifname . arp saddr ether . arp saddr ip @own accept\n"
        "    iifname . ether saddr . ip saddr @own accept\n"
        "    drop\n"
        "  }\n}\n"
    )
