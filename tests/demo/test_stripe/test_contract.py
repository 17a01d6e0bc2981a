"""The wire format: keys, versions, parameters, lists, expansion, and the fields of every object."""

import asyncio
import re
from typing import Any

import httpx
import pytest
import stripe
from stripe import StripeObject

from bot.demo.stripe.core import API_VERSION
from bot.demo.stripe.errors import ApiError
from bot.demo.stripe.params import check, decode, schema
from bot.demo.stripe.routes import ENDPOINTS, Endpoint
from bot.demo.stripe.server import TEST_KEY
from bot.demo.stripe.shapes import fields, shape
from tests.demo.test_stripe.conftest import START, Clock, Shop, plain, web


async def post(shop: Shop, path: str, body: str, **headers: str) -> httpx.Response:
    async with web() as http:
        sent = {"Authorization": f"Bearer {TEST_KEY}", **headers}
        sent["Content-Type"] = "application/x-www-form-urlencoded"
        return await http.post(shop.url + path, content=body, headers=sent)


# --- who asks


async def test_no_key_and_a_wrong_key_are_refused_and_the_key_is_not_told(shop: Shop) -> None:
    async with web() as http:
        none = await http.get(f"{shop.url}/v1/customers")
    assert none.status_code == 401
    assert "did not provide an API key" in none.json()["error"]["message"]
    with pytest.raises(stripe.AuthenticationError) as refused:
        await shop.api.customers.list_async(options={"api_key": "sk_test_wrong_key_1234"})
    assert "wrong_key" not in str(refused.value)
    assert str(refused.value).endswith("1234")


async def test_basic_authentication_works_like_curl_sends_it(shop: Shop) -> None:
    async with web(auth=(TEST_KEY, "")) as http:
        assert (await http.get(f"{shop.url}/v1/account")).status_code == 200


async def test_the_version_is_echoed_and_another_one_is_refused(shop: Shop) -> None:
    answer = await post(shop, "/v1/customers", "", **{"Stripe-Version": API_VERSION})
    assert answer.headers["stripe-version"] == API_VERSION == "2026-10-28.endive"
    assert re.fullmatch(r"req_\w{14}", answer.headers["request-id"])
    old = await post(shop, "/v1/customers", "", **{"Stripe-Version": "2020-08-27"})
    assert old.status_code == 400


async def test_an_unknown_address_is_404_in_stripes_words(shop: Shop) -> None:
    answer = await post(shop, "/v1/nothing", "")
    assert answer.status_code == 404
    assert "Unrecognized request URL (POST: /v1/nothing)" in answer.json()["error"]["message"]


async def test_more_requests_than_the_limit_are_429(shop: Shop) -> None:
    shop.stand_in._api.rate_limit = 5
    asked = [shop.api.customers.list_async() for _ in range(8)]
    answers = await asyncio.gather(*asked, return_exceptions=True)
    assert sum(isinstance(answer, stripe.RateLimitError) for answer in answers) == 3


# --- parameters


@pytest.mark.parametrize("path", ["/v1/setup_intents", "/v1/payment_intents", "/v1/checkout/sessions"])
async def test_payment_method_types_is_unknown_in_this_version(shop: Shop, path: str) -> None:
    body = "amount=500&currency=usd&" if "payment" in path else ""
    answer = await post(shop, path, f"{body}payment_method_types[]=card")
    assert answer.status_code == 400
    error = answer.json()["error"]
    assert error["code"] == "parameter_unknown"
    assert error["message"] == "Received unknown parameter: payment_method_types"
    assert error["param"] == "payment_method_types"


@pytest.mark.parametrize(
    ("body", "code", "param"),
    [
        ("currency=usd", "parameter_missing", "amount"),
        ("amount=5.5&currency=usd", "parameter_invalid_integer", "amount"),
        ("amount=500&currency=usd&confirm=yes", None, "confirm"),
        ("amount=500&currency=xyz", None, "currency"),
        ("amount=500&currency=usd&description=", "parameter_invalid_empty", "description"),
        ("amount=500&currency=usd&setup_future_usage=sometimes", None, "setup_future_usage"),
        ("amount=500&currency=usd&metadata=a", None, "metadata"),
        ("amount=500&currency=usd&shipping[name]=A", "parameter_missing", "shipping[address]"),
        (
            "amount=500&currency=usd&automatic_payment_methods[enabled]=true&automatic_payment_methods[x]=1",
            "parameter_unknown",
            "automatic_payment_methods[x]",
        ),
        ("amount=500&currency=usd&amount[a]=1", None, "amount[a]"),
        ("amount=500&currency=usd&a]=1", None, ["a]", "1"][0]),
        (f"amount=500&currency=usd&metadata[{'k' * 41}]=v", None, "metadata"),
        (f"amount=500&currency=usd&metadata[k]={'v' * 501}", None, "metadata[k]"),
    ],
)
async def test_what_does_not_fit_is_400_and_names_the_parameter(
    shop: Shop, body: str, code: str | None, param: str
) -> None:
    answer = await post(shop, "/v1/payment_intents", body)
    assert answer.status_code == 400, answer.text
    error = answer.json()["error"]
    assert error["type"] == "invalid_request_error"
    assert (error.get("code"), error["param"]) == (code, param)
    assert [row["status"] for row in shop.stand_in.control.requests()] == [400]


