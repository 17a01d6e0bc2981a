"""Where machines are reached, and what they cannot reach.

User-mode networking needs no set-up on the host, but shows a guest the host's own loopback as 10.0.2.2 and every
private network that the host is in. So, as root, guests run as a system user of their own, whose new connections
to the host itself and to private ranges the firewall rejects. Where that cannot be had, guests are cut off from
everything but their forwarded ports.
"""

import asyncio
import ipaddress
import os
import pwd
import socket
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path

from cloud.drivers.base import OutOfCapacity, TryAgain
from cloud.drivers.qemu import lan
from cloud.drivers.qemu.options import QemuOptions
from cloud.drivers.qemu.tools import run

_RESOLVER = Path("/etc/resolv.conf")
_BEHIND_RESOLVER = Path("/run/systemd/resolve/resolv.conf")
"""Whom systemd's own resolver asks, which is all that the file above names then."""
_SSH = 22
_GREETING = b"SSH-"
_PRIVATE_V4 = (
    "0.0.0.0/8, 10.0.0.0/8, 100.64.0.0/10, 127.0.0.0/8, 169.254.0.0/16, 172.16.0.0/12, 192.0.0.0/24, 192.0.2.0/24, "
    "192.168.0.0/16, 198.18.0.0/15, 198.51.100.0/24, 203.0.113.0/24, 224.0.0.0/3"
)
_PRIVATE_V6 = "::/96, ::ffff:0:0/96, 64:ff9b::/96, fc00::/7, fe80::/10, fec0::/10, ff00::/8"


@dataclass(frozen=True, slots=True)
class Isolation:
    """How guests are kept from the host and from each other.

    Attributes:
        user: the system user that QEMU becomes, empty if it stays who we are.
        restricted: guests reach nothing at all, not even the internet.
        note: the same for `doctor`.
    """

    user: str
    restricted: bool
    note: str


@dataclass(frozen=True, slots=True)
class Address:
    """Where a machine's SSH server is reached: listens at `bind`:`port`, customers are told `host`.

    `bridge` is the host's bridge that the machine is in with this address itself; empty: ports of the host lead to it.
    """

    bind: str
    host: str
    port: int
    bridge: str = ""


def isolate(user: str) -> Isolation:
    """Put the firewall rules in place, as often as one likes, and return what holds. Blocks."""
    cut_off = "so guests have no internet, only their SSH port"
    if os.geteuid() != 0:
        return Isolation("", restricted=True, note=f"not root, {cut_off}")
    uid = _system_user(user)
    try:
        # QEMU asks the host's name servers on behalf of its guests.
        run("nft", "-f", "-", input_text=rules(user, uid, _name_servers(_RESOLVER)))
    except TryAgain as error:
        return Isolation(user, restricted=True, note=f"no firewall here ({error}), {cut_off}")
    return Isolation(user, restricted=False, note=f"guests run as {user}, kept from this host and private networks")


def rules(user: str, uid: int, name_servers: Iterable[str]) -> str:
    """Return the firewall's table for nft; loading it replaces the one before at once."""
    table = f"inet {user.replace('-', '_')}"
    allowed = [
        f"{'ip6' if ':' in server else 'ip'} daddr {server} meta l4proto {{ tcp, udp }} th dport 53 accept"
        for server in name_servers
    ]
    lines = [
        "type filter hook output priority filter; policy accept;",
        f"meta skuid != {uid} accept",
        "ct state established,related accept",
        *allowed,
        "fib daddr type { local, broadcast, multicast } reject with icmpx admin-prohibited",
        f"ip daddr {{ {_PRIVATE_V4} }} reject with icmpx admin-prohibited",
        f"ip6 daddr {{ {_PRIVATE_V6} }} reject with icmpx admin-prohibited",
    ]
    lans = f'"{lan.PREFIX}*"'
    chains = {
        "output": lines,
        # Private networks lead nowhere: neither to this host nor, through it, to anything else.
        "input": ["type filter hook input priority filter; policy accept;", f"iifname {lans} drop"],
        "forward": [
            "type filter hook forward priority filter; policy accept;",
            f"iifname {lans} oifname != {lans} drop",
            f"iifname != {lans} oifname {lans} drop",
        ],
    }
    body = "".join(
        f"  chain {name} {{\n" + "".join(f"    {line}\n" for line in chain) + "  }\n" for name, chain in chains.items()
    )
    return f"table {table}\ndelete table {table}\ntable {table} {{\n{body}}}\n"


def choose_address(*, public: bool, taken: Collection[tuple[str, int]], options: QemuOptions) -> Address:
    """Return a free address for a new machine.

    Args:
        public: with an address of its own, at port 22 where we may listen there.
        taken: the addresses and ports of all other machines, running or not.
        options: the pools to choose from.

    Raises:
        OutOfCapacity: none is left.
    """
    if not public:
        for port in options.ports:
            if (options.bind, port) not in taken and _can_listen(options.bind, port):
                return Address(options.bind, options.host, port)
        raise OutOfCapacity("There is no free port for another machine.")
    used = {bind for bind, _ in taken}
    for ip in options.public_ips:
        if ip not in used:
            if options.uplink is not None:
                return Address(ip, ip, _SSH, options.uplink.bridge)
            for port in (_SSH, *options.ports):
                if _can_listen(ip, port):
                    return Address(ip, ip, port)
    raise OutOfCapacity("There is no free public address.")


def choose_port(
    address: Address, wanted: int, *, taken: Collection[tuple[str, int]], options: QemuOptions, own: bool
) -> int:
    """Return a free port at a machine's address; the wanted one, if the address is its own and that is free.

    Raises:
        OutOfCapacity: none is left.
    """
    if address.bridge:
        return wanted
    for port in [wanted, *options.ports] if own else options.ports:
        if (address.bind, port) not in taken and _can_listen(address.bind, port):
            return port
    raise OutOfCapacity("There is no free port for another machine.")


async def ssh_banner(address: str, port: int, *, seconds: float) -> bool:
    """Return whether an SSH server greets there; a forwarded port alone accepts long before its guest is up."""
    try:
        async with asyncio.timeout(seconds):
            reader, writer = await asyncio.open_connection(address, port)
            try:
                return await reader.readexactly(len(_GREETING)) == _GREETING
            finally:
                writer.close()
    except (OSError, EOFError, TimeoutError):
        return False


def _can_listen(address: str, port: int) -> bool:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address, port))
        except OSError:
            return False
    return True


def _system_user(user: str) -> int:
    """Return the number of the system user, who is made when missing."""
    try:
        return pwd.getpwnam(user).pw_uid
    except KeyError:
        run("useradd", "--system", "--no-create-home", "--shell", "/usr/sbin/nologin", user)
        return pwd.getpwnam(user).pw_uid


def resolvers_for_guests() -> tuple[str, ...]:
    """Return the name servers of this host that others than itself can ask."""
    found = dict.fromkeys([*_name_servers(_BEHIND_RESOLVER), *_name_servers(_RESOLVER)])
    return tuple(address for address in found if not ipaddress.ip_address(address).is_loopback)


def _name_servers(file: Path) -> list[str]:
    lines = file.read_text().splitlines() if file.exists() else []
    words = [line.split() for line in lines]
    found = [parts[1].partition("%")[0] for parts in words if len(parts) > 1 and parts[0] == "nameserver"]
    return [address for address in found if _is_address(address)]


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True
