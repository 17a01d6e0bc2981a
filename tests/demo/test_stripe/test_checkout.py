"""Checkout: sessions through the library, the page's form, and a real browser on it."""

import shutil
from typing import Any

import httpx
import pytest
import stripe
from playwright.async_api import Page, async_playwright, expect

from bot.demo.stripe.entry import Invalid, read
from tests.demo.test_stripe.conftest import START, Shop, plain, web

CHROMIUM = shutil.which("chromium")
DONE = "https://example.com/done?session_id={CHECKOUT_SESSION_ID}"
ITEM: Any = {
    "quantity": 2,
    "price_data": {"currency": "usd", "unit_amount": 1250, "product_data": {"name": "Balance"}},
}


async def setup_session(shop: Shop, customer: str, **more: Any) -> stripe.checkout.Session:
    wanted: Any = {"mode": "setup", "currency": "usd", "customer": customer, "success_url": DONE, **more}
    return await shop.api.checkout.sessions.create_async(wanted)


async def payment_session(shop: Shop, customer: str, **more: Any) -> stripe.checkout.Session:
    wanted: Any = {
        "mode": "payment",
        "customer": customer,
        "success_url": DONE,
        "line_items": [ITEM],
        "client_reference_id": "order-7",
        "metadata": {"order": "7"},
        "payment_intent_data": {"setup_future_usage": "off_session", "metadata": {"payment": "7"}},
        **more,
    }
    return await shop.api.checkout.sessions.create_async(wanted)


async def fill(shop: Shop, session: stripe.checkout.Session, number: str, **more: str) -> httpx.Response:
    """What the page's script sends."""
    form = {"number": number, "expiry": "12 / 34", "cvc": "123", "name": "Ada L", "email": "ada@example.com"}
    async with web() as http:
        return await http.post(f"{shop.url}/pay/{session.id}", json={**form, **more})


# --- sessions


async def test_a_session_is_open_for_a_day_and_has_a_page(shop: Shop) -> None:
    ada = await shop.customer()
    session = await setup_session(shop, ada.id, cancel_url="https://example.com/no")
    assert session.id.startswith("cs_test_")
    assert session.url == f"{shop.url}/pay/{session.id}"
    assert (session.status, session.payment_status, session.expires_at) == (
        "open",
        "no_payment_required",
        START + 86_400,
    )
    assert isinstance(session.setup_intent, str)
    assert session.payment_intent is None
    intent = await shop.api.setup_intents.retrieve_async(session.setup_intent)
    assert (intent.customer, intent.usage, intent.status) == (ada.id, "off_session", "requires_payment_method")


@pytest.mark.parametrize(
    ("change", "param"),
    [
        ({"currency": None}, "currency"),
        ({"success_url": None}, "success_url"),
        ({"mode": None}, "mode"),
        ({"success_url": "example"}, "success_url"),
        ({"expires_at": START + 1700}, "expires_at"),
        ({"expires_at": START + 86_500}, "expires_at"),
        ({"line_items": [ITEM]}, "line_items"),
        ({"payment_intent_data": {"description": "x"}}, "payment_intent_data"),
        ({"customer_email": "a@example.com"}, "customer"),
        ({"client_reference_id": "x" * 201}, "client_reference_id"),
        ({"customer": "cus_none"}, "customer"),
    ],
)
async def test_a_setup_session_that_stripe_would_refuse(shop: Shop, change: dict[str, Any], param: str) -> None:
    ada = await shop.customer()
    wanted = {"mode": "setup", "currency": "usd", "customer": ada.id, "success_url": DONE, **change}
    params: Any = {key: value for key, value in wanted.items() if value is not None}
    with pytest.raises(stripe.InvalidRequestError) as refused:
        await shop.api.checkout.sessions.create_async(params)
    assert (refused.value.http_status, refused.value.param) == (400, param)


@pytest.mark.parametrize(
    ("items", "code"),
    [
        ([], None),
        ([{"quantity": 1}], None),
        ([{"price_data": ITEM["price_data"]}], None),
        ([{"quantity": 1, "price": "price_none"}], "resource_missing"),
        (
            [{"quantity": 1, "price_data": {"currency": "usd", "unit_amount": 49, "product_data": {"name": "x"}}}],
            "amount_too_small",
        ),
        ([ITEM, {**ITEM, "price_data": {**ITEM["price_data"], "currency": "eur"}}], None),
    ],
)
async def test_an_order_that_stripe_would_refuse(shop: Shop, items: Any, code: str | None) -> None:
    ada = await shop.customer()
    with pytest.raises(stripe.InvalidRequestError) as refused:
        await payment_session(shop, ada.id, line_items=items)
    assert refused.value.http_status == 400
    assert code in {None, refused.value.code}


