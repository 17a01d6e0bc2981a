"""The command line of a machine's QEMU."""

from pathlib import Path

from cloud.drivers.qemu.folder import Folder, Record
from cloud.drivers.qemu.image import Image
from cloud.drivers.qemu.lan import mac_of
from cloud.drivers.qemu.network import Isolation
from cloud.drivers.qemu.seed import OUTSIDE_MAC

_NICE = 10  # the chat answers first
_OUTSIDE_OF_NODES = "192.168.127.0/24"
"""What a node of a cluster sees as the way out: 10.x is its private network and what Kubernetes makes in it."""


def command_line(
    folder: Folder, record: Record, image: Image, isolation: Isolation, *, kvm: bool, lan: int | None = None
) -> list[str | Path]:
    """Return program and arguments; to be run in the machine's folder, as its control socket is named from there.

    It returns when the guest runs in the background. What it opens, it opens before it becomes the system user
    of guests, who may read none of it. `lan` is the open device of its private network.
    """
    # A ring buffer holds the end of the console: a file would grow as the guest likes.
    console = ["-chardev", "ringbuf,id=console,size=65536", "-serial", "chardev:console"]
    listen = f"[{record.bind}]" if ":" in record.bind else record.bind
    forwards = ",".join(f"hostfwd=tcp:{listen}:{port}-:{inside}" for inside, port in ((22, record.port), *record.ports))
    network = f"user,id=net,ipv6=off,restrict={'on' if isolation.restricted else 'off'},{forwards}"
    if record.private_ip:
        network += f",net={_OUTSIDE_OF_NODES}"
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
        *("-netdev", network, "-device", f"virtio-net-pci,netdev=net,romfile=,mac={OUTSIDE_MAC}"),
        *_lan(record, lan),
        *("-device", "virtio-rng-pci"),
        *_confinement(isolation),
    ]


def _lan(record: Record, device: int | None) -> list[str]:
    if device is None:
        return []
    mac = mac_of(record.spec.name)
    return ["-netdev", f"tap,id=lan,fd={device}", "-device", f"virtio-net-pci,netdev=lan,romfile=,mac={mac}"]


def _processor(record: Record, *, kvm: bool) -> list[str]:
    accel = "kvm" if kvm else "tcg,tb-size=32"  # the default buffer for translated code is a gigabyte
    cpu = "host" if kvm else "max"
    return ["-machine", "pc", "-accel", accel, "-cpu", cpu, "-smp", str(record.spec.vcpus)]


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
