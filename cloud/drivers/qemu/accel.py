"""Hardware virtualization, if it really works here.

`/dev/kvm` may open, and even run a boot sector, on hosts where no guest ever comes up. So a kernel is booted:
without a disk it gives up and restarts within a second, which ends its QEMU. That is asked once per image and
run of the host.
"""

import json
import os
import subprocess
from pathlib import Path

from cloud.drivers.files import read_json, write_atomic
from cloud.drivers.qemu.folder import boot_id
from cloud.drivers.qemu.image import Image
from cloud.drivers.qemu.tools import find

_SECONDS = 5
_KVM = Path("/dev/kvm")


def kvm_works(image: Image) -> bool:
    """Return whether a guest of this image boots with KVM. Blocks up to 5 s the first time."""
    if not os.access(_KVM, os.R_OK | os.W_OK):
        return False
    noted = Path(image.folder) / "kvm.json"
    known = read_json(noted)
    if known is None or known["boot_id"] != boot_id():
        known = {"boot_id": boot_id(), "works": _boots(image.kernel or _host_kernel())}
        write_atomic(noted, json.dumps(known))
    return bool(known["works"])


def _host_kernel() -> str:
    """Return a kernel of the host to try with, empty if none can be read."""
    kernels = [path for path in Path("/boot").glob("vmlinuz-*") if os.access(path, os.R_OK)]
    return str(kernels[0]) if kernels else ""


def _boots(kernel: str) -> bool:
    if not kernel:
        return True  # nothing to try with: take the host at its word
    command = [str(find("qemu-system-x86_64")), "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot"]
    command += ["-machine", "pc,accel=kvm", "-cpu", "host", "-m", "192", "-kernel", kernel, "-append", "panic=-1"]
    try:
        done = subprocess.run(  # noqa: S603 -- no shell, nothing from outside
            command, stdin=subprocess.DEVNULL, capture_output=True, check=False, timeout=_SECONDS
        )
    except subprocess.TimeoutExpired:
        return False
    return done.returncode == 0
