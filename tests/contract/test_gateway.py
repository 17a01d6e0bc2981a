"""What billing needs of a payment provider, held against the Stripe stand-in over HTTP by the real library."""

import json
import time
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
import stripe

from billing.clock import ManualClock
from billing.gateway import (
    CARD_GONE,
    CardDetails,
    ChargeRequest,
    ChargeStatus,
    GatewayBusy,
    GatewayDenied,
    GatewayRefused,
    OutcomeUnknown,
    PageRequest,
    PageStatus,
)
from billing.models import CheckoutPurpose, EventKind
from billing.money import Currency
from billing.stripe_gateway import StripeGateway
from tests.billing.shop import (
    ASKS_ALWAYS,
    DECLINES,
    LOST,
    VISA,
    WEBHOOK_SECRET,
    Shop,
    impatient,
    open_shop,
    spoil_charges,
)

RETURN_URL = "https://shop.example/checkout/done"


@pytest.fixture
async def shop(clock: ManualClock) -> AsyncIterator[Shop]:
    async with open_shop(clock) as opened:
        yield opened


@pytest.fixture
async def payer(shop: Shop) -> str:
    return await shop.gateway.create_customer(key="customer-1", customer_id=1, name="Ann", email=None)


def page_request(payer: str, **changes: object) -> PageRequest:
    request = PageRequest(
        key="page-1",
        checkout_id=1,
        customer_provider_id=payer,
        purpose=CheckoutPurpose.CARD,
        amount=0,
        payment_id=None,
        title="",
        success_url=f"{RETURN_URL}?session_id={{CHECKOUT_SESSION_ID}}",
        cancel_url="https://shop.example/checkout/cancelled",
    )
    return replace(request, **changes)  # type: ignore[arg-type]  # the names are checked when it runs


async def saved_card(shop: Shop, payer: str, number: str = VISA) -> CardDetails:
    page = await shop.gateway.open_page(page_request(payer, key=f"page-{number}"))
    shop.stripe.control.pay(page.provider_id, number, approve=True)
    done = await shop.gateway.get_page(page.provider_id)
    assert done is not None
    card = await shop.gateway.get_card(done.card_provider_id)
    assert card is not None
    return card


def charge_request(payer: str, card: CardDetails, **changes: object) -> ChargeRequest:
    request = ChargeRequest(
        key="charge-1",
        payment_id=17,
        customer_provider_id=payer,
        card_provider_id=card.provider_id,
        amount=500,
        title="INV-2026-000001",
        return_url=RETURN_URL,
    )
    return replace(request, **changes)  # type: ignore[arg-type]  # the names are checked when it runs


# --- customers and cards


async def test_a_customer_is_made_once_for_a_key(shop: Shop, payer: str) -> None:
    assert await shop.gateway.create_customer(key="customer-1", customer_id=1, name="Ann", email=None) == payer


async def test_a_name_changed_between_two_tries_is_no_dead_end(shop: Shop, payer: str) -> None:
    assert await shop.gateway.create_customer(key="customer-1", customer_id=1, name="Bea", email=None) != payer


async def test_a_card_is_added_on_a_page(shop: Shop, payer: str) -> None:
    page = await shop.gateway.open_page(page_request(payer))
    assert (page.status, page.url.startswith(shop.stripe.base_url)) == (PageStatus.OPEN, True)
    where = shop.stripe.control.pay(page.provider_id)
    assert where == f"{RETURN_URL}?session_id={page.provider_id}"
    done = await shop.gateway.get_page(page.provider_id)
    assert done is not None
    assert done.status is PageStatus.COMPLETE
    card = await shop.gateway.get_card(done.card_provider_id)
    assert card is not None
    assert (card.brand, card.last4, card.expiry_month, card.expiry_year) == ("visa", "4242", 12, 2034)
    assert card.customer_provider_id == payer


async def test_the_same_number_has_the_same_fingerprint(shop: Shop, payer: str) -> None:
    other = await shop.gateway.create_customer(key="customer-2", customer_id=2, name="", email="b@example.com")
    page = await shop.gateway.open_page(page_request(other, key="page-other"))
    shop.stripe.control.pay(page.provider_id)
    done = await shop.gateway.get_page(page.provider_id)
    assert done is not None
    theirs = await shop.gateway.get_card(done.card_provider_id)
    assert theirs is not None
    assert theirs.fingerprint == (await saved_card(shop, payer)).fingerprint


