"""Whatever comes from outside is taken, refused in words, or left alone; the examples are what once went wrong."""

import csv
import io
import json
import time
from typing import Any

import pytest
import stripe
from hypothesis import example, given
from hypothesis import strategies as st
from telegram import Bot

from billing import books, contacts
from billing.errors import InvalidAmount
from billing.gateway import Event, GatewayRefused
from billing.money import Currency
from billing.stripe_gateway import StripeGateway
from bot import export, floods, polling, updates
from bot.web import telegram
from cloud import ssh_keys
from cloud.cloud_init import user_data

SECRET = "whsec_of_a_fuzz"
BOT = Bot("1:a")
HOST_KEY = ssh_keys.generate_host_key()
FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")

scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8)
json_values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
)
kinds = st.sampled_from([*polling.ALLOWED, "edited_message", "channel_post", "x"])
fields = st.sampled_from(
    ["from", "chat", "id", "text", "data", "date", "message", "entities", "successful_payment", "x"]
)
things = st.dictionaries(fields, json_values | st.dictionaries(fields, json_values, max_size=4), max_size=6)
payloads = st.dictionaries(kinds, things | json_values, max_size=2)
words = st.text(st.characters(exclude_categories=["Cs"]), max_size=60)


@pytest.fixture(scope="module")
def gateway() -> StripeGateway:  # nothing is asked of it, so nothing is opened
    return StripeGateway(api_key="sk_test_x", currency=Currency.of("usd"), webhook_secret=SECRET)


# --- webhooks


@given(body=st.binary(max_size=300) | json_values.map(lambda value: json.dumps(value).encode()))
@example(body=b'{"update_id": true}')
@example(body=b'{"update_id": 1e400}')
@example(body=b'{"update_id": 9223372036854775808}')
def test_any_body_is_an_update_or_none(body: bytes) -> None:
    found = telegram._update(body)
    assert found is None or (type(found["update_id"]) is int and 0 <= found["update_id"] < 2**63)


@given(payload=payloads)
@example(payload={"message": {"from": {"id": True}, "chat": []}})
def test_any_shape_of_an_update_is_read_or_left_alone(payload: dict[str, Any]) -> None:
    updates._read(payload | {"update_id": 1}, BOT)
    origin = floods._origin(payload)
    assert origin is None or isinstance(origin.person, int)


@given(
    body=json_values.map(lambda value: json.dumps(value).encode())
    | payloads.map(lambda value: json.dumps(value | {"id": "evt_1", "type": "charge.x"}).encode())
)
@example(body=b'{"id": "evt_1", "type": "charge.dispute.created", "data": {"object": []}}')
@example(body=b'{"id": "evt_1", "type": null, "data": {"object": {"id": {}}}}')
def test_any_signed_body_is_an_event_or_refused(gateway: StripeGateway, body: bytes) -> None:
    header = stripe.WebhookSignature.generate_signature_header(body.decode(), SECRET, int(time.time()))
    try:
        assert isinstance(gateway.parse_event(body, header), Event)
    except GatewayRefused:
        return


@given(body=st.binary(max_size=100), signature=st.text(max_size=80))
@example(body=b"\xff", signature="t=1,v1=é")
@example(body=b"{}", signature="t=99999999999999999999999,v1=00")
def test_no_unsigned_body_passes(gateway: StripeGateway, body: bytes, signature: str) -> None:
    with pytest.raises(GatewayRefused):
        gateway.parse_event(body, signature)


def test_a_body_that_is_nested_beyond_reason_is_refused(gateway: StripeGateway) -> None:
    deep = b"[" * 100_000
    assert telegram._update(deep) is None
    header = stripe.WebhookSignature.generate_signature_header(deep.decode(), SECRET, int(time.time()))
    with pytest.raises(GatewayRefused):
        gateway.parse_event(deep, header)


# --- what people type


@given(
    text=st.text(max_size=40) | st.from_regex(r"[$€]?[0-9., ]{1,20}(usd|jpy)?", fullmatch=True),
    code=st.sampled_from(["usd", "jpy", "kwd"]),
)
@example(text="\u0665", code="usd")
@example(text="1_000", code="usd")
@example(text="1e3", code="usd")
@example(text="9" * 13, code="usd")
def test_any_text_is_an_amount_or_refused(text: str, code: str) -> None:
    currency = Currency.of(code)
    try:
        amount = currency.parse(text)
    except InvalidAmount:
        return
    assert 0 < amount < 10**16
    assert amount % currency.step == 0
    assert currency.parse(currency.plain(amount)) == amount


@given(comment=words)
@example(comment='"\nssh_authorized_keys: [x]')
@example(comment="#{x} $(reboot) `id` ' \" \\")
@example(comment="\u2028- name: root")
def test_no_comment_of_a_key_adds_anything_to_a_machine(comment: str) -> None:
    try:
        line = ssh_keys.parse_public_key(f"{HOST_KEY.public} {comment}").line
    except ssh_keys.BadKey:
        return
    assert line.isprintable()
    assert line.split(" ")[:2] == HOST_KEY.public.split(" ")
    text = user_data(hostname="web-1", user="user", authorized_keys=[line], host_key=HOST_KEY.private)
    assert text.isascii()
    (user,) = json.loads(text.removeprefix("#cloud-config\n"))["users"]
    assert user["ssh_authorized_keys"] == [line]


@given(text=words | st.tuples(st.sampled_from(FORMULA), words).map("".join))
@example(text="=cmd|' /C calc'!A0")
@example(text=" =1+1")
@example(text="\n=1+1")
def test_no_words_become_a_formula(text: str) -> None:
    for told in (export.cell(text), books._tame(text)):
        assert not told.lstrip(" ").startswith(FORMULA)
        assert told in (text, f"'{text}")
    (_, (found, other)) = csv.reader(io.StringIO(export.table(["a", "b"], [[text, 1]]).decode("utf-8-sig"), newline=""))
    assert (found, other) == (export.cell(text), "1")


@given(text=st.text(max_size=60) | st.emails())
@example(text="a@b.example\r\nBcc: c@d.example")
@example(text="<a@b.example>,c@d.example")
@example(text='"a b"@c.example')
def test_no_address_holds_more_than_an_address(text: str) -> None:
    if contacts._ADDRESS.fullmatch(text):
        assert text.count("@") == 1
        assert not set(text) & set(' \t\r\n<>,;:"\\()[]\x00')
