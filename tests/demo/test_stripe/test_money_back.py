"""Refunds, disputes, and what the balance says of both."""

import pytest
import stripe

from tests.demo.test_stripe.conftest import Shop


async def charge(shop: Shop, customer: str, method: str) -> stripe.PaymentIntent:
    """Five dollars from a saved card while its owner is away."""
    return await shop.api.payment_intents.create_async(
        {
            "amount": 500,
            "currency": "usd",
            "customer": customer,
            "payment_method": method,
            "confirm": True,
            "off_session": True,
        }
    )


async def test_a_refund_gives_back_no_more_than_was_paid(shop: Shop) -> None:
    ada = await shop.customer()
    card = await shop.card(ada.id)
    paid = await charge(shop, ada.id, card.id)
    part = await shop.api.refunds.create_async(
        {"payment_intent": paid.id, "amount": 200, "metadata": {"note": "7"}}, {"idempotency_key": "refund-1"}
    )
    again = await shop.api.refunds.create_async(
        {"payment_intent": paid.id, "amount": 200, "metadata": {"note": "7"}}, {"idempotency_key": "refund-1"}
    )
    assert part.id == again.id
    assert (part.status, part.amount, part.charge) == ("succeeded", 200, paid.latest_charge)
    with pytest.raises(stripe.InvalidRequestError, match=r"Refund amount \(\$4.00\) is greater than unrefunded"):
        await shop.api.refunds.create_async({"payment_intent": paid.id, "amount": 400})
    rest = await shop.api.refunds.create_async({"payment_intent": paid.id})
    assert rest.amount == 300
    with pytest.raises(stripe.InvalidRequestError) as empty:
        await shop.api.refunds.create_async({"payment_intent": paid.id})
    assert (empty.value.http_status, empty.value.code) == (400, "charge_already_refunded")
    assert isinstance(paid.latest_charge, str)
    left = await shop.api.charges.retrieve_async(paid.latest_charge)
    assert (left.amount_refunded, left.refunded) == (500, True)
    listed = await shop.api.refunds.list_async({"payment_intent": paid.id})
    assert [row.id for row in listed.data] == [rest.id, part.id]
    assert shop.event_types()[-3:] == ["refund.created", "charge.refunded", "refund.updated"]


async def test_a_refund_that_the_card_refuses_fails_later_and_the_charge_counts_again(shop: Shop) -> None:
    ada = await shop.customer()
    card = await shop.card(ada.id, "pm_card_refundFail")
    paid = await charge(shop, ada.id, card.id)
    made = await shop.api.refunds.create_async({"payment_intent": paid.id})
    assert made.status == "succeeded"
    shop.clock.at += 120
    failed = await shop.api.refunds.retrieve_async(made.id)
    assert (failed.status, failed.failure_reason) == ("failed", "expired_or_canceled_card")
    assert isinstance(paid.latest_charge, str)
    assert (await shop.api.charges.retrieve_async(paid.latest_charge)).amount_refunded == 0
    assert shop.event_types()[-1] == "refund.failed"


async def test_a_payment_that_failed_has_nothing_to_refund(shop: Shop) -> None:
    made = await shop.api.payment_intents.create_async({"amount": 500, "currency": "usd"})
    with pytest.raises(stripe.InvalidRequestError, match="does not have a successful charge"):
        await shop.api.refunds.create_async({"payment_intent": made.id})
    with pytest.raises(stripe.InvalidRequestError) as none:
        await shop.api.refunds.create_async({})
    assert none.value.code == "parameter_missing"


@pytest.mark.parametrize("won", [True, False])
async def test_a_dispute_takes_the_money_and_gives_it_back_if_won(shop: Shop, won: bool) -> None:
    ada = await shop.customer()
    card = await shop.card(ada.id)
    paid = await charge(shop, ada.id, card.id)
    dispute = shop.stand_in.control.dispute(paid.id)
    assert (dispute["amount"], dispute["status"]) == (500, "needs_response")
    with pytest.raises(stripe.InvalidRequestError) as refused:
        await shop.api.refunds.create_async({"payment_intent": paid.id})
    assert refused.value.code == "charge_disputed"
    shop.stand_in.control.settle_dispute(dispute["id"], won=won)
    closed = await shop.api.disputes.retrieve_async(dispute["id"])
    assert closed.status == ("won" if won else "lost")
    assert sum(row.amount for row in closed.balance_transactions) == (0 if won else -500)
    kinds = [kind for kind in shop.event_types() if kind.startswith("charge.dispute")]
    expected = ["created", "funds_withdrawn", "updated", "closed", *(["funds_reinstated"] if won else [])]
    assert kinds == [f"charge.dispute.{kind}" for kind in expected]


async def test_the_dispute_card_is_disputed_at_once_and_can_be_answered_or_given_up(shop: Shop) -> None:
    ada = await shop.customer()
    card = await shop.card(ada.id, "pm_card_createDispute")
    paid = await charge(shop, ada.id, card.id)
    found = (await shop.api.disputes.list_async({"payment_intent": paid.id})).data
    assert len(found) == 1
    answered = await shop.api.disputes.update_async(found[0].id, {"evidence": {"uncategorized_text": "logs"}})
    assert (answered.status, answered.evidence.uncategorized_text) == ("under_review", "logs")
    assert (await shop.api.disputes.close_async(found[0].id)).status == "lost"


async def test_an_inquiry_takes_no_money(shop: Shop) -> None:
    ada = await shop.customer()
    card = await shop.card(ada.id, "pm_card_createDisputeInquiry")
    paid = await charge(shop, ada.id, card.id)
    found = (await shop.api.disputes.list_async({"payment_intent": paid.id})).data[0]
    assert (found.status, found.balance_transactions) == ("warning_needs_response", [])
    await shop.api.refunds.create_async({"payment_intent": paid.id})


async def test_the_balance_is_what_came_in_less_fees_and_what_went_out(shop: Shop) -> None:
    ada = await shop.customer()
    card = await shop.card(ada.id)
    paid = await charge(shop, ada.id, card.id)
    await shop.api.refunds.create_async({"payment_intent": paid.id, "amount": 100})
    held = await shop.api.balance.retrieve_async()
    assert [row.amount for row in held.pending] == [500 - 44 - 100]
    shop.clock.at += 3 * 86_400
    later = await shop.api.balance.retrieve_async()
    assert ([row.amount for row in later.available], later.pending) == ([356], [])
