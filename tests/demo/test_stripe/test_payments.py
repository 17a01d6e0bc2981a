"""Charges, declines, authentication, refunds and disputes, through the official library."""

import pytest
import stripe

from bot.demo.stripe.cards import BY_API_NAME, BY_NUMBER, Auth, TestCard, is_luhn, judge_charge, judge_setup
from tests.demo.test_stripe.conftest import START, Shop, plain, web

BACK = "https://example.com/back"


async def charge(
    shop: Shop, customer: str, method: str, amount: int = 500, currency: str = "usd", key: str | None = None
) -> stripe.PaymentIntent:
    """A charge of a saved card while its owner is away."""
    return await shop.api.payment_intents.create_async(
        {
            "amount": amount,
            "currency": currency,
            "customer": customer,
            "payment_method": method,
            "confirm": True,
            "off_session": True,
            "metadata": {"payment": "17"},
        },
        {"idempotency_key": key} if key else None,
    )


# --- the cards


def test_every_number_passes_the_check_digit_and_has_a_fingerprint_of_its_own() -> None:
    assert all(is_luhn(number) for number in BY_NUMBER)
    assert len({card.fingerprint for card in BY_NUMBER.values()}) == len(BY_NUMBER)
    assert not is_luhn("4242424242424241")


@pytest.mark.parametrize("card", BY_NUMBER.values(), ids=lambda card: card.number)
def test_no_card_pays_unasked_what_its_bank_wants_asked(card: TestCard) -> None:
    verdict = judge_charge(card, off_session=False, set_up=False, authenticated=False)
    assert verdict.ask_owner == (card.auth is not Auth.NEVER)
    asked = judge_charge(card, off_session=False, set_up=False, authenticated=True)
    assert not asked.ask_owner
    assert asked.decline is card.decline


def test_saving_asks_where_later_charges_must_not() -> None:
    once = BY_NUMBER["4000002500003155"]
    assert judge_setup(once, off_session=False, authenticated=False).ask_owner
    assert not judge_charge(once, off_session=True, set_up=True, authenticated=False).ask_owner
    assert judge_charge(once, off_session=True, set_up=False, authenticated=False).decline is not None


# --- charges


async def test_a_charge_says_everything_the_ledger_needs(shop: Shop) -> None:
    ada = await shop.customer()
    card = await shop.card(ada.id)
    paid = await charge(shop, ada.id, card.id)
    assert (paid.status, paid.amount_received, paid.currency) == ("succeeded", 500, "usd")
    assert plain(paid.metadata) == {"payment": "17"}
    assert isinstance(paid.latest_charge, str)
    made = await shop.api.charges.retrieve_async(paid.latest_charge)
    assert (made.paid, made.amount, made.payment_intent, made.customer) == (True, 500, paid.id, ada.id)
    assert made.payment_method_details is not None
    assert made.payment_method_details.card is not None
    assert made.payment_method_details.card.last4 == "4242"
    assert [row["id"] for row in shop.stand_in.control.charges()] == [made.id]
    assert shop.event_types()[-4:] == [
        "payment_intent.created",
        "charge.succeeded",
        "charge.updated",
        "payment_intent.succeeded",
    ]


@pytest.mark.parametrize(
    ("token", "code", "reason"),
    [
        ("pm_card_chargeCustomerFail", "card_declined", "generic_decline"),
        (
            "pm_card_authenticationRequiredChargeDeclinedInsufficientFunds",
            "authentication_required",
            "authentication_required",
        ),
        ("pm_card_authenticationRequired", "authentication_required", "authentication_required"),
    ],
)
async def test_a_decline_is_402_with_the_intent_and_leaves_a_failed_charge(
    shop: Shop, token: str, code: str, reason: str
) -> None:
    ada = await shop.customer()
    card = await shop.card(ada.id, token)
    with pytest.raises(stripe.CardError) as declined:
        await charge(shop, ada.id, card.id)
    error = declined.value.error
    assert declined.value.http_status == 402
    assert error is not None
    assert (error.type, error.code, error.decline_code) == ("card_error", code, reason)
    assert error.payment_intent is not None
    assert error.payment_intent.status == "requires_payment_method"
    assert error.payment_method is not None
    assert error.payment_method.id == card.id
    intent = await shop.api.payment_intents.retrieve_async(error.payment_intent.id)
    assert intent.payment_method is None
    assert intent.last_payment_error is not None
    assert intent.last_payment_error.decline_code == reason
    assert intent.last_payment_error.payment_method is not None
    assert isinstance(intent.latest_charge, str)
    failed = await shop.api.charges.retrieve_async(intent.latest_charge)
    assert (failed.status, failed.paid, failed.failure_code, error.charge) == ("failed", False, code, failed.id)
    assert shop.stand_in.control.charges() == []
    assert shop.event_types()[-2:] == ["charge.failed", "payment_intent.payment_failed"]


