"""What machine to ask a cloud for: size, names, keys and user data of one node of a deployment."""

from dataclasses import dataclass, field

from cloud import names
from cloud.claims import Work
from cloud.cloud_init import USER, user_data
from cloud.cluster import API_PORT
from cloud.drivers.base import Capabilities, MachineSpec
from cloud.k3s import Member, Release, join_token
from cloud.models import Node, Role
from cloud.product_key import ProductKey
from cloud.sizes import SIZES


@dataclass(frozen=True, slots=True)
class SpecMaker:
    """Makes specs.

    Attributes:
        admin_keys: public key lines of the operator, put into every machine (B7).
        release: which k3s clusters get.
        product_key: our own key, put into every node of a cluster; `None`: no node is looked into.
    """

    admin_keys: tuple[str, ...] = ()
    release: Release = field(default_factory=Release)
    product_key: ProductKey | None = None

    def spec(self, work: Work, node: Node, capabilities: Capabilities, *, server: str = "") -> MachineSpec:
        """Return what a node is to be, the same for every try as long as the keys stay the same.

        Args:
            work: the deployment.
            node: which of its machines.
            capabilities: what the cloud can do.
            server: for a worker, the address of its control plane.
        """
        deployment, size = work.deployment, SIZES[work.deployment.size]
        hostname = _hostname(deployment.name, node)
        in_cluster = node.role is not Role.VM
        network = f"k8s-{deployment.id}" if in_cluster and capabilities.private_network else None
        member = None
        ours: tuple[str, ...] = ()
        if in_cluster and capabilities.clusters:
            member = Member(self.release, join_token(work.nodes[0].host_key), server, private=network is not None)
            ours = (self.product_key.public,) if self.product_key else ()
        authorized_keys = tuple(dict.fromkeys((*work.keys, *self.admin_keys, *ours)))
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
            user_data=user_data(
                hostname=hostname,
                user=USER,
                authorized_keys=authorized_keys,
                host_key=node.host_key,
                member=member,
            ),
            network=network,
            ports=(API_PORT,) if member and node.role is Role.CONTROL else (),
        )


def _hostname(name: str, node: Node) -> str:
    if node.role is Role.VM:
        return name
    return names.joined(name, "control" if node.role is Role.CONTROL else f"worker-{node.position}")