async def test_a_page_is_closed_and_closing_it_twice_tells_the_same(shop: Shop, payer: str) -> None:
    page = await shop.gateway.open_page(page_request(payer))
    for _ in range(2):
        assert (await shop.gateway.expire_page(page.provider_id)).status is PageStatus.EXPIRED


async def test_a_page_that_is_done_cannot_be_closed_and_says_so(shop: Shop, payer: str) -> None:
    page = await shop.gateway.open_page(page_request(payer))
    shop.stripe.control.pay(page.provider_id)
    assert (await shop.gateway.expire_page(page.provider_id)).status is PageStatus.COMPLETE


async def test_the_same_key_opens_the_same_page(shop: Shop, payer: str) -> None:
    request = page_request(payer)
    assert (await shop.gateway.open_page(request)).provider_id == (await shop.gateway.open_page(request)).provider_id


async def test_a_page_takes_money_for_our_payment(shop: Shop, payer: str) -> None:
    request = page_request(payer, purpose=CheckoutPurpose.TOPUP, amount=700, payment_id=9, title="Balance")
    page = await shop.gateway.open_page(request)
    shop.stripe.control.pay(page.provider_id)
    done = await shop.gateway.get_page(page.provider_id)
    assert done is not None
    assert done.charge is not None
    assert (done.charge.status, done.charge.amount, done.charge.payment_id) == (ChargeStatus.SUCCEEDED, 700, 9)


async def test_what_is_not_known_is_none(shop: Shop) -> None:
    assert await shop.gateway.get_page("cs_nothing") is None
    assert await shop.gateway.get_card("pm_nothing") is None
    assert await shop.gateway.get_charge("pi_nothing") is None


async def test_detaching_twice_or_what_is_missing_is_success(shop: Shop, payer: str) -> None:
    card = await saved_card(shop, payer)
    for _ in range(2):
        await shop.gateway.detach_card(card.provider_id)
    await shop.gateway.detach_card("pm_nothing")
    detached = await shop.gateway.get_card(card.provider_id)
    assert detached is None or detached.customer_provider_id == ""


# --- charges


async def test_a_saved_card_is_charged_once_for_a_key(shop: Shop, payer: str) -> None:
    request = charge_request(payer, await saved_card(shop, payer))
    first, second = await shop.gateway.charge(request), await shop.gateway.charge(request)
    assert first == second
    assert (first.status, first.amount, first.payment_id) == (ChargeStatus.SUCCEEDED, 500, 17)
    assert first.customer_provider_id == payer
    assert len(shop.stripe.control.charges()) == 1


async def test_a_decline_is_a_result(shop: Shop, payer: str) -> None:
    request = charge_request(payer, await saved_card(shop, payer, DECLINES))
    for _ in range(2):
        charge = await shop.gateway.charge(request)
        assert (charge.status, charge.decline_code, charge.hard) == (ChargeStatus.DECLINED, "generic_decline", False)
        assert charge.provider_id
        assert charge.payment_id == 17


async def test_a_lost_card_is_a_hard_decline(shop: Shop, payer: str) -> None:
    card = await saved_card(shop, payer)
    shop.stripe.control.renew(card.provider_id, exp_month=1, exp_year=2035, number=LOST)
    charge = await shop.gateway.charge(charge_request(payer, card))
    assert (charge.status, charge.decline_code, charge.hard) == (ChargeStatus.DECLINED, "lost_card", True)


async def test_a_detached_card_is_gone_and_nothing_was_made(shop: Shop, payer: str) -> None:
    card = await saved_card(shop, payer)
    shop.stripe.control.detach(card.provider_id)
    charge = await shop.gateway.charge(charge_request(payer, card))
    assert (charge.status, charge.decline_code, charge.hard) == (ChargeStatus.DECLINED, CARD_GONE, True)
    assert charge.provider_id == ""


