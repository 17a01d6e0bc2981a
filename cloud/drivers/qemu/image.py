"""What machines boot from: found or built once, whole or not at all.

Machines keep the image that they were made from, since their disks hold only the differences; so an image never
changes: another recipe makes another folder.
"""

import hashlib
import json
import logging
import os
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from shutil import rmtree

from cloud.drivers.base import TryAgain
from cloud.drivers.files import locked, read_json, write_atomic
from cloud.drivers.qemu import debian, tiny
from cloud.drivers.qemu.download import Download, fetch
from cloud.drivers.qemu.tools import need, run

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Image:
    """One image.

    Attributes:
        folder: where it is; kept in the records of its machines.
        kernel: what QEMU loads itself, empty when the disk has a boot loader.
        initrd: as `kernel`.
        append: the kernel's command line.
        disk: the base of all disks; empty for the tiny guest, which begins with an empty one of its size.
    """

    folder: str
    kernel: str
    initrd: str
    append: str
    disk: str


Kind = str | Path | Download
"""What machines are made from: `tiny`, `debian`, the path of a disk image with a boot loader and cloud-init in it, or
where such a one is loaded from."""


def need_tools(kind: Kind) -> None:
    """Raise `MissingTools` when machines of this image cannot be made here for want of programs."""
    builders = {"tiny": tiny.TOOLS, "debian": debian.TOOLS}
    need("qemu-system-x86_64", "qemu-img", *builders.get(str(kind), ()))


def is_ready(kind: Kind, images: Path) -> bool:
    """Return whether nothing has to be built."""
    return read_json(_folder(kind, images) / "image.json") is not None


def load(folder: str) -> Image:
    """Return the image in a folder that a machine's record names.

    Raises:
        TryAgain: somebody removed it.
    """
    data = read_json(Path(folder) / "image.json")
    if data is None:
        raise TryAgain(f"The image that this machine was made from is gone: {folder}")
    return Image(**data)


def prepare(kind: Kind, images: Path) -> Image:
    """Return the image, after building or loading it if this is the first time. Blocks, seconds to many minutes.

    Args:
        kind: which.
        images: the folder of all images.

    Raises:
        DriverError: it cannot be built; the sentence says how to mend that.
    """
    folder = _folder(kind, images)
    if not is_ready(kind, images):
        need_tools(kind)
        with locked(images / ".lock"):
            if not is_ready(kind, images):  # nobody else built it while we waited
                _build(kind, folder)
    return load(str(folder))


def make_disk(image: Image, path: Path, gigabytes: int) -> None:
    """Write a machine's first disk: the image's, made larger, holding differences only. Blocks.

    Raises:
        DriverError: the host's disk is full, say.
    """
    folder = Path(image.folder)
    base = Path(image.disk) if image.disk else folder / f"empty-{gigabytes}.qcow2"
    if not image.disk and not base.exists():
        with locked(folder / ".lock"):
            draft = base.with_suffix(".draft")
            tiny.make_disk(draft, gigabytes)
            draft.replace(base)
    draft = path.with_suffix(".draft")
    run("qemu-img", "create", "-q", "-f", "qcow2", "-F", "qcow2", "-b", base, draft, f"{gigabytes}G")
    draft.replace(path)


def _folder(kind: Kind, images: Path) -> Path:
    """Return where an image belongs; another recipe or file is another folder."""
    if isinstance(kind, Download):
        return images / f"download-{kind.sha256.lower()[:12]}"
    if kind in {"tiny", "debian"}:
        recipe = hashlib.sha256(Path(__file__).read_bytes())
        for source in (Path(__file__).with_name(f"{kind}.py"), *sorted(tiny.GUEST.glob("*"))):
            recipe.update(source.read_bytes())
        return images / f"{kind}-{recipe.hexdigest()[:12]}"
    path = Path(kind).resolve()
    return images / f"disk-{hashlib.sha256(os.fsencode(path)).hexdigest()[:12]}"


def _build(kind: Kind, folder: Path) -> None:
    log.info("making the image of the machines: %s", kind)
    for left in folder.parent.glob(f".{folder.name}.*"):  # of a build that was killed; we hold the lock
        rmtree(left, ignore_errors=True)
    draft = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
    try:
        image = _fill(kind, draft, folder)
        write_atomic(draft / "image.json", json.dumps(asdict(image), indent=1))
        rmtree(folder, ignore_errors=True)  # a folder without image.json is no image
        draft.rename(folder)
        log.info("the image of the machines is ready: %s", kind)
    finally:
        rmtree(draft, ignore_errors=True)


def _fill(kind: Kind, draft: Path, folder: Path) -> Image:
    kernel, initrd = str(folder / "kernel"), str(folder / "initrd")
    if kind == "tiny":
        tiny.build(draft)
        return Image(str(folder), kernel, initrd, tiny.APPEND, disk="")
    if kind == "debian":
        debian.build(draft)
        return Image(str(folder), kernel, initrd, debian.APPEND, disk=str(folder / "disk.qcow2"))
    if isinstance(kind, Download):
        path = folder.with_suffix(".part")  # not in the draft, so that it outlives a crash
        fetch(kind, path)
    else:
        path = Path(kind).resolve()
        if not path.is_file():
            raise TryAgain(f"There is no disk image {path}.")
    run("qemu-img", "convert", "-O", "qcow2", path, draft / "disk.qcow2")
    if isinstance(kind, Download):
        path.unlink()
    return Image(str(folder), kernel="", initrd="", append="", disk=str(folder / "disk.qcow2"))
