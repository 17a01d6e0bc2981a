"""Payment methods: cards, and whom they are attached to."""

from dataclasses import dataclass
from datetime import UTC, datetime

import stripe

from bot.demo.stripe.cards import BY_API_NAME, BY_NUMBER, TestCard
from bot.demo.stripe.core import Core, clear_empty, new_id
from bot.demo.stripe.errors import ApiError, Json, invalid, missing, only
from bot.demo.stripe.params import merge_metadata
from bot.demo.stripe.shapes import shape

_MONTHS = 12
_DISPLAY = {"amex": "american_express", "diners": "diners_club", "unionpay": "union_pay"}


@dataclass(frozen=True)
class CardEntry:
    """What somebody typed: the number, expiry, security code and who they are."""

    card: TestCard
    exp_month: int
    exp_year: int
    name: str | None = None
    email: str | None = None
    country: str | None = "US"
    postal_code: str | None = None


def from_card(core: Core, entry: CardEntry) -> Json:
    """A new, unattached payment method."""
    card = entry.card
    method = shape(
        stripe.PaymentMethod,
        id=new_id("pm_1"),
        object="payment_method",
        allow_redisplay="unspecified",
        billing_details={
            "address": {"country": entry.country, "postal_code": entry.postal_code},
            "email": entry.email,
            "name": entry.name,
        },
        card={
            "brand": card.brand,
            "checks": {"cvc_check": "unchecked"},
            "country": "US",
            "display_brand": _DISPLAY.get(card.brand, card.brand),
            "exp_month": entry.exp_month,
            "exp_year": entry.exp_year,
            "fingerprint": card.fingerprint,
            "funding": card.funding,
            "last4": card.last4,
            "networks": {"available": [card.brand], "preferred": None},
            "regulated_status": "unregulated",
            "three_d_secure_usage": {"supported": card.can_authenticate},
        },
        created=core.now(),
        livemode=False,
        metadata={},
        type="card",
    )
    # Behaviour goes by the number, which the API never shows. `_used`: charged or detached, cannot be used again
    # unless attached. `_set_up`: its owner agreed to charges while away.
    method |= {"_number": card.number, "_used": False, "_set_up": False}
    return core.store.save(method)


def card_of(method: Json) -> TestCard:
    """The test card behind a payment method."""
    return BY_NUMBER[method["_number"]]


def is_expired(core: Core, method: Json) -> bool:
    """Whether the month printed on the card has passed by the server's clock."""
    today = datetime.fromtimestamp(core.now(), UTC)
    return (int(method["card"]["exp_year"]), int(method["card"]["exp_month"])) < (today.year, today.month)


def usable(core: Core, name: str, *, param: str) -> Json:
    """The payment method with this id, or a new one of a published token such as `pm_card_visa`."""
    token = BY_API_NAME.get(name)
    if token is None:
        return core.store.need("payment_method", name, param=param)
    today = datetime.fromtimestamp(core.now(), UTC)
    return from_card(core, CardEntry(token, today.month, today.year + 1, country=None))


def check_owner(method: Json, customer_id: str | None, param: str) -> None:
    """400 if somebody else's, or one that cannot be used any more."""
    owner = method["customer"]
    if owner is None and method["_used"]:
        raise invalid(
            "The provided PaymentMethod was previously used with a PaymentIntent without Customer attachment, shared "
            "with a connected account without Customer attachment, or was detached from a Customer. It may not be "
            "used again. To use a PaymentMethod multiple times, you must attach it to a Customer first.",
            param=param,
        )
    if owner is not None and customer_id is None:
        raise invalid(
            f"The PaymentMethod {method['id']} is attached to a Customer; please include the Customer {owner} in "
            "the `customer` parameter of this request.",
            param=param,
        )
    if owner not in {None, customer_id}:
        raise invalid(
            f"The PaymentMethod {method['id']} does not belong to the Customer you supplied {customer_id}. Please "
            "use this PaymentMethod with the Customer that it belongs to instead.",
            param=param,
        )


def attach_to(core: Core, method: Json, customer_id: str) -> Json:
    """Make it the customer's; nothing happens if it already is."""
    if method["customer"] == customer_id:
        return method
    method["customer"] = customer_id
    method["card"]["checks"]["cvc_check"] = card_of(method).cvc_check
    core.store.save(method)
    core.emit("payment_method.attached", method)
    return method


def detach_from(core: Core, method: Json) -> Json:
    """Let go of it, for good."""
    previous = {"customer": method["customer"]}
    method |= {"customer": None, "_used": True}
    core.store.save(method)
    for customer in core.store.every("customer"):
        settings = customer.get("invoice_settings")
        if settings and settings["default_payment_method"] == method["id"]:
            settings["default_payment_method"] = None
            core.store.save(customer)
    core.emit("payment_method.detached", method, previous)
    return method


def retrieve(core: Core, p: Json, method_id: str) -> Json:  # noqa: ARG001 - every handler takes the parameters
    """The payment method."""
    if method_id in BY_API_NAME:
        return usable(core, method_id, param="payment_method")
    return core.store.need("payment_method", method_id, param="payment_method", status=404)


def create(core: Core, p: Json) -> Json:
    """Refused as for any account that may not see card numbers, unless a published test token is given."""
    card = p.get("card")
    token = card.get("token") if isinstance(card, dict) else None
    names = {"tok_visa": "pm_card_visa", "tok_mastercard": "pm_card_mastercard", "tok_amex": "pm_card_amex"}
    if p.get("type") != "card" or card is None:
        raise invalid("Missing required param: type.", param="type", code="parameter_missing")
    if token not in names:
        error = {
            "message": "Sending credit card numbers directly to the Stripe API is generally unsafe. Use test tokens.",
            "type": "invalid_request_error",
        }
        raise ApiError(402, error)
    return usable(core, names[token], param="card[token]")


