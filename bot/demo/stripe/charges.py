"""Charges and the balance they change."""

import stripe

from bot.demo.stripe import methods
from bot.demo.stripe.cards import EXPIRED, Decline, TestCard, Verdict, judge_charge
from bot.demo.stripe.core import Core, new_id, public
from bot.demo.stripe.errors import Json, only
from bot.demo.stripe.params import merge_metadata
from bot.demo.stripe.shapes import shape

_FEE_PER_MILLE, _FEE_FIXED = 29, 30
_PENDING_DAYS, _DAY = 2, 86400


def judge(core: Core, method: Json, *, off_session: bool, authenticated: bool) -> Verdict:
    """What the bank of this card says now; an expired card is refused whatever its number."""
    if methods.is_expired(core, method):
        return Verdict(decline=EXPIRED)
    return judge_charge(
        methods.card_of(method),
        off_session=off_session,
        set_up=method["_set_up"],
        authenticated=authenticated,
    )


def record(core: Core, intent: Json, method: Json, decline: Decline | None, *, authenticated: bool) -> Json:
    """The charge of one attempt, succeeded or failed, with its event."""
    card = methods.card_of(method)
    paid = decline is None
    charge = shape(
        stripe.Charge,
        id=new_id("ch_3"),
        object="charge",
        amount=intent["amount"],
        amount_captured=intent["amount"] if paid else 0,
        amount_refunded=0,
        billing_details=method["billing_details"],
        calculated_statement_descriptor="STAND-IN",
        captured=paid,
        created=core.now(),
        currency=intent["currency"],
        customer=intent["customer"],
        description=intent["description"],
        disputed=False,
        failure_code=decline.code if decline else None,
        failure_message=decline.message if decline else None,
        fraud_details={},
        livemode=False,
        metadata=dict(intent["metadata"]),
        outcome=_outcome(card, decline),
        paid=paid,
        payment_intent=intent["id"],
        payment_method=method["id"],
        payment_method_details=_details(method, card, intent["amount"], authenticated=authenticated),
        radar_options={},
        receipt_email=intent["receipt_email"],
        receipt_url=f"{core.base_url}/pay/receipts/{intent['id']}" if paid else None,
        refunded=False,
        statement_descriptor=intent["statement_descriptor"],
        statement_descriptor_suffix=intent["statement_descriptor_suffix"],
        status="succeeded" if paid else "failed",
    )
    core.store.save(charge)
    core.emit("charge.succeeded" if paid else "charge.failed", charge)
    if paid:
        settle(core, charge)
    return charge


def settle(core: Core, charge: Json) -> None:
    """Book a successful charge in the balance; Stripe says so in a `charge.updated` of its own."""
    amount = charge["amount"]
    fee = amount * _FEE_PER_MILLE // 1000 + _FEE_FIXED
    booked = book(core, charge, amount=amount, kind="charge", fee=fee)
    charge["balance_transaction"] = booked["id"]
    core.store.save(charge)
    core.emit("charge.updated", charge, {"balance_transaction": None, "receipt_url": None})


def book(core: Core, source: Json, *, amount: int, kind: str, fee: int = 0) -> Json:
    """One balance transaction; money out is negative."""
    fees = [{"amount": fee, "currency": source["currency"], "description": "Stripe fees", "type": "stripe_fee"}]
    return core.store.save(
        shape(
            stripe.BalanceTransaction,
            id=new_id("txn_3"),
            object="balance_transaction",
            amount=amount,
            available_on=core.now() + _PENDING_DAYS * _DAY,
            balance_type="payments",
            created=core.now(),
            currency=source["currency"],
            fee=fee,
            fee_details=fees if fee else [],
            net=amount - fee,
            reporting_category="dispute" if source["object"] == "dispute" else kind,
            source=source["id"],
            status="pending",
            type=kind,
        )
    )