async def test_what_stripe_takes_and_the_stand_in_does_not_do_is_said(shop: Shop) -> None:
    answer = await post(shop, "/v1/payment_intents", "amount=500&currency=usd&capture_method=manual")
    assert answer.status_code == 501
    assert "capture_method" in answer.json()["error"]["message"]


def test_forms_are_read_as_nested_objects() -> None:
    text = "a=1&b[c]=2&b[d][0]=x&b[d][1]=y&e[]=p&e[]=q&f[0][g]=h"
    assert decode(text) == {"a": "1", "b": {"c": "2", "d": ["x", "y"]}, "e": ["p", "q"], "f": [{"g": "h"}]}


def test_numbers_and_words_get_their_types() -> None:
    raw = decode("limit=3&created[gte]=5&customer=cus_1&expand[]=data.customer")
    cls = schema("_charge_list_params:ChargeListParams")
    expected = {"limit": 3, "created": {"gte": 5}, "customer": "cus_1", "expand": ["data.customer"]}
    assert check(cls, raw) == expected


@pytest.mark.parametrize("endpoint", ENDPOINTS, ids=lambda row: f"{row.method} {row.path}")
def test_every_endpoint_refuses_what_the_library_does_not_know(endpoint: Endpoint) -> None:
    with pytest.raises(ApiError, match="Received unknown parameter: nonsense"):
        check(endpoint.schema, {"nonsense": "1"})


# --- objects


async def test_an_object_that_does_not_exist_is_404_and_400_as_a_parameter(shop: Shop) -> None:
    with pytest.raises(stripe.InvalidRequestError) as path:
        await shop.api.payment_intents.retrieve_async("pi_none")
    assert (path.value.http_status, path.value.code) == (404, "resource_missing")
    with pytest.raises(stripe.InvalidRequestError) as param:
        await shop.api.payment_intents.create_async({"amount": 500, "currency": "usd", "customer": "cus_none"})
    assert (param.value.http_status, param.value.code, param.value.param) == (400, "resource_missing", "customer")


async def test_a_customer_is_made_changed_listed_and_deleted(shop: Shop) -> None:
    ada = await shop.api.customers.create_async({"email": "ada@example.com", "metadata": {"user": "7", "x": "y"}})
    assert ada.id.startswith("cus_")
    assert ada.created == START
    assert ada.livemode is False
    changed = await shop.api.customers.update_async(ada.id, {"name": "Ada", "metadata": {"x": ""}})
    assert (changed.name, plain(changed.metadata)) == ("Ada", {"user": "7"})
    await shop.api.customers.create_async({"email": "bob@example.com"})
    found = await shop.api.customers.list_async({"email": "ada@example.com"})
    assert [row.id for row in found.data] == [ada.id]
    card = await shop.card(ada.id)
    gone = await shop.api.customers.delete_async(ada.id)
    assert gone.deleted
    assert (await shop.api.customers.retrieve_async(ada.id)).deleted
    assert (await shop.api.payment_methods.retrieve_async(card.id)).customer is None
    with pytest.raises(stripe.InvalidRequestError, match="No such customer"):
        await shop.api.payment_intents.create_async({"amount": 500, "currency": "usd", "customer": ada.id})
    assert shop.event_types() == [
        "customer.created",
        "customer.updated",
        "customer.created",
        "payment_method.attached",
        "payment_method.detached",
        "customer.deleted",
    ]


async def test_lists_are_newest_first_and_can_be_walked_both_ways(shop: Shop) -> None:
    made = []
    for n in range(5):
        shop.clock.at = START + n
        made.append((await shop.customer(name=f"n{n}")).id)
    first = await shop.api.customers.list_async({"limit": 2})
    assert ([row.id for row in first.data], first.has_more) == (made[:2:-1], True)
    walked = [row.id async for row in first.auto_paging_iter()]
    assert walked == made[::-1]
    back = await shop.api.customers.list_async({"ending_before": made[0], "limit": 2})
    assert [row.id for row in back.data] == [made[2], made[1]]
    late = await shop.api.customers.list_async({"created": {"gt": START, "lte": START + 2}})
    assert [row.id for row in late.data] == [made[2], made[1]]
    with pytest.raises(stripe.InvalidRequestError):
        await shop.api.customers.list_async({"limit": 101})


