"""Customers."""

import stripe

from bot.demo.stripe import methods
from bot.demo.stripe.core import Core, clear_empty, new_id
from bot.demo.stripe.errors import Json, missing, only
from bot.demo.stripe.params import merge_metadata
from bot.demo.stripe.shapes import shape

_PLAIN = ("address", "balance", "description", "email", "name", "phone", "preferred_locales", "shipping", "tax_exempt")
_TAKEN = frozenset({*_PLAIN, "metadata"})
_DEFAULTS: Json = {"balance": 0, "preferred_locales": [], "tax_exempt": "none"}


def create(core: Core, p: Json) -> Json:
    """A new customer."""
    only(p, _TAKEN | {"invoice_prefix", "next_invoice_sequence", "payment_method"})
    customer = shape(
        stripe.Customer,
        id=new_id("cus_", 14),
        object="customer",
        created=core.now(),
        livemode=False,
        delinquent=False,
        invoice_prefix=p.get("invoice_prefix", new_id("", 8).upper()),
        invoice_settings={"default_payment_method": None},
        next_invoice_sequence=p.get("next_invoice_sequence", 1),
        metadata=merge_metadata({}, p.get("metadata", {})),
        **{**_DEFAULTS, **{key: p[key] for key in _PLAIN if key in p}},
    )
    if "payment_method" in p:
        method = methods.usable(core, p["payment_method"], param="payment_method")
        methods.attach_to(core, method, customer["id"])
    core.store.save(customer)
    core.emit("customer.created", customer)
    return customer


def need(core: Core, customer_id: str, *, param: str = "customer", status: int = 400) -> Json:
    """The living customer, or `resource_missing`."""
    customer = core.store.need("customer", customer_id, param=param, status=status)
    if customer.get("deleted"):
        raise missing("customer", customer_id, param=param, status=status)
    return customer


def retrieve(core: Core, p: Json, customer_id: str) -> Json:  # noqa: ARG001 - every handler takes the parameters
    """The customer; a deleted one is answered as the stub that Stripe leaves."""
    return core.store.need("customer", customer_id, status=404)


def update(core: Core, p: Json, customer_id: str) -> Json:
    """Set what is given."""
    only(p, _TAKEN | {"invoice_settings"})
    customer = need(core, customer_id, param="id", status=404)
    fresh: Json = {key: clear_empty(p[key]) for key in _PLAIN if key in p}
    if "metadata" in p:
        fresh["metadata"] = merge_metadata(customer["metadata"], p["metadata"])
    if "invoice_settings" in p:
        fresh["invoice_settings"] = _settings(core, customer, p["invoice_settings"])
    previous = {key: customer[key] for key, value in fresh.items() if customer[key] != value}
    customer.update(fresh)
    core.store.save(customer)
    if previous:
        core.emit("customer.updated", customer, previous)
    return customer


def _settings(core: Core, customer: Json, given: Json) -> Json:
    settings = {**customer["invoice_settings"], **given}
    default = clear_empty(settings.get("default_payment_method"))
    if default is not None:
        param = "invoice_settings[default_payment_method]"
        method = core.store.need("payment_method", str(default), param=param)
        methods.check_owner(method, customer["id"], param)
    return {**settings, "default_payment_method": default}


def delete(core: Core, p: Json, customer_id: str) -> Json:  # noqa: ARG001 - every handler takes the parameters
    """Remove the customer and let go of the cards; what is left is a stub."""
    customer = need(core, customer_id, param="id", status=404)
    for method in core.store.every("payment_method"):
        if method["customer"] == customer_id:
            methods.detach_from(core, method)
    core.emit("customer.deleted", customer)
    return core.store.save({"id": customer_id, "object": "customer", "deleted": True})


def listing(core: Core, p: Json) -> Json:
    """Customers, newest first; by e-mail if asked."""
    return core.store.page("customer", "/v1/customers", p, by=("email",), keep=lambda row: not row.get("deleted"))
