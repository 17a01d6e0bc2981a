"""Serves fakepve with a template, and guests whose agent answers some time after they were started.

Run by the interpreter of fakepve's own environment: `proxmox.py PORT`. Prints, when it listens, its address and
the file of its certificate, which lies in the current folder.
"""

import asyncio
import sys
from pathlib import Path

from fakepve import FakePve
from fakepve.certs import make_cert

TOKEN = ("root@pam!vmbot", "stand-in")
_BOOT_SECONDS = 0.2


async def boot(pve: FakePve) -> None:
    """Let guests that run find their address, one each, and those that are off lose it."""
    while True:
        await asyncio.sleep(_BOOT_SECONDS)
        for vm in pve.vms:
            address = {"ip-address": f"192.0.2.{vm.vmid % 250 + 1}", "ip-address-type": "ipv4", "prefix": 24}
            interface = {"name": "eth0", "hardware-address": "", "ip-addresses": [address]}
            vm.agent = {"interfaces": [interface]} if vm.status == "running" else None


async def main(port: int) -> None:
    """Serve until killed."""
    pve = FakePve(host="127.0.0.1", port=port)
    pve.apitokens[TOKEN[0]] = TOKEN[1]
    pve.time_scale = 0.001
    pve.storages["local-lvm"]["volumes"] = {
        "base-9000-disk-0": {"content": "images", "format": "raw", "size": 2 << 30, "vmid": 9000}
    }
    disk = "local-lvm:base-9000-disk-0,size=2G"
    config = {"scsi0": disk, "boot": "order=scsi0", "ide0": "local-lvm:cloudinit,media=cdrom", "memory": "512"}
    pve.add_vm(9000, "debian", status="stopped", template=True, config=config)
    certificate, key, _ = make_cert(str(Path.cwd()), hosts=("127.0.0.1",))
    await pve.start(certificate, key)
    print(pve.url, certificate, flush=True)  # noqa: T201 whoever started it reads this
    await boot(pve)


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1])))