def _outcome(card: TestCard, decline: Decline | None) -> Json:
    risk = {"risk_level": "normal", "risk_score": 12}
    if decline is None:
        return {
            **risk,
            "network_status": "approved_by_network",
            "seller_message": "Payment complete.",
            "type": "authorized",
        }
    if decline.reason == "fraudulent":
        return {
            "risk_level": "highest",
            "risk_score": 92,
            "network_status": "not_sent_to_network",
            "reason": "highest_risk_level",
            "seller_message": "Stripe blocked this payment as too risky.",
            "type": "blocked",
        }
    return {
        **risk,
        "advice_code": decline.advice,
        "network_advice_code": "03" if decline.advice == "do_not_try_again" else "02",
        "network_decline_code": "05" if card.brand == "visa" else "51",
        "network_status": "declined_by_network",
        "reason": decline.reason,
        "seller_message": f"The bank returned the decline code `{decline.reason}`.",
        "type": "issuer_declined",
    }


def _details(method: Json, card: TestCard, amount: int, *, authenticated: bool) -> Json:
    shown = method["card"]
    details: Json = {
        key: shown[key]
        for key in ("brand", "country", "exp_month", "exp_year", "fingerprint", "funding", "last4", "regulated_status")
    }
    details |= {
        "amount_authorized": amount,
        "checks": {"cvc_check": card.cvc_check if method["customer"] is None else None},
        "network": card.brand,
        "network_token": {"used": False},
        "network_transaction_id": new_id("", 15).lower(),
        "overcapture": {"maximum_amount_capturable": amount, "status": "unavailable"},
    }
    if authenticated:
        details["three_d_secure"] = {
            "authentication_flow": "challenge",
            "electronic_commerce_indicator": "05",
            "result": "authenticated",
            "version": "2.2.0",
        }
    return {"card": details, "type": "card"}


def error_of(decline: Decline, method: Json, *, charge: str | None = None) -> Json:
    """The `last_payment_error` or `last_setup_error` of a refusal, and the core of the answer that tells it."""
    error: Json = {
        "code": decline.code,
        "decline_code": decline.reason,
        "doc_url": f"https://stripe.com/docs/error-codes/{decline.code.replace('_', '-')}",
        "message": decline.message,
        "payment_method": public(method),
        "type": "card_error",
    }
    if decline.advice is not None:
        error["advice_code"] = decline.advice
    if charge is not None:
        error["charge"] = charge
    if decline.code == "incorrect_cvc":
        error["param"] = "cvc"
    return error


def retrieve(core: Core, p: Json, charge_id: str) -> Json:  # noqa: ARG001 - every handler takes the parameters
    """The charge."""
    return core.store.need("charge", charge_id, param="charge", status=404)


def update(core: Core, p: Json, charge_id: str) -> Json:
    """Description, metadata and the like."""
    only(p, frozenset({"description", "metadata", "receipt_email"}))
    charge = retrieve(core, p, charge_id)
    fresh: Json = {key: p[key] for key in ("description", "receipt_email") if key in p}
    if "metadata" in p:
        fresh["metadata"] = merge_metadata(charge["metadata"], p["metadata"])
    previous: Json = {key: charge[key] for key, value in fresh.items() if charge[key] != value}
    charge.update(fresh)
    core.store.save(charge)
    if previous:
        core.emit("charge.updated", charge, previous)
    return charge


def listing(core: Core, p: Json) -> Json:
    """Charges, newest first, of a customer or a payment intent if asked."""
    return core.store.page("charge", "/v1/charges", p, by=("customer", "payment_intent"))


def balance_transaction(core: Core, p: Json, transaction_id: str) -> Json:  # noqa: ARG001 - as all handlers
    """One balance transaction."""
    return core.store.need("balance_transaction", transaction_id, status=404)


def balance_transactions(core: Core, p: Json) -> Json:
    """Balance transactions, newest first."""
    return core.store.page("balance_transaction", "/v1/balance_transactions", p, by=("source", "type", "currency"))


def balance(core: Core, p: Json) -> Json:  # noqa: ARG001 - every handler takes the parameters
    """What the account holds, by currency: pending until the day it becomes available."""
    sums: dict[str, dict[str, int]] = {"available": {}, "pending": {}}
    for row in core.store.every("balance_transaction"):
        part = sums["available" if row["available_on"] <= core.now() else "pending"]
        part[row["currency"]] = part.get(row["currency"], 0) + row["net"]
    rows = {
        name: [{"amount": n, "currency": c, "source_types": {"card": n}} for c, n in part.items()]
        for name, part in sums.items()
    }
    return shape(stripe.Balance, object="balance", livemode=False, **rows)
