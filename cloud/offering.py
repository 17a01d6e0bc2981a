"""What of the price list can be had in this cloud: nothing is offered, quoted or sold that it cannot make."""

from collections.abc import Mapping

from billing.catalog import Item
from billing.errors import BillingError
from billing.models import Kind
from cloud.drivers.base import Capabilities


class NotOffered(BillingError):
    """This cloud cannot make such a thing."""

    def __init__(self, item: Item) -> None:
        """Name the item."""
        super().__init__(f"{item} cannot be had in this cloud")
        self.item = item


def has(able: Capabilities, item: Item) -> bool:
    """Return whether this cloud can make an item."""
    return (able.clusters or item.kind is not Kind.K8S) and (able.public_ip or not item.public)


def check(able: Capabilities, item: Item) -> None:
    """Raise `NotOffered` for an item that this cloud cannot make."""
    if not has(able, item):
        raise NotOffered(item)


def only(able: Capabilities, listed: Mapping[Item, int]) -> dict[Item, int]:
    """Return what can be had of a price list."""
    return {item: monthly for item, monthly in listed.items() if has(able, item)}
