"""What an operator sets about a Proxmox VE cluster."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ProxmoxOptions:
    """Where the cluster is, what machines are cloned from, and what they are attached to.

    Attributes:
        url: address of any node's API, `https://pve.example.com:8006`.
        token_id: API token, `user@realm!name`.
        token_secret: its secret.
        template: id of the virtual machine that is cloned: a cloud image with cloud-init and the guest agent.
        bridge: where machines are attached.
        public_bridge: where machines with a public IP are attached; empty: none can be had.
        nodes: nodes that machines may be made on, if not only the template's; its disk must be on shared storage.
        storage: where disks are copied to; empty: they are linked to the template's.
        iso_storage: a storage that takes ISO images: the second disk that tells a guest who it is lies there.
        first_id: machines get ids from here on.
        reserve_mb: MiB of each node's memory that are not sold.
        verify: whether the certificate is checked, or the file of the authority that signed it.
        shutdown_seconds: how long a guest may take to shut down before it is forced.
        poll_seconds: between looks at a task.
    """

    url: str
    token_id: str
    token_secret: str
    template: int
    bridge: str = "vmbr0"
    public_bridge: str = ""
    nodes: tuple[str, ...] = ()
    storage: str = ""
    iso_storage: str = "local"
    first_id: int = 100_000
    reserve_mb: int = 1024
    verify: bool | str = True
    shutdown_seconds: int = 60
    poll_seconds: float = 1.0
