"""Making a Checkout session: what may be asked for in which mode."""

import stripe

from bot.demo.stripe import currencies, customers, setups
from bot.demo.stripe.core import Core, check_url, new_id, only_one
from bot.demo.stripe.errors import Json, invalid, malformed, missing, only
from bot.demo.stripe.params import merge_metadata
from bot.demo.stripe.shapes import shape

_CREATE = frozenset(
    {
        "allowed_payment_method_types",
        "billing_address_collection",
        "cancel_url",
        "client_reference_id",
        "currency",
        "custom_text",
        "customer",
        "customer_creation",
        "customer_email",
        "customer_update",
        "expires_at",
        "line_items",
        "locale",
        "metadata",
        "mode",
        "payment_intent_data",
        "setup_intent_data",
        "submit_type",
        "success_url",
        "ui_mode",
    }
)
_INTENT_DATA = frozenset(
    {
        "description",
        "metadata",
        "receipt_email",
        "setup_future_usage",
        "statement_descriptor",
        "statement_descriptor_suffix",
    }
)
_HALF_HOUR, _DAY = 1800, 86400
_MAX_REFERENCE, _MAX_ITEMS = 200, 100
_PLAIN = ("billing_address_collection", "cancel_url", "client_reference_id", "customer_email", "locale", "success_url")


def create(core: Core, p: Json) -> Json:
    """A new open session with the address of its page."""
    only(p, _CREATE)
    _check_mode(p)
    _check_texts(p)
    customer = customers.need(core, p["customer"])["id"] if "customer" in p else None
    expires_at = _expiry(core, p)
    items = [_item(core, n, item) for n, item in enumerate(p.get("line_items", []))]
    currency = _currency(p, items)
    session = _session(core, p, customer=customer, currency=currency, expires_at=expires_at, items=items)
    if p["mode"] == "setup":
        _add_setup_intent(core, session, p.get("setup_intent_data", {}))
    return core.store.save(session)


def _check_mode(p: Json) -> None:
    for key in ("mode", "success_url"):
        if key not in p:
            raise malformed(f"Missing required param: {key}.", param=key, code="parameter_missing")
    if p["mode"] == "subscription":
        raise invalid("This stand-in has no subscriptions: use `payment` or `setup`.", param="mode")
    if p.get("ui_mode", "hosted_page") != "hosted_page":
        raise invalid("This stand-in has the hosted page only.", param="ui_mode")
    refused = ("payment_intent_data", "line_items", "submit_type") if p["mode"] == "setup" else ("setup_intent_data",)
    for key in refused:
        if key in p:
            raise invalid(f"You can not pass `{key}` in `{p['mode']}` mode.", param=key)
    if p["mode"] == "setup" and "currency" not in p and "allowed_payment_method_types" not in p:
        raise malformed(
            "Missing required param: currency. It is required in `setup` mode when `allowed_payment_method_types` is "
            "not set.",
            param="currency",
            code="parameter_missing",
        )
    if p["mode"] == "payment" and not p.get("line_items"):
        raise malformed("`line_items` is required in `payment` mode.", param="line_items", code="parameter_missing")
    only(p.get("payment_intent_data", {}), _INTENT_DATA)
    only(p.get("setup_intent_data", {}), frozenset({"description", "metadata"}))


def _check_texts(p: Json) -> None:
    only_one(p, "customer", "customer_email")
    only_one(p, "customer", "customer_creation")
    for key in ("success_url", "cancel_url"):
        if key in p:
            check_url(p[key], key)
    if "customer_update" in p and "customer" not in p:
        raise invalid("`customer_update` can only be used with `customer`.", param="customer_update")
    if len(p.get("client_reference_id", "")) > _MAX_REFERENCE:
        raise malformed(f"Invalid string: must be at most {_MAX_REFERENCE} characters", param="client_reference_id")
    if "card" not in p.get("allowed_payment_method_types", ["card"]):
        raise invalid("None of the allowed payment method types is active.", param="allowed_payment_method_types")


def _expiry(core: Core, p: Json) -> int:
    at: int = p.get("expires_at", core.now() + _DAY)
    if at < core.now() + _HALF_HOUR:
        raise invalid(
            "The `expires_at` timestamp must be at least 30 minutes from Checkout Session creation.",
            param="expires_at",
        )
    if at > core.now() + _DAY:
        raise invalid(
            "The `expires_at` timestamp must be less than 24 hours from Checkout Session creation.",
            param="expires_at",
        )
    return at


def _item(core: Core, n: int, item: Json) -> Json:
    param = f"line_items[{n}]"
    only(item, frozenset({"metadata", "price", "price_data", "quantity"}))
    only_one(item, "price", "price_data")
    if "price" in item:
        raise missing("price", item["price"], param=f"{param}[price]")
    if "price_data" not in item:
        raise invalid("You must specify either `price` or `price_data`.", param=param)
    if "quantity" not in item:
        raise invalid(f"Quantity is required. Add `quantity` to `{param}`", param=f"{param}[quantity]")
    if item["quantity"] < 1:
        raise invalid("Invalid positive integer", param=f"{param}[quantity]")
    return _priced(core, item["price_data"], item, f"{param}[price_data]")


