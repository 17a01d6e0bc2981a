"""Stripe's objects as the gateway's values; plain dicts in, so that no request is needed to test them."""

from typing import Any

from billing.gateway import (
    AUTHENTICATION_REQUIRED,
    CardDetails,
    Charge,
    ChargeStatus,
    DisputeState,
    Page,
    PageStatus,
    RefundState,
)
from billing.models import DisputeStatus, EventKind, RefundStatus
from billing.money import Currency
from billing.stripe_units import from_stripe

Json = dict[str, Any]

PAYMENT_KEY = "payment_id"
"""Metadata of a PaymentIntent: our payment's id."""
REFUND_KEY = "refund_id"
"""Metadata of a Refund: our row's id."""

EVENTS = (
    "checkout.session.completed",
    "checkout.session.expired",
    "payment_intent.succeeded",
    "payment_intent.payment_failed",
    "payment_intent.requires_action",
    "payment_intent.processing",
    "payment_intent.canceled",
    "payment_method.updated",
    "payment_method.automatically_updated",
    "payment_method.detached",
    "refund.created",
    "refund.updated",
    "refund.failed",
    "charge.dispute.created",
    "charge.dispute.updated",
    "charge.dispute.closed",
)
"""What an endpoint at Stripe has to be told of."""

_STATUS = {
    "succeeded": ChargeStatus.SUCCEEDED,
    "requires_action": ChargeStatus.ACTION,
    "processing": ChargeStatus.PROCESSING,
    "canceled": ChargeStatus.CANCELLED,
    "requires_payment_method": ChargeStatus.DECLINED,
    # Confirmed in the same request that makes it, so this is seen only while Stripe is at it.
    "requires_confirmation": ChargeStatus.PROCESSING,
    "requires_capture": ChargeStatus.PROCESSING,
}

_REFUNDS = {
    "succeeded": RefundStatus.SUCCEEDED,
    "pending": RefundStatus.PENDING,
    "requires_action": RefundStatus.PENDING,
    "failed": RefundStatus.FAILED,
    "canceled": RefundStatus.FAILED,
}

_DISPUTES = {
    "warning_needs_response": DisputeStatus.INQUIRY,
    "warning_under_review": DisputeStatus.INQUIRY,
    "needs_response": DisputeStatus.OPEN,
    "under_review": DisputeStatus.OPEN,
    "warning_closed": DisputeStatus.WON,
    "prevented": DisputeStatus.WON,
    "won": DisputeStatus.WON,
    "lost": DisputeStatus.LOST,
}

# Decline codes after which Stripe's published table tells merchants not to try that card again.
_HARD_CODES = """
    card_not_supported expired_card fraudulent incorrect_number invalid_account invalid_number lost_card
    merchant_blacklist new_account_information_available pickup_card restricted_card
    revocation_of_all_authorizations revocation_of_authorization security_violation stolen_card
    stop_payment_order transaction_not_allowed
"""
_HARD = frozenset(_HARD_CODES.split())
_FINAL_ADVICE = "do_not_try_again"

_EVENTS = (
    ("checkout.session.", EventKind.PAGE),
    ("payment_intent.", EventKind.CHARGE),
    ("payment_method.", EventKind.CARD),
    ("charge.dispute.", EventKind.DISPUTE),
    ("charge.refund", EventKind.REFUND),
    ("refund.", EventKind.REFUND),
)


def charge_of(intent: Json, currency: Currency) -> Charge:
    """Return the charge that a PaymentIntent is."""
    status = _STATUS[intent["status"]]
    error = intent.get("last_payment_error") or {}
    declined = status is ChargeStatus.DECLINED
    latest = intent.get("latest_charge")
    redirect = (intent.get("next_action") or {}).get("redirect_to_url") or {}
    return Charge(
        provider_id=intent["id"],
        status=status,
        amount=from_stripe(currency, intent["amount"]),
        payment_id=own_id(intent, PAYMENT_KEY),
        decline_code=decline_code(error) if declined else "",
        hard=declined and is_hard(error),
        action_url=redirect.get("url") or "" if status is ChargeStatus.ACTION else "",
        card_provider_id=reference(intent.get("payment_method")) or reference(error.get("payment_method")),
        customer_provider_id=reference(intent.get("customer")),
        refunded=from_stripe(currency, latest.get("amount_refunded") or 0) if isinstance(latest, dict) else 0,
    )