async def test_saving_a_card_attaches_it_and_says_so_in_order(shop: Shop) -> None:
    ada = await shop.customer()
    session = await setup_session(shop, ada.id, metadata={"user": "7"})
    where = shop.stand_in.control.pay(session.id)
    assert where == f"https://example.com/done?session_id={session.id}"
    done = await shop.api.checkout.sessions.retrieve_async(session.id, {"expand": ["setup_intent.payment_method"]})
    assert (done.status, done.url) == ("complete", None)
    assert plain(done.metadata) == {"user": "7"}
    assert isinstance(done.setup_intent, stripe.SetupIntent)
    method = done.setup_intent.payment_method
    assert isinstance(method, stripe.PaymentMethod)
    assert method.card is not None
    assert (method.customer, method.card.brand, method.card.last4) == (ada.id, "visa", "4242")
    assert shop.event_types()[-4:] == [
        "setup_intent.created",
        "payment_method.attached",
        "setup_intent.succeeded",
        "checkout.session.completed",
    ]


async def test_paying_takes_the_total_once_and_keeps_the_card(shop: Shop) -> None:
    ada = await shop.customer()
    session = await payment_session(shop, ada.id)
    assert (session.amount_total, session.payment_status, session.payment_intent) == (2500, "unpaid", None)
    items = await shop.api.checkout.sessions.line_items.list_async(session.id)
    assert [(row.description, row.quantity, row.amount_total) for row in items.data] == [("Balance", 2, 2500)]
    shop.stand_in.control.pay(session.id)
    with pytest.raises(Exception, match="complete"):
        shop.stand_in.control.pay(session.id)
    done = await shop.api.checkout.sessions.retrieve_async(session.id, {"expand": ["payment_intent"]})
    assert (done.status, done.payment_status, done.client_reference_id) == ("complete", "paid", "order-7")
    assert isinstance(done.payment_intent, stripe.PaymentIntent)
    assert plain(done.payment_intent.metadata) == {"payment": "7"}
    assert [row["amount"] for row in shop.stand_in.control.charges()] == [2500]
    saved = await shop.api.customers.payment_methods.list_async(ada.id)
    assert len(saved.data) == 1
    again = await shop.api.payment_intents.create_async(
        {
            "amount": 500,
            "currency": "usd",
            "customer": ada.id,
            "payment_method": saved.data[0].id,
            "off_session": True,
            "confirm": True,
        }
    )
    assert again.status == "succeeded"


async def test_a_declined_card_leaves_the_session_open_for_another(shop: Shop) -> None:
    ada = await shop.customer()
    session = await payment_session(shop, ada.id)
    refused = await fill(shop, session, "4000 0000 0000 9995")
    assert (refused.status_code, refused.json()["message"]) == (402, "Your card has insufficient funds.")
    still = await shop.api.checkout.sessions.retrieve_async(session.id)
    assert (still.status, still.payment_status) == ("open", "unpaid")
    assert isinstance(still.payment_intent, str)
    paid = await fill(shop, session, "4242 4242 4242 4242")
    assert paid.json() == {"redirect": f"https://example.com/done?session_id={session.id}"}
    assert len((await shop.api.payment_intents.list_async({"customer": ada.id})).data) == 1
    assert [row["amount"] for row in shop.stand_in.control.charges()] == [2500]


async def test_the_intents_of_a_session_belong_to_the_session(shop: Shop) -> None:
    ada = await shop.customer()
    session = await setup_session(shop, ada.id)
    assert isinstance(session.setup_intent, str)
    with pytest.raises(stripe.InvalidRequestError, match="Checkout Session"):
        await shop.api.setup_intents.cancel_async(session.setup_intent)
    with pytest.raises(stripe.InvalidRequestError, match="Checkout Session"):
        await shop.api.setup_intents.confirm_async(session.setup_intent, {"payment_method": "pm_card_visa"})


async def test_the_bank_is_asked_and_a_no_leads_back_to_the_page(shop: Shop) -> None:
    ada = await shop.customer()
    session = await payment_session(shop, ada.id)
    back = shop.stand_in.control.pay(session.id, card="4000002760003184", approve=False)
    assert back == f"{shop.url}/pay/{session.id}?failed=authentication"
    assert (await shop.api.checkout.sessions.retrieve_async(session.id)).status == "open"
    done = shop.stand_in.control.pay(session.id, card="4000002760003184", approve=True)
    assert done == f"https://example.com/done?session_id={session.id}"
    assert len(shop.stand_in.control.charges()) == 1


