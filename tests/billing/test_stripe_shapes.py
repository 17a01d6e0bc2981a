"""Stripe's objects as the gateway's values, without a request."""

import pytest

from billing.gateway import ChargeStatus
from billing.models import EventKind
from billing.money import Currency
from billing.stripe_shapes import Json, card_of, charge_of, event_about, is_hard

USD = Currency.of("usd")


def intent(**fields: object) -> Json:
    return {"id": "pi_1", "status": "succeeded", "amount": 500, "customer": "cus_1", "metadata": {}} | fields


@pytest.mark.parametrize(
    ("status", "means"),
    [
        ("succeeded", ChargeStatus.SUCCEEDED),
        ("processing", ChargeStatus.PROCESSING),
        ("requires_confirmation", ChargeStatus.PROCESSING),
        ("requires_capture", ChargeStatus.PROCESSING),
        ("requires_payment_method", ChargeStatus.DECLINED),
        ("requires_action", ChargeStatus.ACTION),
        ("canceled", ChargeStatus.CANCELLED),
    ],
)
def test_every_status_of_a_payment_intent_has_a_meaning(status: str, means: ChargeStatus) -> None:
    assert charge_of(intent(status=status), USD).status is means


def test_a_status_that_nobody_knows_is_an_error_and_not_a_guess() -> None:
    with pytest.raises(KeyError):
        charge_of(intent(status="teleported"), USD)


@pytest.mark.parametrize(
    ("error", "hard"),
    [
        ({"code": "card_declined", "decline_code": "lost_card"}, True),
        ({"code": "card_declined", "decline_code": "stolen_card"}, True),
        ({"code": "expired_card"}, True),
        ({"code": "card_declined", "decline_code": "do_not_honor", "advice_code": "do_not_try_again"}, True),
        ({"code": "card_declined", "decline_code": "do_not_honor"}, False),
        ({"code": "card_declined", "decline_code": "insufficient_funds"}, False),
        ({"code": "card_declined", "decline_code": "generic_decline", "advice_code": "try_again_later"}, False),
        ({"code": "processing_error"}, False),
    ],
)
def test_hard_and_soft_declines(error: Json, *, hard: bool) -> None:
    """Rule 6.7."""
    assert is_hard(error) is hard
    assert charge_of(intent(status="requires_payment_method", last_payment_error=error), USD).hard is hard


def test_an_old_error_does_not_mark_a_charge_that_went_on() -> None:
    went_on = intent(last_payment_error={"code": "card_declined", "decline_code": "lost_card"})
    charge = charge_of(went_on, USD)
    assert (charge.decline_code, charge.hard) == ("", False)


@pytest.mark.parametrize(("value", "ours"), [("17", 17), ("", None), ("x", None), ("-1", None), ("\u0661\u0667", None)])
def test_only_a_number_is_our_id(value: str, ours: int | None) -> None:
    """Objects of somebody else on the same account may carry anything."""
    assert charge_of(intent(metadata={"payment_id": value}), USD).payment_id == ours


def test_what_is_no_card_has_no_fingerprint() -> None:
    assert card_of({"id": "pm_1", "type": "sepa_debit", "customer": "cus_1"}).fingerprint == ""


def test_a_detached_card_has_no_customer() -> None:
    card = {"brand": "visa", "last4": "4242", "exp_month": 1, "exp_year": 2030, "fingerprint": "f"}
    assert card_of({"id": "pm_1", "type": "card", "customer": None, "card": card}).customer_provider_id == ""


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("checkout.session.completed", EventKind.PAGE),
        ("checkout.session.expired", EventKind.PAGE),
        ("payment_intent.succeeded", EventKind.CHARGE),
        ("payment_intent.payment_failed", EventKind.CHARGE),
        ("payment_method.automatically_updated", EventKind.CARD),
        ("payment_method.detached", EventKind.CARD),
        ("charge.refunded", EventKind.REFUND),
        ("charge.refund.updated", EventKind.REFUND),
        ("refund.failed", EventKind.REFUND),
        ("charge.dispute.created", EventKind.DISPUTE),
        ("charge.succeeded", EventKind.OTHER),
        ("invented.tomorrow", EventKind.OTHER),
    ],
)
def test_what_an_event_is_about(name: str, kind: EventKind) -> None:
    assert event_about({"type": name, "data": {"object": {"id": "x_1"}}}) == (kind, "x_1")
