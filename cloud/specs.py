"""What machine to ask a cloud for: size, names, keys and user data of one node of a deployment."""

from dataclasses import dataclass

from cloud import names
from cloud.claims import Work
from cloud.cloud_init import USER, user_data
from cloud.drivers.base import Capabilities, MachineSpec
from cloud.models import Node, Role
from cloud.sizes import SIZES


@dataclass(frozen=True, slots=True)
class SpecMaker:
    """Makes specs.

    Attributes:
        admin_keys: public key lines of the operator, put into every machine (B7).
    """

    admin_keys: tuple[str, ...] = ()

    def spec(self, work: Work, node: Node, capabilities: Capabilities) -> MachineSpec:
        """Return what a node is to be, the same for every try as long as the keys stay the same."""
        deployment, size = work.deployment, SIZES[work.deployment.size]
        hostname = _hostname(deployment.name, node)
        authorized_keys = tuple(dict.fromkeys((*work.keys, *self.admin_keys)))
        in_cluster = node.role is not Role.VM
        return MachineSpec(
            name=node.machine,
            hostname=hostname,
            vcpus=size.vcpus,
            memory_mb=size.memory_mb,
            disk_gb=size.disk_gb,
            public=deployment.public and node.role is not Role.WORKER,
            authorized_keys=authorized_keys,
            user=USER,
            host_key=node.host_key,
            user_data=user_data(hostname=hostname, user=USER, authorized_keys=authorized_keys, host_key=node.host_key),
            network=f"k8s-{deployment.id}" if in_cluster and capabilities.private_network else None,
        )


def _hostname(name: str, node: Node) -> str:
    if node.role is Role.VM:
        return name
    return names.joined(name, "control" if node.role is Role.CONTROL else f"worker-{node.position}")
