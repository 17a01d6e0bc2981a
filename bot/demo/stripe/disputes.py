"""Disputes: money that a bank takes back until it is settled whose it is."""

import stripe

from bot.demo.stripe import charges
from bot.demo.stripe.core import Core, new_id
from bot.demo.stripe.errors import Json, invalid, only
from bot.demo.stripe.params import merge_metadata
from bot.demo.stripe.shapes import fields, shape

_FEE = 1500
_WEEK = 7 * 86400
_OPEN = ("needs_response", "under_review", "warning_needs_response", "warning_under_review")


def open_for(
    core: Core, charge: Json, reason: str = "fraudulent", *, amount: int | None = None, inquiry: bool = False
) -> Json:
    """A dispute of a charge; an inquiry takes no money yet.

    Raises:
        ApiError: 400 if the charge did not succeed or is disputed already.
    """
    if not charge["paid"] or charge["disputed"]:
        raise invalid(f"Charge {charge['id']} cannot be disputed.", param="charge")
    dispute = shape(
        stripe.Dispute,
        id=new_id("du_1"),
        object="dispute",
        amount=amount if amount is not None else charge["amount"] - charge["amount_refunded"],
        balance_transactions=[],
        charge=charge["id"],
        created=core.now(),
        currency=charge["currency"],
        enhanced_eligibility_types=[],
        evidence={"enhanced_evidence": {}},
        evidence_details={
            "due_by": core.now() + _WEEK,
            "enhanced_eligibility": {},
            "has_evidence": False,
            "past_due": False,
            "submission_count": 0,
            "submission_method": "not_submitted",
        },
        is_charge_refundable=inquiry,
        livemode=False,
        metadata={},
        network_reason_code="10",
        payment_intent=charge["payment_intent"],
        payment_method_details={
            "card": {
                "brand": charge["payment_method_details"]["card"]["brand"],
                "case_type": "inquiry" if inquiry else "chargeback",
                "network": charge["payment_method_details"]["card"]["network"],
                "network_reason_code": "10",
            },
            "type": "card",
        },
        reason=reason,
        status="warning_needs_response" if inquiry else "needs_response",
    )
    charge["disputed"] = True
    core.store.save(charge)
    if not inquiry:
        _move(core, dispute, -dispute["amount"], fee=_FEE)
    core.store.save(dispute)
    core.emit("charge.dispute.created", dispute)
    if not inquiry:
        core.emit("charge.dispute.funds_withdrawn", dispute)
    return dispute


def _move(core: Core, dispute: Json, amount: int, *, fee: int = 0) -> None:
    booked = charges.book(core, dispute, amount=amount, kind="adjustment", fee=fee)
    dispute["balance_transactions"].append(booked)


def settle(core: Core, dispute: Json, *, won: bool) -> Json:
    """Close it: won, the money comes back; lost, it is gone."""
    if dispute["status"] not in _OPEN:
        raise invalid(f"This dispute is already closed: {dispute['status']}.")
    inquiry = dispute["status"].startswith("warning")
    before = dispute["status"]
    dispute["status"] = "warning_closed" if inquiry else "won" if won else "lost"
    if inquiry:
        charge = core.store.need("charge", dispute["charge"])
        charge["disputed"] = False
        core.store.save(charge)
    elif won:
        _move(core, dispute, dispute["amount"])
    core.store.save(dispute)
    core.emit("charge.dispute.updated", dispute, {"status": before})
    core.emit("charge.dispute.closed", dispute)
    if won and not inquiry:
        core.emit("charge.dispute.funds_reinstated", dispute)
    return dispute


def retrieve(core: Core, p: Json, dispute_id: str) -> Json:  # noqa: ARG001 - every handler takes the parameters
    """The dispute."""
    return core.store.need("dispute", dispute_id, param="dispute", status=404)


def update(core: Core, p: Json, dispute_id: str) -> Json:
    """Evidence and metadata; handing it in puts the dispute under review."""
    only(p, frozenset({"evidence", "metadata", "submit"}))
    dispute = retrieve(core, p, dispute_id)
    if dispute["status"] not in _OPEN:
        raise invalid("This dispute is already closed")
    known = fields(stripe.Dispute.Evidence)
    given = p.get("evidence") or {}
    dispute["evidence"] |= {key: value for key, value in given.items() if key in known}
    dispute["metadata"] = merge_metadata(dispute["metadata"], p.get("metadata", {}))
    if given:
        dispute["evidence_details"]["has_evidence"] = True
    if p.get("submit", True) and given:
        dispute["evidence_details"]["submission_count"] += 1
        dispute["evidence_details"]["submission_method"] = "manual"
        dispute["status"] = dispute["status"].replace("needs_response", "under_review")
    core.store.save(dispute)
    core.emit("charge.dispute.updated", dispute, {})
    return dispute


def close(core: Core, p: Json, dispute_id: str) -> Json:
    """Give in: the dispute is lost."""
    return settle(core, retrieve(core, p, dispute_id), won=False)


def listing(core: Core, p: Json) -> Json:
    """Disputes, newest first, of a charge or payment intent if asked."""
    return core.store.page("dispute", "/v1/disputes", p, by=("charge", "payment_intent"))
