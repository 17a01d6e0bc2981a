"""Idempotency keys and everything that can go wrong between a request and its answer."""

import asyncio
from typing import Any

import pytest
import stripe

from bot.demo.stripe.server import TEST_KEY
from tests.demo.test_stripe.conftest import Shop, Shops, web

INTENTS = "/v1/payment_intents"


async def ready(shop: Shop, method: str = "pm_card_visa") -> dict[str, Any]:
    """The parameters of an off-session charge of a saved card."""
    ada = await shop.customer()
    card = await shop.card(ada.id, method)
    return {
        "amount": 500,
        "currency": "usd",
        "customer": ada.id,
        "payment_method": card.id,
        "confirm": True,
        "off_session": True,
    }


async def charge(shop: Shop, params: dict[str, Any], key: str = "k1", **options: Any) -> stripe.PaymentIntent:
    return await shop.api.payment_intents.create_async(params, {"idempotency_key": key, **options})  # type: ignore[arg-type]


def taken(shop: Shop) -> int:
    """How much money was really taken."""
    return sum(int(row["amount"]) for row in shop.stand_in.control.charges())


# --- the published rules


async def test_the_same_request_gets_the_same_answer_and_takes_money_once(shop: Shop) -> None:
    params = await ready(shop)
    first, second = await charge(shop, params), await charge(shop, params)
    assert first.id == second.id
    assert taken(shop) == 500
    assert first.last_response is not None
    assert second.last_response is not None
    assert "idempotent-replayed" not in first.last_response.headers
    assert second.last_response.headers["idempotent-replayed"] == "true"
    assert second.last_response.headers["original-request"] == first.last_response.headers["request-id"]
    assert [row["replayed"] for row in shop.stand_in.control.requests() if row["idempotency_key"] == "k1"] == [
        False,
        True,
    ]


async def test_a_replay_answers_as_it_was_not_as_it_is(shop: Shop) -> None:
    made = await charge(shop, {"amount": 500, "currency": "usd"})
    await shop.api.payment_intents.cancel_async(made.id)
    assert (await charge(shop, {"amount": 500, "currency": "usd"})).status == "requires_payment_method"


async def test_a_decline_is_replayed_too(shop: Shop) -> None:
    params = await ready(shop, "pm_card_chargeCustomerFail")
    ids = []
    for _ in range(2):
        with pytest.raises(stripe.CardError) as declined:
            await charge(shop, params)
        assert declined.value.error is not None
        assert declined.value.error.payment_intent is not None
        ids.append(declined.value.error.payment_intent.id)
    assert ids[0] == ids[1]
    assert shop.event_types().count("charge.failed") == 1


async def test_a_key_is_for_one_request_only(shop: Shop) -> None:
    params = await ready(shop)
    await charge(shop, params)
    with pytest.raises(stripe.IdempotencyError, match="same parameters"):
        await charge(shop, {**params, "amount": 600})
    with pytest.raises(stripe.IdempotencyError, match="same endpoint"):
        await shop.api.customers.create_async({"email": "a@example.com"}, {"idempotency_key": "k1"})
    assert taken(shop) == 500


async def test_what_never_began_is_not_kept(shop: Shop) -> None:
    params = await ready(shop)
    with pytest.raises(stripe.InvalidRequestError):
        await charge(shop, {**params, "nonsense": "1"})
    assert (await charge(shop, params)).status == "succeeded"


async def test_a_key_is_forgotten_after_a_day(shop: Shop) -> None:
    params = await ready(shop)
    first = await charge(shop, params)
    shop.clock.at += 23 * 3600
    assert (await charge(shop, params)).id == first.id
    shop.clock.at += 3601
    assert (await charge(shop, params)).id != first.id
    assert taken(shop) == 1000


async def test_two_at_once_with_one_key_are_one_charge_and_a_409(shop: Shop) -> None:
    params = await ready(shop)
    shop.stand_in.control.fault("slow", path=INTENTS, seconds=0.3)
    slow = asyncio.create_task(charge(shop, params))
    await asyncio.sleep(0.1)
    with pytest.raises(stripe.APIError) as busy:
        await charge(shop, params)
    assert busy.value.error is not None
    assert (busy.value.http_status, busy.value.error.code) == (409, "idempotency_key_in_use")
    assert (await slow).id == (await charge(shop, params)).id
    assert taken(shop) == 500