@pytest.mark.parametrize("approve", [True, False])
async def test_a_bank_that_wants_its_owner_gets_a_link_on_the_same_charge(
    shop: Shop, payer: str, *, approve: bool
) -> None:
    """C8: off session refused, confirmed on session, one PaymentIntent; asked again it tells how it is now."""
    request = charge_request(payer, await saved_card(shop, payer, ASKS_ALWAYS))
    charge = await shop.gateway.charge(request)
    assert charge.status is ChargeStatus.ACTION
    assert charge.action_url.startswith(shop.stripe.base_url)
    assert await shop.gateway.charge(request) == charge
    where = shop.stripe.control.answer_bank(charge.provider_id, approve=approve)
    assert where is not None
    assert where.startswith(RETURN_URL)
    after = await shop.gateway.charge(request)
    assert after.status is (ChargeStatus.SUCCEEDED if approve else ChargeStatus.DECLINED)
    assert after.provider_id == charge.provider_id
    assert await shop.gateway.get_charge(charge.provider_id) == after


async def test_a_waiting_charge_is_cancelled_and_a_done_one_says_so(shop: Shop, payer: str) -> None:
    card = await saved_card(shop, payer, ASKS_ALWAYS)
    waiting = await shop.gateway.charge(charge_request(payer, card))
    for _ in range(2):
        assert (await shop.gateway.cancel_charge(waiting.provider_id)).status is ChargeStatus.CANCELLED
    waiting = await shop.gateway.charge(charge_request(payer, card, key="charge-2"))
    shop.stripe.control.answer_bank(waiting.provider_id, approve=True)
    assert (await shop.gateway.cancel_charge(waiting.provider_id)).status is ChargeStatus.SUCCEEDED


async def test_a_charge_is_found_by_our_id_among_many(shop: Shop, payer: str) -> None:
    """More than one page of the list."""
    card = await saved_card(shop, payer)
    for number in range(101):
        await shop.gateway.charge(charge_request(payer, card, key=f"charge-{number}", payment_id=number))
    first = await shop.gateway.find_charge(payer, 0)
    assert first is not None
    assert first.payment_id == 0
    assert await shop.gateway.find_charge(payer, 999) is None


async def test_a_charge_below_the_minimum_is_refused(shop: Shop, payer: str) -> None:
    card = await saved_card(shop, payer)
    with pytest.raises(GatewayRefused):
        await shop.gateway.charge(charge_request(payer, card, amount=shop.gateway.minimum - 1))
    assert (await shop.gateway.charge(charge_request(payer, card, key="k", amount=shop.gateway.minimum))).amount == 50


async def test_a_key_used_with_other_words_is_unknown_and_not_refused(shop: Shop, payer: str) -> None:
    """A setting that changed between two tries must not make us believe that nothing happened."""
    request = charge_request(payer, await saved_card(shop, payer))
    await shop.gateway.charge(request)
    with pytest.raises(OutcomeUnknown):
        await shop.gateway.charge(replace(request, return_url="https://moved.example/done"))


# --- what goes wrong


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        ("hang_before", OutcomeUnknown),
        ("hang_after", OutcomeUnknown),
        ("drop_before", OutcomeUnknown),
        ("drop_after", OutcomeUnknown),
        ("error_before", OutcomeUnknown),
        ("error_after", OutcomeUnknown),
        ("garbage_before", OutcomeUnknown),
        ("garbage_after", OutcomeUnknown),
        ("conflict", OutcomeUnknown),
        ("rate_limit", GatewayBusy),
        ("lock_timeout", GatewayBusy),
    ],
)
async def test_every_failure_has_its_name_and_the_same_key_charges_once(
    shop: Shop, payer: str, fault: str, error: type[Exception]
) -> None:
    request = charge_request(payer, await saved_card(shop, payer))
    spoil_charges(shop.stripe, fault)
    with impatient(shop.gateway, fault), pytest.raises(error):
        await shop.gateway.charge(request)
    if fault == "error_after":  # kept for the key for ever; looking for it finds it
        found = await shop.gateway.find_charge(payer, 17)
    else:
        found = await shop.gateway.charge(request)
    assert found is not None
    assert found.status is ChargeStatus.SUCCEEDED
    assert len(shop.stripe.control.charges()) == 1