@pytest.mark.parametrize(
    "token", [name for name, card in BY_API_NAME.items() if card.decline and card.decline_on_setup]
)
async def test_cards_that_decline_cannot_be_saved(shop: Shop, token: str) -> None:
    ada = await shop.customer()
    with pytest.raises(stripe.CardError) as declined:
        await shop.card(ada.id, token)
    decline = BY_API_NAME[token].decline
    assert decline is not None
    assert declined.value.code == decline.code
    listed = await shop.api.customers.payment_methods.list_async(ada.id)
    assert listed.data == []


async def test_a_card_that_ran_out_is_declined_as_expired(shop: Shop) -> None:
    ada = await shop.customer()
    card = await shop.card(ada.id)
    shop.clock.at = START + 3 * 366 * 86_400
    with pytest.raises(stripe.CardError) as declined:
        await charge(shop, ada.id, card.id)
    assert declined.value.code == "expired_card"


@pytest.mark.parametrize(
    ("amount", "currency", "code"),
    [
        (49, "usd", "amount_too_small"),
        (29, "gbp", "amount_too_small"),
        (49, "jpy", "amount_too_small"),
        (100_000_000, "usd", "amount_too_large"),
        (0, "usd", "parameter_invalid_integer"),
        (1050, "isk", "invalid_charge_amount_no_decimal_compatible"),
        (10_005, "kwd", "invalid_charge_amount"),
    ],
)
async def test_amounts_that_cannot_be_charged(shop: Shop, amount: int, currency: str, code: str) -> None:
    ada = await shop.customer()
    card = await shop.card(ada.id)
    with pytest.raises(stripe.InvalidRequestError) as refused:
        await charge(shop, ada.id, card.id, amount, currency)
    assert (refused.value.http_status, refused.value.code) == (400, code)


@pytest.mark.parametrize(
    ("amount", "currency"), [(50, "usd"), (30, "gbp"), (50, "jpy"), (1000, "isk"), (10_000, "kwd")]
)
async def test_the_least_amounts_pass(shop: Shop, amount: int, currency: str) -> None:
    ada = await shop.customer()
    card = await shop.card(ada.id)
    assert (await charge(shop, ada.id, card.id, amount, currency)).amount_received == amount


async def test_a_card_is_charged_for_its_own_customer_only(shop: Shop) -> None:
    ada, bob = await shop.customer(), await shop.customer()
    card = await shop.card(ada.id)
    with pytest.raises(stripe.InvalidRequestError, match="does not belong to the Customer"):
        await charge(shop, bob.id, card.id)
    with pytest.raises(stripe.InvalidRequestError, match="already been attached"):
        await shop.card(bob.id, card.id)
    await shop.api.payment_methods.detach_async(card.id)
    with pytest.raises(stripe.InvalidRequestError, match="may not be used again"):
        await charge(shop, ada.id, card.id)
    with pytest.raises(stripe.InvalidRequestError, match="may not be used again"):
        await shop.card(ada.id, card.id)
    with pytest.raises(stripe.InvalidRequestError, match="not attached"):
        await shop.api.payment_methods.detach_async(card.id)


async def test_one_number_has_one_fingerprint_for_everybody(shop: Shop) -> None:
    ada, bob = await shop.customer(), await shop.customer()
    cards = [await shop.card(ada.id), await shop.card(bob.id), await shop.card(bob.id, "pm_card_mastercard")]
    prints = [card.card.fingerprint for card in cards if card.card is not None]
    assert prints[0] == prints[1] != prints[2]


async def test_off_session_needs_confirm_and_on_session_needs_a_way_back(shop: Shop) -> None:
    with pytest.raises(stripe.InvalidRequestError, match="off_session"):
        await shop.api.payment_intents.create_async({"amount": 500, "currency": "usd", "off_session": True})
    with pytest.raises(stripe.InvalidRequestError, match="return_url"):
        await shop.api.payment_intents.create_async(
            {"amount": 500, "currency": "usd", "payment_method": "pm_card_visa", "confirm": True}
        )
    with pytest.raises(stripe.InvalidRequestError, match="missing a payment method"):
        await shop.api.payment_intents.create_async({"amount": 500, "currency": "usd", "confirm": True})
    assert "payment_intent.created" not in shop.event_types()


