"""The second disk of a machine, which tells a guest who it is: a small ISO 9660 file system labelled `cidata`.

That is where cloud-init looks (its NoCloud source reads `user-data` and `meta-data`); the tiny guest reads
plain files beside them. Written here because the format is simple and no tool that writes it is on every host.
"""

import json
import struct
from collections.abc import Mapping
from dataclasses import dataclass

from cloud.drivers.base import MachineSpec
from cloud.drivers.qemu import lan, uplink

SECTOR = 2048
_DESCRIPTORS = 16  # sectors that the format leaves to the system in front of the descriptors
_PATH_TABLE = 18  # little endian, followed by the big endian one
_ROOT = 20
_CONTENT = 21
_YEAR_2000 = bytes((100, 1, 1, 0, 0, 0, 0))  # no clock is read: the same machine has the same seed
_NO_DATE = b"0" * 16 + b"\x00"


OUTSIDE_MAC = "52:54:00:12:34:56"
"""The hardware address of the way out of a guest that ports of the host lead to: only its own QEMU sees it."""


@dataclass(frozen=True, slots=True)
class Outside:
    """The network card of a guest that is in a public network itself: its address there, and what it must know."""

    address: str
    network: uplink.Uplink
    resolvers: tuple[str, ...]

    @property
    def with_bits(self) -> str:
        """The address as a guest must set it."""
        return f"{self.address}/{self.network.bits}"


def seed(spec: MachineSpec, private_ip: str = "", outside: Outside | None = None) -> bytes:
    """Return the image for a machine: cloud-init's files, and the tiny guest's beside them.

    Args:
        spec: who the guest is.
        private_ip: its address in its private network, if it is in one.
        outside: its public network, if it is in one; otherwise its way out tells it all by DHCP.
    """
    network: dict[str, bytes] = {}
    if private_ip or outside:
        network["network-config"] = _network_config(spec.name, private_ip, outside)
    if private_ip:
        network["private"] = f"{lan.with_bits(private_ip)}\n".encode()
    if outside:
        servers = " ".join(outside.resolvers)
        network["public"] = f"{outside.with_bits}\n{outside.network.gateway}\n{servers}\n".encode()
    return iso9660(
        {
            **network,
            "user-data": spec.user_data.encode(),
            "meta-data": f"instance-id: {spec.name}\nlocal-hostname: {spec.hostname}\n".encode(),
            "hostname": f"{spec.hostname}\n".encode(),
            "user": f"{spec.user}\n".encode(),
            "keys": "".join(f"{key}\n" for key in spec.authorized_keys).encode(),
            "hostkey": spec.host_key.encode(),
        }
    )


def _network_config(name: str, private_ip: str, outside: Outside | None) -> bytes:
    """Return how cloud-init sets up the guest's network cards."""
    mac = uplink.mac_of(outside.address) if outside else OUTSIDE_MAC
    cards: dict[str, object] = {"eth0": {"match": {"macaddress": mac}, "set-name": "eth0", **_way_out(outside)}}
    if private_ip:
        match = {"macaddress": lan.mac_of(name)}
        cards["eth1"] = {"match": match, "set-name": "eth1", "addresses": [lan.with_bits(private_ip)]}
    return json.dumps({"version": 2, "ethernets": cards}, indent=1).encode()


def _way_out(outside: Outside | None) -> dict[str, object]:
    if outside is None:
        return {"dhcp4": True}
    return {
        "addresses": [outside.with_bits],
        "routes": [{"to": "0.0.0.0/0", "via": outside.network.gateway}],  # `default` is too new for some
        "nameservers": {"addresses": list(outside.resolvers)},
    }


def iso9660(files: Mapping[str, bytes], label: str = "cidata") -> bytes:
    """Return a file system with `files` in its root directory.

    Names are lower case, as Linux shows them. At most as many as one directory sector holds, about 40.

    Raises:
        ValueError: the names do not fit.
    """
    directory, content, sector = [_record(b"\x00", _ROOT, SECTOR), _record(b"\x01", _ROOT, SECTOR)], b"", _CONTENT
    for name in sorted(files):
        data = files[name]
        directory.append(_record(f"{name.upper()};1".encode(), sector, len(data)))
        content += _padded(data)
        sector += -(-len(data) // SECTOR)
    root = b"".join(directory)
    if len(root) > SECTOR:
        raise ValueError("Too many files for a seed.")
    head = bytes(_DESCRIPTORS * SECTOR) + _volume(label, sector) + _padded(b"\xffCD001\x01")
    tables = _padded(_path_table("<")) + _padded(_path_table(">"))
    return head + tables + _padded(root) + content


def _padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % SECTOR)


def _both(value: int, size: str) -> bytes:
    """Return a number as the format likes it: little endian, then big endian."""
    return struct.pack(f"<{size}", value) + struct.pack(f">{size}", value)


def _record(name: bytes, sector: int, size: int) -> bytes:
    """Return a directory record; names of one byte are the directory itself and its parent."""
    is_directory = len(name) == 1
    length = 33 + len(name) + (len(name) + 1) % 2
    fixed = struct.pack("BB", length, 0) + _both(sector, "I") + _both(size, "I") + _YEAR_2000
    flags = struct.pack("BBB", 2 if is_directory else 0, 0, 0) + _both(1, "H")
    return (fixed + flags + bytes((len(name),)) + name).ljust(length, b"\x00")


def _path_table(order: str) -> bytes:
    return struct.pack(f"{order}BBIHxx", 1, 0, _ROOT, 1)


def _volume(label: str, sectors: int) -> bytes:
    """Return the primary volume descriptor."""
    blank = b" " * 128
    return b"".join(
        (
            b"\x01CD001\x01\x00",
            b" " * 32,
            label.encode().ljust(32),
            bytes(8),
            _both(sectors, "I"),
            bytes(32),
            _both(1, "H") + _both(1, "H") + _both(SECTOR, "H"),
            _both(len(_path_table("<")), "I"),
            struct.pack("<II", _PATH_TABLE, 0) + struct.pack(">II", _PATH_TABLE + 1, 0),
            _record(b"\x00", _ROOT, SECTOR),
            blank * 4 + b" " * 37 * 3,
            _NO_DATE * 4,
            b"\x01\x00",
        )
    ).ljust(SECTOR, b"\x00")