@pytest.mark.parametrize("fault", ["drop_before", "drop_after", "hang_after", "garbage_after", "error_before"])
async def test_an_answer_lost_while_the_owner_is_asked(shop: Shop, payer: str, fault: str) -> None:
    request = charge_request(payer, await saved_card(shop, payer, ASKS_ALWAYS))
    shop.stripe.control.fault(fault, method="POST", path="/v1/payment_intents/*/confirm")
    with impatient(shop.gateway, fault), pytest.raises(OutcomeUnknown):
        await shop.gateway.charge(request)
    charge = await shop.gateway.charge(request)
    assert charge.status is ChargeStatus.ACTION


async def test_nobody_listens() -> None:
    gateway = StripeGateway(api_key="sk_test_x", currency=Currency.of("usd"), api_url="http://127.0.0.1:9")
    with pytest.raises(OutcomeUnknown):
        await gateway.get_charge("pi_1")
    await gateway.close()


async def test_a_bad_key_is_denied_and_not_repeated_in_the_error(shop: Shop) -> None:
    gateway = StripeGateway(api_key="sk_test_secret", currency=Currency.of("usd"), api_url=shop.stripe.base_url)
    with pytest.raises(GatewayDenied) as denied:
        await gateway.check()
    assert "secret" not in str(denied.value)
    await gateway.close()


async def test_doctor_hears_that_it_works(shop: Shop) -> None:
    assert await shop.gateway.check() == "Stripe answers, test mode, API 2026-10-28.endive, webhook secret set"


# --- events


def signed(body: bytes, *, secret: str = WEBHOOK_SECRET, at: float | None = None) -> str:
    header: str = stripe.WebhookSignature.generate_signature_header(body.decode(), secret, int(at or time.time()))
    return header


def event(**changes: object) -> bytes:
    thing = {"id": "cs_1", "object": "checkout.session"}
    body = {"id": "evt_1", "object": "event", "type": "checkout.session.completed", "data": {"object": thing}}
    return json.dumps(body | changes).encode()


def test_a_signed_event_is_read(shop: Shop) -> None:
    body = event()
    read = shop.gateway.parse_event(body, signed(body))
    assert (read.event_id, read.kind, read.object_id) == ("evt_1", EventKind.PAGE, "cs_1")
    assert read.payload == json.loads(body)


@pytest.mark.parametrize(
    "signature",
    [
        "",
        "nonsense",
        "t=1,v1=00",
        signed(event(), secret="whsec_other"),
        signed(event(), at=time.time() - 600),
        signed(event(id="evt_2")),
    ],
    ids=["none", "nonsense", "made up", "another secret", "stale", "another body"],
)
def test_a_bad_or_stale_signature_is_refused(shop: Shop, signature: str) -> None:
    with pytest.raises(GatewayRefused):
        shop.gateway.parse_event(event(), signature)


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b"\xff", b'{"id": "evt_1", "type": "x", "data": 1}', b"nonsense"])
def test_a_body_that_is_no_event_is_refused(shop: Shop, body: bytes) -> None:
    signature = signed(body) if body != b"\xff" else "t=1,v1=00"
    with pytest.raises(GatewayRefused):
        shop.gateway.parse_event(body, signature)


def test_without_a_secret_every_event_is_refused(shop: Shop) -> None:
    gateway = StripeGateway(api_key="sk_test_x", currency=Currency.of("usd"), api_url=shop.stripe.base_url)
    with pytest.raises(GatewayRefused):
        gateway.parse_event(event(), signed(event(), secret=""))


# --- currencies


@pytest.mark.parametrize(
    ("code", "amount", "wire"),
    [("jpy", 500, 500), ("isk", 500, 50_000), ("ugx", 5000, 500_000), ("mga", 500_000, 5000), ("kwd", 5120, 5120)],
)
async def test_special_currencies_are_charged_as_they_are_meant(
    clock: ManualClock, code: str, amount: int, wire: int
) -> None:
    """Rule 1.1, on the wire."""
    async with open_shop(clock, currency=code) as shop:
        payer = await shop.gateway.create_customer(key="customer-1", customer_id=1, name="", email=None)
        card = await saved_card(shop, payer)
        charge = await shop.gateway.charge(charge_request(payer, card, amount=amount))
        assert charge.amount == amount
        (taken,) = shop.stripe.control.charges()
        assert (taken["amount"], taken["currency"]) == (wire, code)
