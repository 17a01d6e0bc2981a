"""Events: signed as the library checks it, delivered again until taken, and out of order on request."""

import json
from pathlib import Path

import pytest
import stripe

from tests.demo.test_stripe.conftest import START, Clock, Shop, Shops, plain, web

SECRET = "whsec_of_this_test"


def types(shop: Shop) -> list[str]:
    """What the receiver got, in order."""
    return [json.loads(body)["type"] for body, _ in shop.received]


async def settled(shop: Shop) -> list[str]:
    await shop.stand_in.webhooks.settled()
    return types(shop)


async def test_an_event_passes_the_librarys_own_check_and_no_other_secret_does(shop: Shop) -> None:
    shop.stand_in.control.add_webhook(shop.hook_url, SECRET)
    ada = await shop.api.customers.create_async({"email": "a@example.com"}, {"idempotency_key": "made-ada"})
    assert await settled(shop) == ["customer.created"]
    body, signature = shop.received[0]
    event = stripe.Webhook.construct_event(body, signature, SECRET)
    assert (event.type, event.api_version, event.created) == ("customer.created", "2026-10-28.endive", START)
    assert event.data.object["id"] == ada.id
    assert event.request is not None
    assert event.request.idempotency_key == "made-ada"
    assert ada.last_response is not None
    assert event.request.id == ada.last_response.headers["request-id"]
    for bad_body, bad_secret in ((body, "whsec_other"), (body.replace(b"usd", b"eur") + b" ", SECRET)):
        with pytest.raises(stripe.SignatureVerificationError):
            stripe.Webhook.construct_event(bad_body, signature, bad_secret)


async def test_an_endpoint_made_through_the_api_tells_its_secret_once(shop: Shop) -> None:
    made = await shop.api.webhook_endpoints.create_async({"url": shop.hook_url, "enabled_events": ["customer.updated"]})
    assert made.secret is not None
    listed = (await shop.api.webhook_endpoints.list_async()).data
    assert [row.id for row in listed] == [made.id]
    assert getattr(listed[0], "secret", None) is None
    ada = await shop.customer()
    await shop.api.customers.update_async(ada.id, {"name": "Ada"})
    assert await settled(shop) == ["customer.updated"]
    event = stripe.Webhook.construct_event(*shop.received[0], made.secret)
    assert plain(event.data.previous_attributes) == {"name": None}
    await shop.api.webhook_endpoints.update_async(made.id, {"disabled": True})
    await shop.api.customers.update_async(ada.id, {"name": "Eve"})
    await shop.api.webhook_endpoints.delete_async(made.id)
    with pytest.raises(stripe.InvalidRequestError):
        await shop.api.webhook_endpoints.retrieve_async(made.id)
    with pytest.raises(stripe.InvalidRequestError):
        await shop.api.webhook_endpoints.create_async({"url": "hook", "enabled_events": ["*"]})
    with pytest.raises(stripe.InvalidRequestError):
        await shop.api.webhook_endpoints.create_async(
            {"url": shop.hook_url, "enabled_events": ["no.such.event"]}  # type: ignore[list-item]
        )
    assert await settled(shop) == ["customer.updated"]


async def test_an_event_is_sent_again_until_it_is_taken(shop: Shop) -> None:
    shop.stand_in.webhooks.retry_delays = (0.01, 0.02, 0.03)
    shop.stand_in.control.add_webhook(shop.hook_url, SECRET)
    shop.hook_statuses = [500, 400]
    await shop.customer()
    assert await settled(shop) == ["customer.created"] * 3
    assert [(row["attempt"], row["status"]) for row in shop.stand_in.webhooks.log] == [(1, 500), (2, 400), (3, 200)]
    assert (await shop.api.events.list_async()).data[0].pending_webhooks == 0


async def test_it_is_given_up_in_the_end_and_can_be_resent_by_hand(shop: Shop) -> None:
    shop.stand_in.webhooks.retry_delays = (0.01,)
    shop.stand_in.control.add_webhook(shop.hook_url, SECRET)
    shop.hook_statuses = [500, 500]
    await shop.customer()
    assert len(await settled(shop)) == 2
    late = (await shop.api.events.list_async({"delivery_success": False})).data
    assert [row.pending_webhooks for row in late] == [1]
    shop.stand_in.control.resend_event(late[0].id)
    assert len(await settled(shop)) == 3
    assert (await shop.api.events.retrieve_async(late[0].id)).pending_webhooks == 0