def attach(core: Core, p: Json, method_id: str) -> Json:
    """Attach to a customer."""
    only(p, frozenset({"customer"}))
    if "customer" not in p:
        raise invalid("Missing required param: customer.", param="customer", code="parameter_missing")
    customer = core.store.need("customer", p["customer"], param="customer")
    if customer.get("deleted"):
        raise missing("customer", p["customer"], param="customer")
    if method_id not in BY_API_NAME:
        core.store.need("payment_method", method_id, param="payment_method", status=404)
    method = usable(core, method_id, param="payment_method")
    if method["customer"] not in {None, customer["id"]}:
        raise invalid(
            "The payment method you provided has already been attached to a customer.", param="payment_method"
        )
    if method["customer"] is None and method["_used"]:
        raise invalid(
            "This PaymentMethod was previously used without being attached to a Customer or was detached from a "
            "Customer, and may not be used again.",
            param="payment_method",
        )
    card = card_of(method)
    if card.decline is not None and card.decline_on_setup:
        decline = card.decline
        error = {
            "message": decline.message,
            "type": "card_error",
            "code": decline.code,
            "decline_code": decline.reason,
        }
        raise ApiError(402, error)
    return attach_to(core, method, customer["id"])


def detach(core: Core, p: Json, method_id: str) -> Json:  # noqa: ARG001 - every handler takes the parameters
    """Detach from its customer."""
    method = core.store.need("payment_method", method_id, param="payment_method", status=404)
    if method["customer"] is None:
        raise invalid(
            "The payment method you provided is not attached to a customer so detachment is impossible.",
            param="payment_method",
        )
    return detach_from(core, method)


def update(core: Core, p: Json, method_id: str) -> Json:
    """New expiry, billing details or metadata of an attached card."""
    method = core.store.need("payment_method", method_id, param="payment_method", status=404)
    if method["customer"] is None:
        raise invalid(
            "You must save this PaymentMethod to a customer before you can update it.", param="payment_method"
        )
    only(p, frozenset({"allow_redisplay", "billing_details", "card", "metadata"}))
    only(p.get("card", {}), frozenset({"exp_month", "exp_year"}))
    fresh: Json = {}
    if "metadata" in p:
        fresh["metadata"] = merge_metadata(method["metadata"], p["metadata"])
    if "allow_redisplay" in p:
        fresh["allow_redisplay"] = p["allow_redisplay"]
    if "billing_details" in p:
        given = {key: clear_empty(value) for key, value in p["billing_details"].items()}
        fresh["billing_details"] = {**method["billing_details"], **given}
    if "card" in p:
        fresh["card"] = {**method["card"], **_expiry(core, p["card"])}
    change(core, method, fresh, "payment_method.updated")
    return method


def _expiry(core: Core, given: Json) -> Json:
    month, year = given.get("exp_month", 1), given.get("exp_year", 9999)
    if not 1 <= month <= _MONTHS:
        raise _card_param("exp_month", "invalid_expiry_month", "Your card's expiration month is invalid.")
    if year < datetime.fromtimestamp(core.now(), UTC).year:
        raise _card_param("exp_year", "invalid_expiry_year", "Your card's expiration year is invalid.")
    return {key: given[key] for key in ("exp_month", "exp_year") if key in given}


def _card_param(param: str, code: str, message: str) -> ApiError:
    return ApiError(402, {"message": message, "type": "card_error", "code": code, "param": param})


def change(core: Core, method: Json, fresh: Json, event: str) -> None:
    """Set fields and tell what they were."""
    previous = {key: method[key] for key, value in fresh.items() if method[key] != value}
    if "card" in previous:
        previous["card"] = {k: v for k, v in previous["card"].items() if fresh["card"][k] != v}
    method.update(fresh)
    core.store.save(method)
    if previous:
        core.emit(event, method, previous)


def listing(core: Core, p: Json) -> Json:
    """A customer's payment methods; without a customer Stripe lists none of the saved cards."""
    if "customer" not in p:
        raise invalid("Missing required param: customer.", param="customer", code="parameter_missing")
    return of_customer(core, p, p["customer"], "/v1/payment_methods", status=400)


def customer_listing(core: Core, p: Json, customer_id: str) -> Json:
    """The same under the customer's own address."""
    return of_customer(core, p, customer_id, f"/v1/customers/{customer_id}/payment_methods", status=404)


def of_customer(core: Core, p: Json, customer_id: str, url: str, *, status: int) -> Json:
    """Payment methods attached to a customer, newest first."""
    core.store.need("customer", customer_id, param="customer", status=status)
    return core.store.page(
        "payment_method",
        url,
        p,
        by=("type", "allow_redisplay"),
        takes=("customer",),
        keep=lambda row: bool(row["customer"] == customer_id),
    )


def customer_retrieve(core: Core, p: Json, customer_id: str, method_id: str) -> Json:  # noqa: ARG001 - as all
    """One payment method, if it is this customer's."""
    core.store.need("customer", customer_id, param="customer", status=404)
    method = core.store.need("payment_method", method_id, param="payment_method", status=404)
    if method["customer"] != customer_id:
        raise missing("payment method", method_id, param="payment_method", status=404)
    return method