async def test_an_intent_lives_through_create_update_confirm_and_cannot_be_cancelled_after(shop: Shop) -> None:
    made = await shop.api.payment_intents.create_async({"amount": 500, "currency": "usd"})
    assert made.status == "requires_payment_method"
    changed = await shop.api.payment_intents.update_async(made.id, {"amount": 700, "metadata": {"a": "b"}})
    assert changed.amount == 700
    done = await shop.api.payment_intents.confirm_async(made.id, {"payment_method": "pm_card_visa", "return_url": BACK})
    assert (done.status, done.amount_received) == ("succeeded", 700)
    with pytest.raises(stripe.InvalidRequestError) as again:
        await shop.api.payment_intents.confirm_async(made.id, {"return_url": BACK})
    assert again.value.code == "payment_intent_unexpected_state"
    with pytest.raises(stripe.InvalidRequestError) as late:
        await shop.api.payment_intents.cancel_async(made.id)
    assert late.value.code == "payment_intent_unexpected_state"
    assert late.value.error is not None
    assert late.value.error.payment_intent is not None
    assert late.value.error.payment_intent.status == "succeeded"


async def test_a_cancelled_intent_cannot_be_charged(shop: Shop) -> None:
    made = await shop.api.payment_intents.create_async({"amount": 500, "currency": "usd"})
    gone = await shop.api.payment_intents.cancel_async(made.id, {"cancellation_reason": "abandoned"})
    assert (gone.status, gone.cancellation_reason, gone.canceled_at) == ("canceled", "abandoned", START)
    with pytest.raises(stripe.InvalidRequestError, match="canceled"):
        await shop.api.payment_intents.confirm_async(made.id, {"payment_method": "pm_card_visa", "return_url": BACK})
    assert shop.event_types() == ["payment_intent.created", "payment_intent.canceled"]


async def test_intents_are_found_again_by_customer(shop: Shop) -> None:
    ada, bob = await shop.customer(), await shop.customer()
    card = await shop.card(ada.id)
    first, second = await charge(shop, ada.id, card.id), await charge(shop, ada.id, card.id)
    found = await shop.api.payment_intents.list_async({"customer": ada.id})
    assert [row.id for row in found.data] == [second.id, first.id]
    assert (await shop.api.payment_intents.list_async({"customer": bob.id})).data == []


# --- the bank asks


async def waiting(shop: Shop) -> stripe.PaymentIntent:
    """A payment that waits for its owner on the bank's page."""
    ada = await shop.customer()
    card = await shop.card(ada.id, "pm_card_authenticationRequired")
    with pytest.raises(stripe.CardError) as declined:
        await charge(shop, ada.id, card.id)
    assert declined.value.error is not None
    assert declined.value.error.payment_intent is not None
    intent = await shop.api.payment_intents.confirm_async(
        declined.value.error.payment_intent.id, {"payment_method": card.id, "return_url": f"{BACK}?a=b"}
    )
    assert intent.status == "requires_action"
    assert intent.next_action is not None
    assert intent.next_action.type == "redirect_to_url"
    return intent


@pytest.mark.parametrize(("approve", "status"), [(True, "succeeded"), (False, "requires_payment_method")])
async def test_the_owner_answers_on_the_banks_page_and_is_sent_back(shop: Shop, approve: bool, status: str) -> None:
    intent = await waiting(shop)
    assert intent.next_action is not None
    assert intent.next_action.redirect_to_url is not None
    url = intent.next_action.redirect_to_url.url
    assert url is not None
    async with web() as http:
        page = await http.get(url)
        assert "$5.00" in page.text
        body = b'{"approve":true}' if approve else b'{"approve":false}'
        answer = (await http.post(url, content=body)).json()
        again = await http.post(url, content=body)
    assert answer["redirect"].startswith(f"{BACK}?a=b&payment_intent={intent.id}&payment_intent_client_secret=")
    assert answer["redirect"].endswith("redirect_status=succeeded" if approve else "redirect_status=failed")
    assert again.status_code == 400
    now = await shop.api.payment_intents.retrieve_async(intent.id)
    assert now.status == status
    assert len(shop.stand_in.control.charges()) == approve
    if not approve:
        assert now.last_payment_error is not None
        assert now.last_payment_error.code == "payment_intent_authentication_failure"


async def test_the_banks_page_needs_the_secret_of_the_intent(shop: Shop) -> None:
    intent = await waiting(shop)
    async with web() as http:
        url = f"{shop.url}/pay/authenticate/{intent.id}"
        assert (await http.get(url)).status_code == 404
        assert (await http.post(f"{url}?key=guess", content=b'{"approve":true}')).status_code == 404
    assert shop.stand_in.control.charges() == []


