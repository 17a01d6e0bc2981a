"""Builds a Debian guest with cloud-init from the host's own package sources: a minute, root needed."""

import os
from pathlib import Path

from cloud.drivers.base import TryAgain
from cloud.drivers.qemu.tools import run

TOOLS = ("qemu-img", "mmdebstrap", "mke2fs")
APPEND = "console=ttyS0 root=/dev/vda rw quiet net.ifnames=0"

_PACKAGES = (
    "linux-image-cloud-amd64,systemd-sysv,systemd-resolved,udev,dbus,cloud-init,openssh-server,sudo,iproute2,netbase,"
    "ca-certificates,curl,nano,less,procps,iputils-ping,e2fsprogs"
)
_ROOT_GB = 3


def build(folder: Path) -> None:
    """Put `kernel`, `initrd` and `disk.qcow2` in `folder`.

    The disk is one file system without partitions, which cloud-init grows; QEMU loads the kernel, so a kernel
    that the guest updates itself does not take effect.

    Raises:
        DriverError: not root, programs are missing, or packages cannot be loaded.
    """
    if os.geteuid() != 0:
        raise TryAgain("The Debian image can be built by root only; without root, use the tiny image.")
    root, raw = folder / "root", folder / "disk.raw"
    commands = (
        'rm -f "$1"/etc/ssh/ssh_host_*',  # every machine gets its own
        'echo localhost > "$1"/etc/hostname; rm -f "$1"/etc/machine-id; touch "$1"/etc/machine-id',
        "echo 'datasource_list: [NoCloud, None]' > \"$1\"/etc/cloud/cloud.cfg.d/90_nocloud.cfg",
        'ln -sf /run/systemd/resolve/stub-resolv.conf "$1"/etc/resolv.conf',
        'rm -rf "$1"/var/cache/apt/* "$1"/var/lib/apt/lists/*',
        'chroot "$1" systemctl enable systemd-networkd systemd-resolved',
    )
    hooks = [f"--customize-hook={command}" for command in commands]
    run("mmdebstrap", "--variant=minbase", f"--include={_PACKAGES}", *hooks, _suite(), root)
    for name, pattern in {"kernel": "vmlinuz-*", "initrd": "initrd.img-*"}.items():
        (found,) = (root / "boot").glob(pattern)
        (folder / name).write_bytes(found.read_bytes())
    with raw.open("wb") as file:
        file.truncate(_ROOT_GB << 30)
    run("mke2fs", "-q", "-t", "ext4", "-m", "0", "-E", "lazy_itable_init=0,lazy_journal_init=0", "-d", root, raw)
    run("qemu-img", "convert", "-O", "qcow2", raw, folder / "disk.qcow2")
    raw.unlink()
    run("rm", "-rf", root)


def _suite() -> str:
    """Return the name of the Debian release that this host is: its package sources are used as they are.

    Raises:
        TryAgain: it is something else.
    """
    lines = Path("/etc/os-release").read_text().splitlines()
    release = dict(line.split("=", 1) for line in lines if "=" in line)
    if release.get("ID") != "debian":
        raise TryAgain("The Debian image can be built on Debian only; here, use the tiny image or a disk image.")
    return release["VERSION_CODENAME"]
