"""How the clouds differ: how to get in, what an order looks like, and how machines are known to be ours.

Everything here blocks and is called in threads.
"""

import gzip
import secrets
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any, ClassVar
from urllib.parse import urlsplit

from libcloud.compute.base import Node, NodeDriver, NodeImage, NodeSize
from libcloud.compute.providers import get_driver

from cloud.drivers.base import MachineSpec, Refused

_CALL_SECONDS = 30
_KEY, _OURS = "managed-by", "vmbot"


@dataclass(frozen=True, slots=True)
class LibcloudOptions:
    """What an operator sets about a cloud.

    Attributes:
        provider: `ec2`, `openstack`, `digitalocean`, `vultr` or `linode`.
        key: access key of EC2, user of OpenStack, else the API token.
        secret: secret key of EC2, password of OpenStack.
        image: id of the image that machines are made of; cloud-init must be in it.
        region: where.
        url: address of the API: of OpenStack's identity service, or of a cloud that speaks like EC2.
        project: of OpenStack.
        domain: of OpenStack's user and project.
        network: id of the subnet (EC2) or network (OpenStack) that machines are in; empty: the cloud's own choice.
        public_network: the same for machines with a public IP.
        sizes: ids of the sizes that may be taken; empty: the cheapest that fits.
        shutdown_seconds: how long a guest may take to shut down.
        poll_seconds: between looks.
    """

    provider: str
    key: str
    secret: str = ""
    image: str = ""
    region: str = ""
    url: str = ""
    project: str = ""
    domain: str = "Default"
    network: str = ""
    public_network: str = ""
    sizes: tuple[str, ...] = ()
    shutdown_seconds: float = 120.0
    poll_seconds: float = 2.0


class Provider(ABC):
    """One kind of cloud."""

    driver_name: ClassVar[str]
    start: ClassVar[str] = "start_node"
    stop: ClassVar[str] = "stop_node"

    def __init__(self, options: LibcloudOptions) -> None:
        """Take what the operator set."""
        self.options = options

    def connect(self) -> NodeDriver:
        """Return a client; nothing is called yet."""
        return get_driver(self.driver_name)(self.options.key, timeout=_CALL_SECONDS, **self.login())

    def login(self) -> dict[str, Any]:
        """Return what gets us in, beside the key."""
        return {}

    @property
    def public_ip(self) -> bool:
        """Whether machines with an address of their own can be had."""
        return True

    def nodes(self, client: NodeDriver) -> list[Node]:
        """Return our machines."""
        return [node for node in client.list_nodes() if self.is_ours(node)]

    @abstractmethod
    def is_ours(self, node: Node) -> bool:
        """Return whether a machine bears our mark."""

    @abstractmethod
    def order(self, client: NodeDriver, spec: MachineSpec) -> dict[str, Any]:
        """Return what an order says beside name and size."""

    def vcpus(self, size: NodeSize) -> int:
        """Return how many processors a size has; what a cloud does not say does not count."""
        return int((size.extra or {}).get("vcpus") or 0)

    def image(self, client: NodeDriver) -> NodeImage:
        """Return the image that machines are made of."""
        return NodeImage(self.options.image, self.options.image, client)

    def sizes(self, client: NodeDriver, spec: MachineSpec) -> Iterator[NodeSize]:
        """Yield the sizes that are large enough and may be taken, cheapest first."""
        wanted = self.options.sizes

        def fits(size: NodeSize) -> bool:
            allowed = size.id in wanted or size.name in wanted if wanted else self.is_common(size)
            # A size without a disk gets one as large as asked for.
            room = not size.disk or size.disk >= spec.disk_gb
            return allowed and room and size.ram >= spec.memory_mb and self.vcpus(size) >= spec.vcpus

        fitting = [size for size in client.list_sizes() if fits(size)]
        yield from sorted(fitting, key=lambda size: (size.price or float("inf"), size.ram, size.disk, size.id))

    def is_common(self, size: NodeSize) -> bool:  # noqa: ARG002 for those who know better
        """Return whether a size may be taken when the operator named none."""
        return True

    def location(self, client: NodeDriver) -> Any:  # noqa: ANN401 each cloud has its own class
        """Return where machines are made."""
        for place in client.list_locations():
            if self.options.region in {place.id, place.name}:
                return place
        raise Refused(f"LIBCLOUD_REGION: there is no region {self.options.region}.")