async def test_a_waiting_payment_can_be_cancelled_and_is_then_over(shop: Shop) -> None:
    intent = await waiting(shop)
    await shop.api.payment_intents.cancel_async(intent.id)
    with pytest.raises(Exception, match="not waiting"):
        shop.stand_in.control.answer_bank(intent.id, approve=True)
    assert shop.stand_in.control.charges() == []


async def test_error_on_requires_action_declines_instead_of_asking(shop: Shop) -> None:
    with pytest.raises(stripe.CardError) as declined:
        await shop.api.payment_intents.create_async(
            {
                "amount": 500,
                "currency": "usd",
                "payment_method": "pm_card_authenticationRequired",
                "confirm": True,
                "error_on_requires_action": True,
                "return_url": BACK,
            }
        )
    assert declined.value.code == "authentication_required"


async def test_a_card_saved_with_authentication_is_charged_without(shop: Shop) -> None:
    ada = await shop.customer()
    saved = await shop.api.setup_intents.create_async(
        {
            "customer": ada.id,
            "payment_method": "pm_card_authenticationRequiredOnSetup",
            "confirm": True,
            "return_url": BACK,
        }
    )
    assert saved.status == "requires_action"
    shop.stand_in.control.answer_bank(saved.id, approve=True)
    done = await shop.api.setup_intents.retrieve_async(saved.id, {"expand": ["payment_method"]})
    assert done.status == "succeeded"
    assert isinstance(done.payment_method, stripe.PaymentMethod)
    assert done.payment_method.customer == ada.id
    assert (await charge(shop, ada.id, done.payment_method.id)).status == "succeeded"
    assert "setup_intent.requires_action" in shop.event_types()


async def test_a_setup_can_fail_be_tried_again_and_be_cancelled(shop: Shop) -> None:
    ada = await shop.customer()
    made = await shop.api.setup_intents.create_async({"customer": ada.id})
    with pytest.raises(stripe.CardError):
        await shop.api.setup_intents.confirm_async(
            made.id, {"payment_method": "pm_card_visa_chargeDeclined", "return_url": BACK}
        )
    failed = await shop.api.setup_intents.retrieve_async(made.id)
    assert failed.last_setup_error is not None
    assert failed.last_setup_error.code == "card_declined"
    gone = await shop.api.setup_intents.cancel_async(made.id)
    assert gone.status == "canceled"
    assert shop.event_types()[-3:] == [
        "setup_intent.created",
        "setup_intent.setup_failed",
        "setup_intent.canceled",
    ]


# --- cards change outside


async def test_a_network_renews_a_card_and_a_hand_removes_one(shop: Shop) -> None:
    ada = await shop.customer()
    card = await shop.card(ada.id)
    shop.stand_in.control.renew(card.id, exp_month=7, exp_year=2040)
    events = (await shop.api.events.list_async({"type": "payment_method.automatically_updated"})).data
    assert set(plain(events[0].data.previous_attributes)["card"]) == {"exp_month", "exp_year"}
    renewed = await shop.api.payment_methods.retrieve_async(card.id)
    assert renewed.card is not None
    assert (renewed.card.exp_month, renewed.card.exp_year) == (7, 2040)
    shop.stand_in.control.detach(card.id)
    detached = (await shop.api.events.list_async({"type": "payment_method.detached"})).data[0]
    assert plain(detached.data.previous_attributes) == {"customer": ada.id}


async def test_a_card_is_updated_by_its_owner(shop: Shop) -> None:
    ada = await shop.customer()
    card = await shop.card(ada.id)
    changed = await shop.api.payment_methods.update_async(card.id, {"card": {"exp_month": 1, "exp_year": 2041}})
    assert changed.card is not None
    assert (changed.card.exp_month, changed.card.exp_year) == (1, 2041)
    with pytest.raises(stripe.CardError):
        await shop.api.payment_methods.update_async(card.id, {"card": {"exp_month": 13}})
    one = await shop.api.customers.payment_methods.retrieve_async(ada.id, card.id)
    assert one.id == card.id


async def test_the_default_card_of_a_customer_is_theirs_and_goes_with_the_card(shop: Shop) -> None:
    ada, bob = await shop.customer(), await shop.customer()
    card = await shop.card(ada.id)
    with pytest.raises(stripe.InvalidRequestError):
        await shop.api.customers.update_async(bob.id, {"invoice_settings": {"default_payment_method": card.id}})
    kept = await shop.api.customers.update_async(ada.id, {"invoice_settings": {"default_payment_method": card.id}})
    assert kept.invoice_settings is not None
    assert kept.invoice_settings.default_payment_method == card.id
    await shop.api.payment_methods.detach_async(card.id)
    after = await shop.api.customers.retrieve_async(ada.id)
    assert after.invoice_settings is not None
    assert after.invoice_settings.default_payment_method is None
