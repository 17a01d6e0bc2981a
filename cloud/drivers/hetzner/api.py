"""Hetzner Cloud's API by its own library: what is asked of it, with its answers and errors in our words.

Everything here blocks and is called in threads.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import requests
from hcloud import APIException, Client
from hcloud.images import Image
from hcloud.locations import Location
from hcloud.networks import BoundNetwork, NetworkSubnet
from hcloud.server_types import BoundServerType
from hcloud.servers import BoundServer, ServerCreatePublicNetwork

from cloud.drivers.base import DriverError, MachineSpec, OutOfCapacity, Refused, TryAgain

_LABELS = {"managed-by": "vmbot"}
_SELECTOR = "managed-by=vmbot"
_CALL_SECONDS = 15
_EMPTY_FOR = timedelta(minutes=10)
"""A younger network may be waiting for its first server."""
_NETWORK, _SUBNET = "10.64.0.0/16", "10.64.0.0/24"
_ZONE = "eu-central"

_FULL = frozenset({"resource_unavailable", "resource_limit_exceeded", "limit_reached", "placement_error"})
_WRONG_TOKEN = frozenset({"unauthorized", "forbidden", "token_readonly"})
_BUSY = frozenset({"locked", "conflict"})
_FINAL = frozenset({"invalid_input", "invalid_server_type", "unsupported_error"})


@dataclass(frozen=True, slots=True)
class HetznerOptions:
    """What an operator sets about Hetzner Cloud.

    Attributes:
        token: API token of a project that nothing else should use.
        url: address of the API.
        image: name of the image that machines are made of; cloud-init must be in it.
        location: where, `fsn1` for example; empty: Hetzner chooses.
        types: names of the server types that may be taken; empty: the cheapest that fits.
        shutdown_seconds: how long a guest may take to shut down before it is forced.
        poll_seconds: between looks at an action.
    """

    token: str
    url: str = "https://api.hetzner.cloud/v1"
    image: str = "debian-13"
    location: str = "fsn1"
    types: tuple[str, ...] = ()
    shutdown_seconds: float = 60.0
    poll_seconds: float = 1.0


class Locked(TryAgain):
    """Another action holds the server."""


class NameTaken(TryAgain):
    """There is something of this name."""


class Gone(TryAgain):
    """There is no such thing, or not any more."""


def explain(error: Exception) -> DriverError | None:
    """Return what an error of the library means."""
    match error:
        case APIException(code=str(code), message=message):
            return meaning(code, message)
        case APIException(message=message):
            return TryAgain(f"Hetzner says: {message}")
        case requests.RequestException():
            return TryAgain("Hetzner does not answer.")
    return None


def meaning(code: str, message: str) -> DriverError:
    """Return what an error code of Hetzner's means."""
    if code in _FULL:
        return OutOfCapacity("There is no room for another machine of this size now.")
    if code in _WRONG_TOKEN:
        return TryAgain("Hetzner does not accept HETZNER_TOKEN.")
    if code in _BUSY:
        return Locked(f"Hetzner says: {message}")
    if code == "uniqueness_error":
        return NameTaken(f"Hetzner says: {message}")
    if code == "not_found":
        return Gone(f"Hetzner says: {message}")
    return (Refused if code in _FINAL else TryAgain)(f"Hetzner says: {message}")


def connect(options: HetznerOptions) -> Client:
    """Return a client; nothing is called yet."""
    return Client(
        options.token,
        api_endpoint=options.url,
        application_name="vmbot",
        poll_interval=options.poll_seconds,
        timeout=_CALL_SECONDS,
    )


def servers(hcloud: Client, name: str | None = None) -> list[BoundServer]:
    """Return our servers, all or the one of a name."""
    return hcloud.servers.get_all(name=name, label_selector=_SELECTOR)


def has_networks(hcloud: Client) -> bool:
    """Return whether there are private networks at all."""
    try:
        hcloud.networks.get_list(per_page=1)
    except APIException as error:
        if error.code in {"not_found", 404}:
            return False
        raise
    return True


def fitting(hcloud: Client, spec: MachineSpec, options: HetznerOptions) -> list[BoundServerType]:
    """Return the server types that are large enough and may be taken, cheapest first."""
    found = []
    for kind in hcloud.server_types.get_all():
        large = (kind.cores or 0, (kind.memory or 0) * 1024, kind.disk or 0)
        fits = all(has >= needs for has, needs in zip(large, (spec.vcpus, spec.memory_mb, spec.disk_gb), strict=True))
        wanted = kind.name in options.types if options.types else kind.architecture == "x86"
        if fits and wanted and _is_sold(kind, options.location):
            found.append(((_price(kind, options.location), *large), kind))
    return [kind for _, kind in sorted(found, key=lambda pair: pair[0])]


def _is_sold(kind: BoundServerType, location: str) -> bool:
    """Return whether a type can still be ordered at a location, as far as Hetzner says."""
    places = [place for place in kind.locations or [] if not location or place.location.name == location]
    return not kind.locations or any(place.deprecation is None and place.available is not False for place in places)


def _price(kind: BoundServerType, location: str) -> float:
    """Return what a month costs, to compare types; no money of ours is made of it."""
    prices = [price for price in kind.prices or [] if not location or price["location"] == location]
    return min((float(price["price_monthly"]["gross"]) for price in prices), default=0.0)


def create(
    hcloud: Client, spec: MachineSpec, kind: BoundServerType, network: BoundNetwork | None, options: HetznerOptions
) -> BoundServer:
    """Order a server.

    Raises:
        APIException: `uniqueness_error` where there is one of this name.
    """
    about: dict[str, Any] = {"location": Location(name=options.location)} if options.location else {}
    if network is not None:
        about["networks"] = [network]
    made = hcloud.servers.create(
        name=spec.name,
        server_type=kind,
        image=Image(name=options.image),
        user_data=spec.user_data,
        labels=_LABELS,
        public_net=ServerCreatePublicNetwork(enable_ipv4=spec.public, enable_ipv6=True),
        **about,
    )
    return made.server


def network(hcloud: Client, name: str, location: str) -> BoundNetwork:
    """Return the private network of a name, made if it is not there."""
    found = hcloud.networks.get_by_name(name)
    if found is not None:
        return found
    place = hcloud.locations.get_by_name(location) if location else None
    zone = (place and place.network_zone) or _ZONE
    subnet = NetworkSubnet(type="cloud", network_zone=zone, ip_range=_SUBNET)
    return hcloud.networks.create(name, _NETWORK, subnets=[subnet], labels=_LABELS)


def remove_empty_networks(hcloud: Client) -> None:
    """Remove networks of ours that no server is in any more."""
    for network in hcloud.networks.get_all(label_selector=_SELECTOR):
        old = network.created is None or datetime.now(UTC) - network.created > _EMPTY_FOR
        if old and not network.servers:
            network.delete()