def refund_of(refund: Json, currency: Currency) -> RefundState:
    """Return the refund that a Refund is."""
    return RefundState(
        provider_id=refund["id"],
        charge_provider_id=reference(refund.get("payment_intent")),
        # Stripe leaves it empty for refunds that are on their way by some routes.
        status=_REFUNDS[refund["status"]] if refund.get("status") else RefundStatus.PENDING,
        amount=from_stripe(currency, refund["amount"]),
        refund_id=own_id(refund, REFUND_KEY),
        failure=refund.get("failure_reason") or "",
    )


def dispute_of(dispute: Json, currency: Currency) -> DisputeState:
    """Return the dispute that a Dispute is."""
    return DisputeState(
        provider_id=dispute["id"],
        charge_provider_id=reference(dispute.get("payment_intent")),
        status=_DISPUTES[dispute["status"]],
        amount=from_stripe(currency, dispute["amount"]),
        reason=dispute.get("reason") or "",
    )


def decline_code(error: Json) -> str:
    """Return the word for why a card was declined; an attempt that has not failed yet gives none."""
    return error.get("decline_code") or error.get("code") or ""


def is_hard(error: Json) -> bool:
    """Return whether a decline is for good: the network says so, or its code means it."""
    return error.get("advice_code") == _FINAL_ADVICE or decline_code(error) in _HARD


def needs_its_owner(error: Json) -> bool:
    """Return whether the bank would take the charge if its owner confirmed it."""
    return AUTHENTICATION_REQUIRED in (error.get("code"), error.get("decline_code"))


def card_of(method: Json) -> CardDetails:
    """Return the card that a PaymentMethod is; one that is no card has no fingerprint."""
    card = (method.get("card") or {}) if method["type"] == "card" else {}
    return CardDetails(
        provider_id=method["id"],
        customer_provider_id=reference(method.get("customer")),
        fingerprint=card.get("fingerprint") or "",
        brand=card.get("display_brand") or card.get("brand") or "",
        last4=card.get("last4") or "",
        expiry_month=card.get("exp_month") or 0,
        expiry_year=card.get("exp_year") or 0,
    )


def page_of(session: Json, currency: Currency) -> Page:
    """Return the page that a Checkout session is; its intents are expected expanded."""
    intent = session.get("payment_intent")
    setup = session.get("setup_intent")
    return Page(
        provider_id=session["id"],
        url=session.get("url") or "",
        status=PageStatus(session["status"]),
        card_provider_id=reference(setup.get("payment_method")) if isinstance(setup, dict) else "",
        charge=charge_of(intent, currency) if isinstance(intent, dict) else None,
    )


def event_about(event: Json) -> tuple[EventKind, str]:
    """Return what an event is about, and the id of that object."""
    thing = event["data"]["object"]
    for prefix, kind in _EVENTS:
        if event["type"].startswith(prefix):
            return kind, thing["id"]
    return EventKind.OTHER, thing.get("id") or ""


def own_id(thing: Json, key: str) -> int | None:
    """Return the row id that we put into an object's metadata, `None` if somebody else made it."""
    value = (thing.get("metadata") or {}).get(key, "")
    return int(value) if value.isascii() and value.isdigit() else None


def reference(value: object) -> str:
    """Return the id of what may be an id, an expanded object, or nothing."""
    if isinstance(value, dict):
        value = value.get("id")
    return value if isinstance(value, str) else ""