async def test_expand_puts_objects_in_place_of_ids_at_any_depth(shop: Shop) -> None:
    ada = await shop.customer()
    card = await shop.card(ada.id)
    paid = await shop.api.payment_intents.create_async(
        {
            "amount": 500,
            "currency": "usd",
            "customer": ada.id,
            "payment_method": card.id,
            "confirm": True,
            "off_session": True,
            "expand": ["customer", "latest_charge.balance_transaction"],
        }
    )
    assert isinstance(paid.customer, stripe.Customer)
    assert isinstance(paid.latest_charge, stripe.Charge)
    booked = paid.latest_charge.balance_transaction
    assert isinstance(booked, stripe.BalanceTransaction)
    assert (booked.amount, booked.fee, booked.net) == (500, 44, 456)
    listed = await shop.api.payment_intents.list_async({"expand": ["data.latest_charge"]})
    assert isinstance(listed.data[0].latest_charge, stripe.Charge)
    charge = await shop.api.charges.retrieve_async(paid.latest_charge.id, {"expand": ["refunds"]})
    assert charge.refunds is not None
    assert charge.refunds.data == []
    for wrong in ("amount", "nothing", "customer.email"):
        with pytest.raises(stripe.InvalidRequestError, match="cannot be expanded"):
            await shop.api.payment_intents.retrieve_async(paid.id, {"expand": [wrong]})


def test_a_field_that_the_version_does_not_have_cannot_be_answered() -> None:
    with pytest.raises(TypeError, match="has no"):
        shape(stripe.Refund, id="re_1", status_transitions={})
    with pytest.raises(TypeError, match="needs"):
        shape(stripe.Refund, id="re_1")


async def test_every_kind_of_object_has_the_fields_of_its_class_and_no_others(shop: Shop) -> None:
    """What leaves over the wire is held against the library's classes, key by key."""
    ada = await shop.customer()
    card = await shop.card(ada.id, "pm_card_createDispute")
    await shop.api.payment_intents.create_async(
        {
            "amount": 500,
            "currency": "usd",
            "customer": ada.id,
            "payment_method": card.id,
            "confirm": True,
            "off_session": True,
        }
    )
    good = await shop.card(ada.id)
    paid = await shop.api.payment_intents.create_async(
        {
            "amount": 500,
            "currency": "usd",
            "customer": ada.id,
            "payment_method": good.id,
            "confirm": True,
            "off_session": True,
        }
    )
    await shop.api.refunds.create_async({"payment_intent": paid.id})
    session = await shop.api.checkout.sessions.create_async(
        {"mode": "setup", "currency": "usd", "customer": ada.id, "success_url": "https://example.com/done"}
    )
    shop.stand_in.control.pay(session.id)
    await shop.api.webhook_endpoints.create_async({"url": shop.hook_url, "enabled_events": ["*"]})
    classes: dict[str, type[StripeObject]] = {
        "customers": stripe.Customer,
        "payment_intents": stripe.PaymentIntent,
        "setup_intents": stripe.SetupIntent,
        "checkout/sessions": stripe.checkout.Session,
        "charges": stripe.Charge,
        "refunds": stripe.Refund,
        "disputes": stripe.Dispute,
        "events": stripe.Event,
        "webhook_endpoints": stripe.WebhookEndpoint,
        "balance_transactions": stripe.BalanceTransaction,
    }
    async with web(auth=(TEST_KEY, "")) as http:
        for path, cls in classes.items():
            rows = (await http.get(f"{shop.url}/v1/{path}")).json()["data"]
            assert rows, path
            for row in rows:
                hold(cls, row)
        hold(stripe.PaymentMethod, (await http.get(f"{shop.url}/v1/payment_methods/{good.id}")).json())
        hold(stripe.Account, (await http.get(f"{shop.url}/v1/account")).json())
        hold(stripe.Balance, (await http.get(f"{shop.url}/v1/balance")).json())


def hold(cls: type[StripeObject], row: dict[str, Any]) -> None:
    """Every key is a field of the class; every field that cannot be null is there and is not."""
    known = fields(cls)
    assert row.keys() <= known.keys(), f"{cls.__qualname__}: {row.keys() - known.keys()}"
    for name, field in known.items():
        if not field.nullable:
            assert row.get(name) is not None, f"{cls.__qualname__}.{name}"
        value = row.get(name)
        if field.nested is not None and isinstance(value, dict):
            hold(field.nested, value)


async def test_the_clock_of_the_stand_in_is_the_one_handed_in(shop: Shop) -> None:
    assert isinstance(shop.clock, Clock)
    shop.clock.at = START + 86_400 * 40
    assert (await shop.customer()).created == START + 86_400 * 40


async def test_a_filter_that_would_be_ignored_is_refused(shop: Shop) -> None:
    with pytest.raises(stripe.APIError) as refused:
        await shop.api.charges.list_async({"transfer_group": "x"})
    assert refused.value.http_status == 501
    with pytest.raises(stripe.APIError) as source:
        await shop.api.customers.create_async({"source": "tok_visa"})
    assert source.value.http_status == 501
    assert shop.event_types() == []