async def test_a_card_may_be_declined_after_its_bank_agreed(shop: Shop) -> None:
    ada = await shop.customer()
    session = await payment_session(shop, ada.id)
    back = shop.stand_in.control.pay(session.id, card="4000008260003178", approve=True)
    assert back is not None
    assert back.endswith("failed=declined")
    assert shop.stand_in.control.charges() == []


async def test_a_session_expires_by_the_clock_and_takes_no_money_after(shop: Shop) -> None:
    ada = await shop.customer()
    session = await payment_session(shop, ada.id, expires_at=START + 1800)
    await fill(shop, session, "4000 0000 0000 0002")
    shop.clock.at += 1800
    late = await fill(shop, session, "4242 4242 4242 4242")
    assert late.status_code == 400
    assert late.json()["reload"] is True
    over = await shop.api.checkout.sessions.retrieve_async(session.id)
    assert (over.status, over.url) == ("expired", None)
    assert isinstance(over.payment_intent, str)
    assert (await shop.api.payment_intents.retrieve_async(over.payment_intent)).status == "canceled"
    assert shop.event_types()[-2:] == ["payment_intent.canceled", "checkout.session.expired"]
    assert shop.stand_in.control.charges() == []


async def test_a_session_is_expired_by_hand_once_and_not_after_it_was_paid(shop: Shop) -> None:
    ada = await shop.customer()
    session = await setup_session(shop, ada.id)
    assert (await shop.api.checkout.sessions.expire_async(session.id)).status == "expired"
    with pytest.raises(stripe.InvalidRequestError, match="expired"):
        await shop.api.checkout.sessions.expire_async(session.id)
    paid = await payment_session(shop, ada.id)
    shop.stand_in.control.pay(paid.id)
    with pytest.raises(stripe.InvalidRequestError, match="complete"):
        await shop.api.checkout.sessions.expire_async(paid.id)


async def test_a_customer_deleted_meanwhile_is_not_charged(shop: Shop) -> None:
    ada = await shop.customer()
    session = await payment_session(shop, ada.id, cancel_url="https://example.com/no")
    assert shop.stand_in.control.cancel(session.id) == "https://example.com/no"
    await shop.api.customers.delete_async(ada.id)
    refused = await fill(shop, session, "4242424242424242")
    assert (refused.status_code, refused.json()["code"]) == (400, "resource_missing")
    assert shop.stand_in.control.charges() == []


async def test_sessions_are_found_by_customer_and_status(shop: Shop) -> None:
    ada, bob = await shop.customer(), await shop.customer()
    first, second = await setup_session(shop, ada.id), await setup_session(shop, ada.id)
    await setup_session(shop, bob.id)
    shop.stand_in.control.pay(first.id)
    found = await shop.api.checkout.sessions.list_async({"customer": ada.id, "status": "open"})
    assert [row.id for row in found.data] == [second.id]


async def test_the_page_tells_the_customer_no_more_than_allowed(shop: Shop) -> None:
    """Name and address are copied to the customer only if `customer_update` says so; a missing e-mail is."""
    nobody = await shop.api.customers.create_async({})
    shy = await setup_session(shop, nobody.id)
    assert (await fill(shop, shy, "4242424242424242")).status_code == 200
    first = await shop.api.customers.retrieve_async(nobody.id)
    assert (first.name, first.email) == (None, "ada@example.com")
    open_one = await setup_session(shop, nobody.id, customer_update={"name": "auto", "address": "auto"})
    await fill(shop, open_one, "4242424242424242")
    second = await shop.api.customers.retrieve_async(nobody.id)
    assert second.name == "Ada L"
    assert second.address is not None
    assert second.address.country == "US"


# --- the form


GOOD = {"number": "4242 4242 4242 4242", "expiry": "12/34", "cvc": "123", "name": "Ada", "email": "a@example.com"}


@pytest.mark.parametrize(
    ("field", "text", "word"),
    [
        ("number", "4242", "incomplete"),
        ("number", "4242424242424241", "invalid"),
        ("number", "4111111111111111", "test card"),
        ("expiry", "12", "incomplete"),
        ("expiry", "13/34", "invalid"),
        ("expiry", "01/26", "past"),
        ("expiry", "01/2099", "invalid"),
        ("cvc", "12", "incomplete"),
        ("cvc", "12345", "invalid"),
        ("name", " ", "name"),
        ("email", "a@", "not complete"),
        ("email", "", "Enter"),
    ],
)
def test_each_field_says_what_is_wrong_with_it(field: str, text: str, word: str) -> None:
    with pytest.raises(Invalid) as wrong:
        read({**GOOD, field: text}, START)
    assert list(wrong.value.fields) == [field]
    assert word in wrong.value.fields[field]