async def test_keys_count_for_writing_only(shop: Shop) -> None:
    await shop.customer()
    async with web(auth=(TEST_KEY, "")) as http:
        headers = {"Idempotency-Key": "k1"}
        for wanted in (1, 2):
            rows = (await http.get(f"{shop.url}/v1/customers", headers=headers)).json()["data"]
            assert len(rows) == wanted
            await shop.customer()
        long = await http.post(f"{shop.url}/v1/customers", headers={"Idempotency-Key": "k" * 256})
    assert long.status_code == 400


# --- faults


@pytest.mark.parametrize("fault", ["hang_after", "drop_after", "garbage_after"])
async def test_an_answer_that_is_lost_after_the_money_moved_is_found_by_the_key(shops: Shops, fault: str) -> None:
    async with shops(patience=0.5) as shop:
        params = await ready(shop)
        shop.stand_in.control.fault(fault, method="POST", path=INTENTS)
        with pytest.raises((stripe.APIConnectionError, stripe.APIError)):
            await charge(shop, params)
        assert taken(shop) == 500
        found = await charge(shop, params)
        assert found.status == "succeeded"
        assert taken(shop) == 500


@pytest.mark.parametrize("fault", ["hang_before", "drop_before", "garbage_before", "error_before", "conflict"])
async def test_a_request_that_never_acted_can_be_made_again(shops: Shops, fault: str) -> None:
    async with shops(patience=0.5) as shop:
        params = await ready(shop)
        shop.stand_in.control.fault(fault, method="POST", path=INTENTS)
        with pytest.raises((stripe.APIConnectionError, stripe.APIError)):
            await charge(shop, params)
        assert taken(shop) == 0
        assert (await charge(shop, params)).status == "succeeded"
        assert taken(shop) == 500


@pytest.mark.parametrize(("fault", "amount"), [("error_after", 500), ("error_instead", 0)])
async def test_a_500_that_was_kept_says_nothing_about_the_money(shop: Shop, fault: str, amount: int) -> None:
    params = await ready(shop)
    shop.stand_in.control.fault(fault, method="POST", path=INTENTS)
    for _ in range(2):
        with pytest.raises(stripe.APIError) as broken:
            await charge(shop, params)
        assert broken.value.http_status == 500
    assert taken(shop) == amount
    found = await shop.api.payment_intents.list_async({"customer": params["customer"]})
    assert [row.amount for row in found.data] == ([500] if amount else [])


@pytest.mark.parametrize("code", ["rate_limit", "lock_timeout"])
async def test_too_many_requests(shop: Shop, code: str) -> None:
    params = await ready(shop)
    shop.stand_in.control.fault(code, path=INTENTS)
    with pytest.raises(stripe.RateLimitError) as busy:
        await charge(shop, params)
    assert busy.value.error is not None
    assert busy.value.error.code == code
    assert taken(shop) == 0


async def test_a_fault_meets_the_nth_request_and_as_many_as_asked(shop: Shop) -> None:
    shop.stand_in.control.fault("error_before", method="GET", path="/v1/customers*", nth=2, times=2)
    seen = []
    for _ in range(5):
        try:
            await shop.api.customers.list_async()
            seen.append(True)
        except stripe.APIError:
            seen.append(False)
    assert seen == [True, False, False, True, True]
    shop.stand_in.control.fault("error_before", times=None)
    with pytest.raises(stripe.APIError):
        await shop.api.customers.list_async()
    shop.stand_in.control.clear_faults()
    await shop.api.customers.list_async()


async def test_the_library_repeats_by_itself_with_the_same_key(shop: Shop) -> None:
    params = await ready(shop)
    shop.stand_in.control.fault("drop_after", method="POST", path=INTENTS)
    done = await charge(shop, params, max_network_retries=1)
    assert done.status == "succeeded"
    assert taken(shop) == 500


async def test_closing_lets_go_of_requests_that_hang(shops: Shops) -> None:
    async with shops(patience=30) as shop:
        shop.stand_in.control.fault("hang_before", path="/v1/customers")
        hanging = asyncio.create_task(shop.api.customers.list_async())
        await asyncio.sleep(0.1)
        await shop.stand_in.close()
        async with asyncio.timeout(5):
            with pytest.raises(stripe.APIConnectionError):
                await hanging
