"""Builds the tiny guest from the host's own Debian packages: kernel, busybox and dropbear, 4 seconds, no root.

For a demo on any machine: it boots in seconds without hardware virtualization and a few megabytes of disk. It
has no package manager and no cloud-init. What production sells is a cloud image.
"""

import lzma
import re
from pathlib import Path

from cloud.drivers.base import TryAgain
from cloud.drivers.qemu.initramfs import Archive
from cloud.drivers.qemu.tools import ToolFailed, find, need, run

TOOLS = ("qemu-img", "busybox", "dropbear", "dropbearconvert", "mke2fs", "dpkg-deb", "apt-get", "apt-cache", "ldd")
KERNELS = ("linux-image-cloud-amd64", "linux-image-virtual")
"""Small kernels for guests: Debian's, Ubuntu's."""

APPEND = "console=ttyS0 quiet panic=1 net.ifnames=0 mitigations=off"  # one customer per guest: QEMU is the wall
GUEST = Path(__file__).with_name("guest")

_MODULES = ("virtio_pci", "virtio_blk", "virtio_net", "virtio_rng", "button", "evdev", "isofs")

_FILES = {
    "init": ("init", 0o755),
    "etc/inittab": ("etc_inittab", 0o644),
    "etc/init.d/rcS": ("rcS", 0o755),
    "etc/udhcpc.script": ("udhcpc.script", 0o755),
    "etc/acpi/PWRF/00000080": ("poweroff", 0o755),
    "usr/bin/sudo": ("sudo", 0o755),
}
_TEXTS = {
    "etc/passwd": "root::0:0:root:/root:/bin/sh\n",
    "etc/group": "root:x:0:\ntty:x:5:\n",
    "etc/shadow": "root::0:0:99999:7:::\n",  # su without a password; the SSH server takes keys only
    "etc/shells": "/bin/sh\n",
    "etc/profile": "export PATH=/usr/sbin:/usr/bin:/sbin:/bin\n",
}


def build(folder: Path) -> None:
    """Put `kernel` and `initrd` in `folder`.

    Raises:
        DriverError: packages are missing or cannot be loaded; the sentence says which.
    """
    need(*TOOLS)
    unpacked = _unpack_kernel(folder / "unpacked")
    (kernel,) = (unpacked / "boot").glob("vmlinuz-*")
    archive = Archive()
    _add_modules(archive, unpacked)
    _add_programs(archive)
    for path, (source, mode) in _FILES.items():
        archive.file(path, (GUEST / source).read_bytes(), mode)
    for path, text in _TEXTS.items():
        archive.file(path, text.encode(), 0o600 if path == "etc/shadow" else 0o644)
    for path in ("dev", "proc", "sys", "disk", "home", "var/log", "var/lib"):
        archive.directory(path)
    archive.directory("root", 0o700)
    (folder / "initrd").write_bytes(bytes(archive))
    kernel.rename(folder / "kernel")
    run("rm", "-rf", folder / "unpacked")


def make_disk(path: Path, gigabytes: int) -> None:
    """Write an empty ext4 disk of `gigabytes` GiB to the qcow2 file `path`; it takes a few MB."""
    raw = path.with_suffix(".raw")
    with raw.open("wb") as file:
        file.truncate(gigabytes << 30)
    # Everything is zeroed now, at no cost in a sparse file, so that the guest does not fill it by zeroing later.
    options = "root_owner=0:0,lazy_itable_init=0,lazy_journal_init=0"
    run("mke2fs", "-q", "-t", "ext4", "-m", "0", "-i", "65536", "-J", "size=16", "-E", options, raw)
    run("qemu-img", "convert", "-O", "qcow2", raw, path)
    raw.unlink()


def _unpack_kernel(target: Path) -> Path:
    """Fetch the packages of a small kernel and unpack them in `target`; nothing is installed on the host."""
    target.mkdir()
    packages = _kernel_packages()
    try:
        run("apt-get", "download", *packages, cwd=target)
    except ToolFailed as error:
        raise TryAgain(
            f"The guest's kernel cannot be loaded ({error}); as root: apt-get update, then try again."
        ) from error
    for package in target.glob("*.deb"):
        run("dpkg-deb", "-x", package, target)
        package.unlink()
    return target


def _kernel_packages() -> list[str]:
    for meta in KERNELS:
        images = _depends(meta, r"linux-image-\d\S*")
        if images:
            return [images[0], *_depends(images[0], r"linux-modules-\d\S*")]
    raise TryAgain("The package lists of this host know no kernel for guests; as root: apt-get update")


def _depends(package: str, pattern: str) -> list[str]:
    try:
        listed = run("apt-cache", "depends", package)
    except ToolFailed:
        return []
    return re.findall(rf"Depends: ({pattern})", listed)


def _add_modules(archive: Archive, unpacked: Path) -> None:
    """Add the drivers, and the list of them in the order in which they need each other."""
    paths = {_module_name(path): path for path in unpacked.glob("**/lib/modules/**/*.ko*")}
    added: list[str] = []

    def add(module: str) -> None:
        path = paths.get(module)
        if path is None or module in added:  # what is not a file is a part of the kernel
            return
        data = path.read_bytes()
        data = lzma.decompress(data) if path.suffix == ".xz" else data
        needs = re.search(rb"\x00depends=([^\x00]*)\x00", data)
        for needed in needs[1].decode().split(",") if needs else ():
            add(needed.replace("-", "_"))
        archive.file(f"modules/{module}.ko", data)
        added.append(module)

    for module in _MODULES:
        add(module)
    archive.file("modules/list", "".join(f"{module}.ko\n" for module in added).encode())


def _module_name(path: Path) -> str:
    return path.name.partition(".")[0].replace("-", "_")


def _add_programs(archive: Archive) -> None:
    """Add busybox under all its names, and dropbear with the libraries it is linked to."""
    busybox = find("busybox")
    if busybox is None or "not a dynamic executable" not in _libraries_of(busybox):
        raise TryAgain("The guest needs the static busybox; as root: apt-get install busybox-static")
    archive.file("bin/busybox", busybox.read_bytes(), 0o4755)
    for path in (run("busybox", "--list-full")).split():
        if not path.endswith("/busybox") and path not in _FILES:
            archive.link(path, "/bin/busybox")
    for name, place in {"dropbear": "usr/sbin/dropbear", "dropbearconvert": "usr/bin/dropbearconvert"}.items():
        program = find(name)
        if program is not None:
            archive.file(place, program.read_bytes(), 0o755)
            for library in re.findall(r"(/\S+) \(0x", _libraries_of(program)):
                archive.file(library.lstrip("/"), Path(library).resolve().read_bytes(), 0o755)


def _libraries_of(program: Path) -> str:
    try:
        return run("ldd", program)
    except ToolFailed as error:
        return error.output