def _priced(core: Core, data: Json, item: Json, param: str) -> Json:
    only(data, frozenset({"currency", "product_data", "tax_behavior", "unit_amount"}))
    currency = currencies.known(data["currency"], f"{param}[currency]")
    if "unit_amount" not in data:
        raise invalid("You must specify `unit_amount` when creating a price.", param=f"{param}[unit_amount]")
    if "product_data" not in data:
        raise invalid("You must specify `product_data` when creating a price.", param=f"{param}[product_data]")
    if data["unit_amount"] < 0:
        raise invalid("Invalid non-negative integer", param=f"{param}[unit_amount]")
    currencies.check_step(data["unit_amount"], currency, f"{param}[unit_amount]")
    amount = data["unit_amount"] * item["quantity"]
    return shape(
        stripe.LineItem,
        id=new_id("li_1"),
        object="item",
        amount_discount=0,
        amount_subtotal=amount,
        amount_tax=0,
        amount_total=amount,
        currency=currency,
        description=data["product_data"]["name"],
        metadata=item.get("metadata", {}),
        price=_price(core, data, currency),
        quantity=item["quantity"],
    )


def _price(core: Core, data: Json, currency: str) -> Json:
    return shape(
        stripe.Price,
        id=new_id("price_1"),
        object="price",
        active=False,
        billing_scheme="per_unit",
        created=core.now(),
        currency=currency,
        livemode=False,
        metadata={},
        product=new_id("prod_", 14),
        tax_behavior=data.get("tax_behavior", "unspecified"),
        type="one_time",
        unit_amount=data["unit_amount"],
        unit_amount_decimal=str(data["unit_amount"]),
    )


def _currency(p: Json, items: list[Json]) -> str | None:
    if len(items) > _MAX_ITEMS:
        raise invalid(f"There can be at most {_MAX_ITEMS} line items.", param="line_items")
    found = {item["currency"] for item in items}
    if "currency" in p:
        found.add(currencies.known(p["currency"]))
    if len(found) > 1:
        raise invalid("All line items must use the same currency.", param="line_items")
    return found.pop() if found else None


def _session(
    core: Core, p: Json, *, customer: str | None, currency: str | None, expires_at: int, items: list[Json]
) -> Json:
    session_id = new_id("cs_test_a1", 58)
    total = sum(item["amount_total"] for item in items) if items else None
    if total is not None and currency is not None:
        _check_total(total, currency)
    creation = None if customer else p.get("customer_creation", "if_required")
    session = shape(
        stripe.checkout.Session,
        id=session_id,
        object=stripe.checkout.Session.OBJECT_NAME,
        adaptive_pricing={"enabled": False} if items else None,
        allowed_payment_method_types=p.get("allowed_payment_method_types"),
        amount_subtotal=total,
        amount_total=total,
        automatic_tax={"enabled": False},
        created=core.now(),
        currency=currency,
        custom_fields=[],
        custom_text=p.get("custom_text", {}),
        customer=customer,
        customer_creation=creation,
        expires_at=expires_at,
        livemode=False,
        metadata=merge_metadata({}, p.get("metadata", {})),
        mode=p["mode"],
        payment_method_collection="if_required" if items else "always",
        payment_method_configuration_details={"id": "pmc_1StandInDefault"},
        payment_method_options={"card": {"request_three_d_secure": "automatic"}},
        payment_method_types=["card"],
        payment_status="unpaid" if items else "no_payment_required",
        phone_number_collection={"enabled": False},
        shipping_options=[],
        status="open",
        submit_type=p.get("submit_type"),
        total_details={"amount_discount": 0, "amount_shipping": 0, "amount_tax": 0} if items else None,
        ui_mode="hosted_page",
        url=f"{core.base_url}/pay/{session_id}",
        **{key: p.get(key) for key in _PLAIN},
    )
    return session | {
        "_items": items,
        "_intent_data": p.get("payment_intent_data", {}),
        "_customer_update": p.get("customer_update", {}),
    }


def _check_total(total: int, currency: str) -> None:
    least = currencies.minimum(currency)
    if total < least:
        raise currencies.too_small(
            f"The Checkout Session's total amount due must add up to at least {currencies.show(least, currency)} "
            f"{currency}",
            None,
        )
    currencies.check_amount(total, currency, "line_items")


def _add_setup_intent(core: Core, session: Json, data: Json) -> None:
    intent = setups.make(core, {**data, "customer": session["customer"]})
    intent["_session"] = session["id"]
    core.store.save(intent)
    core.emit("setup_intent.created", intent)
    session["setup_intent"] = intent["id"]
