"""Refunds, whole and in part."""

import stripe

from bot.demo.stripe import charges, currencies, methods
from bot.demo.stripe.core import Core, new_id, only_one
from bot.demo.stripe.errors import Json, invalid, only
from bot.demo.stripe.params import merge_metadata
from bot.demo.stripe.shapes import shape

_CREATE = frozenset({"amount", "charge", "metadata", "payment_intent", "reason"})
FAILS_AFTER = 60
"""Seconds by the server's clock until the refund of a card that cannot take it is found to have failed."""


def create(core: Core, p: Json) -> Json:
    """Give back all that is left, or `amount` of it."""
    only(p, _CREATE)
    charge = _charge(core, p)
    left = charge["amount"] - charge["amount_refunded"]
    amount = p.get("amount", left)
    _check(core, charge, amount, left)
    method = core.store.need("payment_method", charge["payment_method"])
    refund = shape(
        stripe.Refund,
        id=new_id("re_3"),
        object="refund",
        amount=amount,
        charge=charge["id"],
        created=core.now(),
        currency=charge["currency"],
        destination_details={
            "card": {
                "reference": new_id("", 16),
                "reference_status": "available",
                "reference_type": "acquirer_reference_number",
                "type": "refund",
            },
            "type": "card",
        },
        metadata=merge_metadata({}, p.get("metadata", {})),
        payment_intent=charge["payment_intent"],
        payment_method=method["id"],
        reason=p.get("reason"),
        status="succeeded",
    )
    refund["balance_transaction"] = charges.book(core, refund, amount=-amount, kind="refund")["id"]
    if methods.card_of(method).refund_fails:
        refund["_fails_at"] = core.now() + FAILS_AFTER
    core.store.save(refund)
    _refunded(core, charge, amount)
    core.emit("refund.created", refund)
    core.emit("charge.refunded", charge, {"amount_refunded": charge["amount_refunded"] - amount})
    core.emit("refund.updated", refund, {"destination_details": {"card": {"reference_status": "pending"}}})
    return refund


def _charge(core: Core, p: Json) -> Json:
    only_one(p, "charge", "payment_intent")
    if "charge" in p:
        return core.store.need("charge", p["charge"], param="charge")
    if "payment_intent" not in p:
        raise invalid(
            "One of the following params should be provided for this request: payment_intent or charge.",
            code="parameter_missing",
        )
    intent = core.store.need("payment_intent", p["payment_intent"], param="payment_intent")
    if intent["status"] != "succeeded":
        raise invalid(
            f"This PaymentIntent ({intent['id']}) does not have a successful charge to refund.",
            param="payment_intent",
        )
    return core.store.need("charge", intent["latest_charge"])


def _check(core: Core, charge: Json, amount: int, left: int) -> None:
    if not charge["paid"]:
        raise invalid(f"Charge {charge['id']} is not paid and cannot be refunded.", param="charge")
    if any(row["charge"] == charge["id"] and not row["is_charge_refundable"] for row in core.store.every("dispute")):
        raise invalid(f"Charge {charge['id']} has been charged back; cannot issue a refund.", code="charge_disputed")
    if left == 0:
        raise invalid(f"Charge {charge['id']} has already been refunded.", code="charge_already_refunded")
    if amount < 1:
        raise invalid("Invalid positive integer", param="amount", code="parameter_invalid_integer")
    currency = charge["currency"]
    currencies.check_step(amount, currency)
    if amount > left:
        raise invalid(
            f"Refund amount ({currencies.show(amount, currency)}) is greater than unrefunded amount on charge "
            f"({currencies.show(left, currency)})",
            param="amount",
        )


def _refunded(core: Core, charge: Json, amount: int) -> None:
    charge["amount_refunded"] += amount
    charge["refunded"] = charge["amount_refunded"] == charge["amount"]
    core.store.save(charge)


def fail(core: Core, refund: Json, reason: str = "expired_or_canceled_card") -> Json:
    """The card could not take it: the money is back in the balance, the charge counts as paid again."""
    if refund["status"] != "succeeded":
        raise invalid(f"This refund has a status of {refund['status']}.")
    refund.pop("_fails_at", None)
    charge = core.store.need("charge", refund["charge"])
    booked = charges.book(core, refund, amount=refund["amount"], kind="refund_failure")
    refund |= {"status": "failed", "failure_reason": reason, "failure_balance_transaction": booked["id"]}
    core.store.save(refund)
    _refunded(core, charge, -refund["amount"])
    core.emit("refund.updated", refund, {"status": "succeeded"})
    core.emit("refund.failed", refund)
    return refund


def due(core: Core) -> None:
    """Let fail what must have failed by now."""
    for refund in core.store.every("refund"):
        if "_fails_at" in refund and refund["_fails_at"] <= core.now():
            fail(core, refund)


def retrieve(core: Core, p: Json, refund_id: str) -> Json:  # noqa: ARG001 - every handler takes the parameters
    """The refund."""
    return core.store.need("refund", refund_id, param="refund", status=404)


def update(core: Core, p: Json, refund_id: str) -> Json:
    """Metadata."""
    refund = retrieve(core, p, refund_id)
    refund["metadata"] = merge_metadata(refund["metadata"], p.get("metadata", {}))
    core.store.save(refund)
    core.emit("refund.updated", refund, {"metadata": {}})
    return refund


def listing(core: Core, p: Json) -> Json:
    """Refunds, newest first, of a charge or payment intent if asked."""
    return core.store.page("refund", "/v1/refunds", p, by=("charge", "payment_intent"))