def test_american_express_has_four_digits_on_the_front() -> None:
    amex = {**GOOD, "number": "3782 822463 10005"}
    with pytest.raises(Invalid):
        read(amex, START)
    assert read({**amex, "cvc": "1234"}, START).card.brand == "amex"


async def test_wrong_fields_are_told_by_name_and_charge_nothing(shop: Shop) -> None:
    ada = await shop.customer()
    session = await payment_session(shop, ada.id)
    answer = await fill(shop, session, "4242424242424241", cvc="1")
    assert answer.status_code == 422
    assert set(answer.json()["fields"]) == {"number", "cvc"}
    async with web() as http:
        junk = await http.post(f"{shop.url}/pay/{session.id}", content=b"[1")
        absent = await http.post(f"{shop.url}/pay/cs_none", json={})
    assert (junk.status_code, absent.status_code) == (400, 404)
    assert shop.stand_in.control.charges() == []


async def test_pages_escape_what_merchants_and_people_write(shop: Shop) -> None:
    ada = await shop.customer(email='"><script>alert(1)</script>@x.y')
    item = {**ITEM, "price_data": {**ITEM["price_data"], "product_data": {"name": "<img src=x>"}}}
    session = await payment_session(shop, ada.id, line_items=[item])
    async with web() as http:
        text = (await http.get(f"{shop.url}/pay/{session.id}")).text
    assert "<script>alert" not in text
    assert "<img" not in text


async def test_pages_for_what_cannot_be_paid(shop: Shop) -> None:
    ada = await shop.customer()
    complete, expired = await setup_session(shop, ada.id), await setup_session(shop, ada.id)
    shop.stand_in.control.pay(complete.id)
    shop.stand_in.control.expire(expired.id)
    async with web() as http:
        texts = [(await http.get(f"{shop.url}/pay/{one}")).text for one in (complete.id, expired.id, "cs_none")]
        assert (await http.get(f"{shop.url}/pay/assets/checkout.css")).headers["content-type"].startswith("text/css")
        assert (await http.get(f"{shop.url}/pay/assets/..%2Fcheckout.html")).status_code == 404
    assert "All done" in texts[0]
    assert "This link has expired" in texts[1]
    assert "Something went wrong" in texts[2]


# --- in a browser


async def open_page(shop: Shop, page: Page) -> stripe.checkout.Session:
    nobody = await shop.api.customers.create_async({})
    session = await payment_session(shop, nobody.id, success_url=f"{shop.url}/pay/done-{{CHECKOUT_SESSION_ID}}")
    assert session.url is not None
    await page.goto(session.url)
    return session


@pytest.mark.browser
@pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed")
async def test_a_person_pays_after_two_mistakes(shop: Shop) -> None:
    """A mistyped number and a declined card are said on the page; the bank is asked; the merchant's page follows."""
    problems: list[str] = []
    args = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=args)
        page = await browser.new_page(viewport={"width": 390, "height": 844})
        page.on("pageerror", lambda error: problems.append(str(error)))
        session = await open_page(shop, page)
        await expect(page.get_by_test_id("total")).to_have_text("$25.00")
        assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        await page.get_by_test_id("email").fill("ada@example.com")
        await page.get_by_test_id("number").press_sequentially("4242424242424241")
        await page.get_by_test_id("expiry").press_sequentially("1234")
        await page.get_by_test_id("cvc").fill("123")
        await page.get_by_test_id("name").fill("Ada")
        await page.get_by_test_id("submit").click()
        await expect(page.get_by_test_id("wrong-number")).to_have_text("Your card number is invalid.")
        await expect(page.get_by_test_id("expiry")).to_have_value("12 / 34")
        await page.get_by_test_id("hint-4000000000000002").click()
        await page.get_by_test_id("submit").click()
        await expect(page.get_by_test_id("alert")).to_have_text("Your card was declined.")
        await page.get_by_test_id("hint-4000002760003184").click()
        await page.get_by_test_id("submit").click()
        await page.get_by_test_id("fail").click()
        await expect(page.get_by_test_id("alert")).to_contain_text("unable to authenticate")
        await page.get_by_test_id("hint-4000002760003184").click()
        await page.get_by_test_id("submit").click()
        await expect(page.get_by_test_id("amount")).to_have_text("$25.00")
        await page.get_by_test_id("complete").click()
        await page.wait_for_url(f"**/done-{session.id}")
        await browser.close()
    assert problems == []
    assert [row["amount"] for row in shop.stand_in.control.charges()] == [2500]