@pytest.mark.parametrize(
    ("order", "expected"),
    [
        ("given", ["customer.created", "setup_intent.created", "payment_intent.created"]),
        ("reversed", ["payment_intent.created", "setup_intent.created", "customer.created"]),
    ],
)
async def test_events_can_be_held_back_and_let_go_in_another_order(shop: Shop, order: str, expected: list[str]) -> None:
    shop.stand_in.control.add_webhook(shop.hook_url, SECRET)
    shop.stand_in.control.hold_events()
    await shop.customer()
    await shop.api.setup_intents.create_async({})
    await shop.api.payment_intents.create_async({"amount": 500, "currency": "usd"})
    assert await settled(shop) == []
    assert shop.stand_in.webhooks.release(order) == 3
    assert await settled(shop) == expected


async def test_only_some_types_can_be_held_back_and_let_go_one_by_one(shop: Shop) -> None:
    shop.stand_in.control.add_webhook(shop.hook_url, SECRET)
    shop.stand_in.control.hold_events("setup_intent.*")
    await shop.api.setup_intents.create_async({})
    await shop.api.setup_intents.create_async({})
    await shop.customer()
    assert await settled(shop) == ["customer.created"]
    assert shop.stand_in.control.release_events(count=1) == 1
    assert await settled(shop) == ["customer.created", "setup_intent.created"]
    assert shop.stand_in.control.release_events("shuffled") == 1
    assert len(await settled(shop)) == 3


async def test_events_can_come_twice(shop: Shop) -> None:
    shop.stand_in.control.add_webhook(shop.hook_url, SECRET)
    shop.stand_in.control.duplicate_events(2)
    await shop.customer()
    await settled(shop)
    ids = [json.loads(body)["id"] for body, _ in shop.received]
    assert len(ids) == 2
    assert len(set(ids)) == 1


async def test_events_are_listed_by_type(shop: Shop) -> None:
    ada = await shop.customer()
    await shop.card(ada.id)
    found = await shop.api.events.list_async({"types": ["payment_method.*", "charge.failed"]})
    assert [row.type for row in found.data] == ["payment_method.attached"]


async def test_a_second_start_finds_objects_keys_and_undelivered_events(shops: Shops, tmp_path: Path) -> None:
    clock = Clock()
    async with shops(tmp_path, clock=clock) as shop:
        shop.stand_in.control.add_webhook("http://127.0.0.1:9/nobody", SECRET)
        made = await shop.api.customers.create_async({"email": "a@example.com"}, {"idempotency_key": "k"})
        card = await shop.card(made.id, "pm_card_chargeCustomerFail")
    async with shops(tmp_path, clock=clock) as shop:
        assert (await shop.api.customers.retrieve_async(made.id)).email == "a@example.com"
        same = await shop.api.customers.create_async({"email": "a@example.com"}, {"idempotency_key": "k"})
        assert same.id == made.id
        with pytest.raises(stripe.CardError):
            await shop.api.payment_intents.create_async(
                {
                    "amount": 500,
                    "currency": "usd",
                    "customer": made.id,
                    "payment_method": card.id,
                    "confirm": True,
                    "off_session": True,
                }
            )
        endpoint = (await shop.api.webhook_endpoints.list_async()).data[0]
        await shop.api.webhook_endpoints.update_async(endpoint.id, {"url": shop.hook_url})
        await shop.stand_in.webhooks.close()
        await shop.stand_in.start()
        assert (await settled(shop))[:2] == ["customer.created", "payment_method.attached"]


# --- the control over HTTP


async def test_the_control_answers_over_http(shop: Shop) -> None:
    ada = await shop.customer()
    session = await shop.api.checkout.sessions.create_async(
        {"mode": "setup", "currency": "usd", "customer": ada.id, "success_url": "https://example.com/d"}
    )
    async with web(base_url=f"{shop.url}/control/") as http:
        declined = await http.post("pay", json={"session_id": session.id, "card": "4000000000000002"})
        assert (declined.status_code, declined.json()["error"]["code"]) == (402, "card_declined")
        wrong = await http.post("pay", json={"session_id": session.id, "expiry": "1"})
        assert wrong.status_code == 422
        paid = await http.post("pay", json={"session_id": session.id})
        assert paid.json() == "https://example.com/d"
        held = await http.post("hold_events", json={"patterns": ["charge.*"]})
        assert held.status_code == 200
        assert (await http.post("fault", json={"fault": "no such"})).status_code == 400
        assert (await http.post("pay", json={"nobody": 1})).status_code == 400
        assert (await http.post("requests", json={})).status_code == 404
        assert (await http.get("secrets")).status_code == 404
        log = (await http.get("requests")).json()
        assert [row["path"] for row in log] == ["/v1/customers", "/v1/checkout/sessions"]
        assert (await http.get("charges")).json() == []
        assert (await http.get("events")).json()[-1]["type"] == "checkout.session.completed"
