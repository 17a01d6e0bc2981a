"""The command line of a machine's QEMU."""

from dataclasses import dataclass
from pathlib import Path

from cloud.drivers.qemu import lan, uplink
from cloud.drivers.qemu.folder import Folder, Record
from cloud.drivers.qemu.image import Image
from cloud.drivers.qemu.network import Isolation
from cloud.drivers.qemu.seed import OUTSIDE_MAC

_NICE = 10  # the chat answers first
_TRANSLATED_MB_MIN, _TRANSLATED_MB_MAX = 32, 256
_OUTSIDE_OF_NODES = "192.168.127.0/24"
"""What a node of a cluster sees as the way out: 10.x is its private network and what Kubernetes makes in it."""


@dataclass(frozen=True, slots=True)
class Devices:
    """The open devices of a machine: in its public network and in its private one, where it is in such."""

    uplink: int | None = None
    lan: int | None = None

    def all(self) -> tuple[int, ...]:
        """Return those that QEMU must inherit."""
        return tuple(device for device in (self.uplink, self.lan) if device is not None)


def command_line(
    folder: Folder, record: Record, image: Image, isolation: Isolation, *, kvm: bool, devices: Devices
) -> list[str | Path]:
    """Return program and arguments; to be run in the machine's folder, as its control socket is named from there.

    It returns when the guest runs in the background. What it opens, it opens before it becomes the system user
    of guests, who may read none of it.
    """
    # A ring buffer holds the end of the console: a file would grow as the guest likes.
    console = ["-chardev", "ringbuf,id=console,size=65536", "-serial", "chardev:console"]
    return [
        *("-n", str(_NICE), "qemu-system-x86_64"),
        *("-name", record.spec.name, "-pidfile", folder.pidfile, "-daemonize"),
        *("-nodefaults", "-no-user-config", "-display", "none"),
        *("-qmp", f"unix:{folder.control.name},server=on,wait=off", *console),
        *_processor(record, kvm=kvm),
        *("-m", f"{record.memory_mb}M"),
        *_kernel(image),
        *_disk("root", "disk.qcow2", "format=qcow2,discard=unmap,detect-zeroes=unmap"),
        *_disk("seed", "seed.iso", "format=raw,readonly=on"),
        *_outside(record, isolation, devices.uplink),
        *_lan(record, devices.lan),
        *("-device", "virtio-rng-pci"),
        *_confinement(isolation),
    ]


def _outside(record: Record, isolation: Isolation, device: int | None) -> list[str]:
    if device is not None:
        return _card("net", "tap", f"fd={device}", uplink.mac_of(record.bind))
    listen = f"[{record.bind}]" if ":" in record.bind else record.bind
    forwards = ",".join(f"hostfwd=tcp:{listen}:{port}-:{inside}" for inside, port in ((22, record.port), *record.ports))
    network = f"ipv6=off,restrict={'on' if isolation.restricted else 'off'},{forwards}"
    if record.private_ip:
        network += f",net={_OUTSIDE_OF_NODES}"
    return _card("net", "user", network, OUTSIDE_MAC)


def _lan(record: Record, device: int | None) -> list[str]:
    return [] if device is None else _card("lan", "tap", f"fd={device}", lan.mac_of(record.spec.name))


def _card(name: str, kind: str, options: str, mac: str) -> list[str]:
    return ["-netdev", f"{kind},id={name},{options}", "-device", f"virtio-net-pci,netdev={name},romfile=,mac={mac}"]


def _processor(record: Record, *, kvm: bool) -> list[str]:
    accel = "kvm" if kvm else f"tcg,tb-size={_translated_mb(record.memory_mb)}"
    cpu = "host" if kvm else "max"
    return ["-machine", "pc", "-accel", accel, "-cpu", cpu, "-smp", str(record.spec.vcpus)]


def _translated_mb(memory_mb: int) -> int:
    """Return how many MiB of translated code are kept for a guest; QEMU's own default is a gigabyte.

    With too few a large guest is translated over and over: of 32 MiB, a Kubernetes server filled one in three seconds.
    """
    return min(max(_TRANSLATED_MB_MIN, memory_mb // 8), _TRANSLATED_MB_MAX)


def _kernel(image: Image) -> list[str]:
    if not image.kernel:
        return []
    return ["-kernel", image.kernel, "-initrd", image.initrd, "-append", image.append]


def _disk(name: str, file: str, options: str) -> list[str]:
    return ["-drive", f"if=none,id={name},file={file},{options}", "-device", f"virtio-blk-pci,drive={name}"]


def _confinement(isolation: Isolation) -> list[str]:
    """Return what limits a guest that broke out of its virtual machine.

    `spawn=deny` and `elevateprivileges=deny` cannot be had together with `-daemonize`, which forks and starts a
    session; the filter already takes away what setuid programs could give.
    """
    become = ["-runas", isolation.user] if isolation.user else []
    return ["-sandbox", "on,obsolete=deny,resourcecontrol=deny", *become]
