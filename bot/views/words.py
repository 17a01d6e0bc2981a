"""Words that many screens use: what things are called, and lines made of them."""

from billing.catalog import Item
from billing.models import Card, Kind
from billing.money import Currency
from bot.format import money
from bot.i18n import _, ngettext
from cloud import cluster, machines, reconcile, records
from cloud.drivers import base
from cloud.models import State
from cloud.sizes import SIZES

_HOURS_CAP = 672
"""An hour costs a 672nd of the month (rules.md 4.3)."""

STATE_SIGNS = {
    State.IN_PROGRESS: "⏳",
    State.SUCCESS: "🟢",
    State.FAILED: "🔴",
    State.DELETING: "🗑",
    State.DELETED: "⚪",
}


def state(of: State) -> str:
    """Return a state in words."""
    return {
        State.IN_PROGRESS: _("in progress"),
        State.SUCCESS: _("success"),
        State.FAILED: _("failed"),
        State.DELETING: _("deleting"),
        State.DELETED: _("deleted"),
    }[of]


def progress(detail: str) -> str:
    """Return what is going on with a deployment; what a cloud says in its own words stays in them."""
    known = {
        machines.QUEUED: _("waiting for its turn to start"),
        machines.STARTING: _("starting"),
        base.PREPARING: _("preparing the image that machines are made from"),
        machines.NO_SSH: _("waiting for SSH"),
        machines.NO_CONTROL: _("waiting for the control plane"),
        cluster.STARTING: _("starting Kubernetes"),
        machines.OTHER_KEY: _("something else answers at its address"),
        reconcile.NOT_UP: _("It does not answer since it was switched on."),
        records.TROUBLE: _("The cloud has trouble at the moment; this is tried again by itself."),
        records.BY_HAND: _("It is removed by hand, and is not billed any more."),
        records.VANISHED: _("The machine is gone from the cloud, without anybody having asked for it."),
    }
    return known.get(detail, detail)


def size(name: str) -> str:
    """Return what a size has: `1 vCPU, 2 GB memory, 25 GB disk`."""
    of = SIZES[name]
    return _("{cpus} vCPU, {memory} GB memory, {disk} GB disk").format(
        cpus=of.vcpus, memory=of.memory_mb // 1024, disk=of.disk_gb
    )


def item(of: Item, workers: int = 0) -> str:
    """Return what was ordered: `small machine with public IP`, `medium cluster, 1 + 3 nodes`."""
    if of.kind is Kind.VM:
        text = _("{size} machine").format(size=of.size)
    else:
        text = ngettext(
            "{size} cluster, 1 control plane + {count} worker",
            "{size} cluster, 1 control plane + {count} workers",
            workers,
        ).format(size=of.size, count=workers)
    return _("{item} with public IP").format(item=text) if of.public else text


def hourly(monthly: int, currency: Currency) -> str:
    """Return about what an hour costs, with two decimals more than the currency has."""
    finer = Currency(currency.code, currency.exponent + 2, 1)
    return money(finer.round_half_up(monthly * 100, _HOURS_CAP), finer)


def card(of: Card) -> str:
    """Return a card as people know it: `Visa •4242`."""
    brand = {"amex": "American Express", "mastercard": "Mastercard", "visa": "Visa"}.get(of.brand, of.brand.title())
    return f"{brand} •{of.last4}"