class Ec2(Provider):
    """Amazon EC2, and clouds that speak like it."""

    driver_name = "ec2"

    def login(self) -> dict[str, Any]:
        """Return the secret, the region, and another address where one is set."""
        options = self.options
        about: dict[str, Any] = {"secret": options.secret, "signature_version": "4"}
        if options.region:
            about["region"] = options.region
        if options.url:
            url = urlsplit(options.url)
            about |= {"host": url.hostname, "port": url.port, "secure": url.scheme == "https"}
        return about

    def nodes(self, client: NodeDriver) -> list[Node]:
        """Return our machines, asked for by their tag."""
        return [node for node in client.list_nodes(ex_filters={f"tag:{_KEY}": _OURS}) if self.is_ours(node)]

    def is_ours(self, node: Node) -> bool:
        """Return whether it has our tag."""
        return bool(node.extra["tags"].get(_KEY) == _OURS)

    def order(self, client: NodeDriver, spec: MachineSpec) -> dict[str, Any]:
        """Return an order with a disk of the right size and our tag."""
        options, image = self.options, client.get_image(self.options.image)
        root = image.extra.get("root_device_name") or image.extra["block_device_mapping"][0]["device_name"]
        disk = {"DeviceName": root, "Ebs": {"VolumeSize": spec.disk_gb, "DeleteOnTermination": True}}
        about: dict[str, Any] = {
            "image": image,
            # Orders are addresses, which must not be long; cloud-init unpacks it.
            "ex_userdata": gzip.compress(spec.user_data.encode(), mtime=0),
            "ex_metadata": {_KEY: _OURS},
            "ex_blockdevicemappings": [disk],
        }
        subnet = (options.public_network if spec.public else "") or options.network
        if subnet:
            about |= {"ex_subnet": SimpleNamespace(id=subnet), "ex_assign_public_ip": spec.public}
        return about

    def vcpus(self, size: NodeSize) -> int:
        """Return its processors."""
        return int((size.extra or {}).get("vcpu") or (size.extra or {}).get("cpu") or 0)

    def is_common(self, size: NodeSize) -> bool:
        """Return whether any image runs on it: those of ARM and of bare metal want their own."""
        return size.id.partition(".")[0] in {"t3", "t3a", "m5", "m6i", "m7i"}

    def image(self, client: NodeDriver) -> NodeImage:
        """Return the image."""
        return client.get_image(self.options.image)

    def location(self, client: NodeDriver) -> None:  # noqa: ARG002 the client is for one region
        """Return nothing: the cloud chooses the zone."""
        return


class OpenStack(Provider):
    """OpenStack, by its third identity API."""

    driver_name = "openstack"

    def login(self) -> dict[str, Any]:
        """Return password, project and where its identity service is."""
        options = self.options
        about = {
            "secret": options.secret,
            "api_version": "2.2",
            "ex_force_auth_url": options.url.removesuffix("/v3"),  # the library adds it
            "ex_force_auth_version": "3.x_password",
            "ex_tenant_name": options.project,
            "ex_domain_name": options.domain,
        }
        return about | ({"ex_force_service_region": options.region} if options.region else {})

    @property
    def public_ip(self) -> bool:
        """Whether there is a network of such addresses."""
        return bool(self.options.public_network)

    def is_ours(self, node: Node) -> bool:
        """Return whether its metadata says so."""
        return bool(node.extra["metadata"].get(_KEY) == _OURS)

    def order(self, client: NodeDriver, spec: MachineSpec) -> dict[str, Any]:
        """Return an order with a drive that tells the guest who it is, whatever the network."""
        network = self.options.public_network if spec.public else self.options.network
        about = {
            "image": self.image(client),
            "ex_userdata": spec.user_data,
            "ex_config_drive": True,
            "ex_metadata": {_KEY: _OURS},
        }
        return about | ({"networks": [SimpleNamespace(id=network)]} if network else {})

    def vcpus(self, size: NodeSize) -> int:
        """Return its processors."""
        return int(getattr(size, "vcpus", 0) or 0)

    def location(self, client: NodeDriver) -> None:  # noqa: ARG002 the client is for one region
        """Return nothing: the region is in the login."""
        return


class DigitalOcean(Provider):
    """DigitalOcean's droplets."""

    driver_name = "digitalocean"
    start = "ex_power_on_node"
    stop = "ex_shutdown_node"

    def is_ours(self, node: Node) -> bool:
        """Return whether it has our tag."""
        return _OURS in (node.extra.get("tags") or ())

    def order(self, client: NodeDriver, spec: MachineSpec) -> dict[str, Any]:
        """Return an order in the region."""
        about = {"ex_user_data": spec.user_data, "ex_create_attr": {"tags": [_OURS]}}
        return about | {"image": self.image(client), "location": self.location(client)}


class Vultr(Provider):
    """Vultr's cloud compute, by its second API."""

    driver_name = "vultr"

    def login(self) -> dict[str, Any]:
        """Return which of their APIs."""
        return {"api_version": "2"}

    def is_ours(self, node: Node) -> bool:
        """Return whether it has our tag."""
        return bool(node.extra.get("tag") == _OURS)

    def order(self, client: NodeDriver, spec: MachineSpec) -> dict[str, Any]:
        """Return an order in the region."""
        about = {"ex_userdata": spec.user_data, "ex_tag": _OURS, "ex_hostname": spec.hostname}
        return about | {"image": self.image(client), "location": self.location(client)}

    def vcpus(self, size: NodeSize) -> int:
        """Return its processors."""
        return int((size.extra or {}).get("vcpu_count") or 0)


class Linode(Provider):
    """Linode, by its fourth API."""

    driver_name = "linode"

    def login(self) -> dict[str, Any]:
        """Return which of their APIs."""
        return {"api_version": "4.0"}

    def is_ours(self, node: Node) -> bool:
        """Return whether it has our tag."""
        return _OURS in (node.extra.get("tags") or ())

    def order(self, client: NodeDriver, spec: MachineSpec) -> dict[str, Any]:
        """Return an order in the region; a password is required, and nobody keeps it."""
        about = {"ex_userdata": spec.user_data, "ex_tags": [_OURS], "root_pass": secrets.token_urlsafe(32)}
        return about | {"image": self.image(client), "location": self.location(client)}


PROVIDERS: dict[str, type[Provider]] = {
    kind.driver_name: kind for kind in (Ec2, OpenStack, DigitalOcean, Vultr, Linode)
}
