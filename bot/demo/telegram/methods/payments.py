"""Payments in Telegram Stars."""

from bot.demo.telegram.params import Params
from bot.demo.telegram.posting import post, send
from bot.demo.telegram.registry import SENDING, method
from bot.demo.telegram.state import State
from bot.demo.telegram.wire import Json, bad_request

_MOST_TITLE = 32
_MOST_DESCRIPTION = 255
_MOST_PAYLOAD_BYTES = 128
_MOST_STARS = 100_000
_MOST_LISTED = 100
_STARS = "XTR"


@method(
    "sendInvoice",
    "title description payload currency prices:array provider_token start_parameter photo_url photo_size:int"
    " photo_width:int photo_height:int need_name:bool need_phone_number:bool need_email:bool"
    " need_shipping_address:bool is_flexible:bool provider_data send_phone_number_to_provider:bool"
    f" send_email_to_provider:bool max_tip_amount:int suggested_tip_amounts:array {SENDING}",
    sends=True,
)
def send_invoice(state: State, params: Params) -> Json:
    """A message with a button that pays in Stars; no other currency is sold here."""
    state.chat_to_send(params.chat())
    amount = _amount(params)
    title, description = params.text("title"), params.text("description")
    if not 1 <= len(title) <= _MOST_TITLE:
        raise bad_request("PRODUCT_TITLE_INVALID")
    if not 1 <= len(description) <= _MOST_DESCRIPTION:
        raise bad_request("PRODUCT_DESCRIPTION_INVALID")
    payload = params.text("payload")
    if not 1 <= len(payload.encode()) <= _MOST_PAYLOAD_BYTES:
        raise bad_request("INVOICE_PAYLOAD_INVALID")
    _check_first_button(params.object("reply_markup"))
    invoice = {
        "title": title,
        "description": description,
        "start_parameter": params.text("start_parameter"),
        "currency": _STARS,
        "total_amount": amount,
    }
    sent = send(state, params, {"invoice": invoice})
    stored = state.chats[sent["chat"]["id"]].messages[sent["message_id"]]
    if "reply_markup" not in stored.wire:
        stored.wire["reply_markup"] = {"inline_keyboard": [[{"text": f"Pay ⭐️{amount}", "pay": True}]]}
    stored.payload = payload
    state.save_message(state.chats[sent["chat"]["id"]], stored)
    return stored.wire


def _amount(params: Params) -> int:
    if params.text("currency") != _STARS:
        raise bad_request("CURRENCY_INVALID")
    if params.text("provider_token"):
        raise bad_request("PAYMENT_PROVIDER_INVALID")
    prices = params.array("prices") or []
    if len(prices) != 1 or not isinstance(prices[0], dict) or set(prices[0]) != {"label", "amount"}:
        raise bad_request("STARS_INVOICE_INVALID")
    amount = prices[0]["amount"]
    if not isinstance(amount, int) or not 1 <= amount <= _MOST_STARS:
        raise bad_request("CURRENCY_TOTAL_AMOUNT_INVALID")
    return amount


def _check_first_button(markup: Json | None) -> None:
    rows = (markup or {}).get("inline_keyboard") or []
    if rows and rows[0] and not rows[0][0].get("pay"):
        raise bad_request("the first button in the invoice's keyboard must be a Pay button")


@method("answerPreCheckoutQuery", "pre_checkout_query_id ok:bool error_message")
def answer_pre_checkout_query(state: State, params: Params) -> bool:
    """Let a payment through, or say why not; must come within ten seconds."""
    order = state.orders.get(params.text("pre_checkout_query_id"))
    if order is None or "ok" in order:
        raise bad_request("query is too old and response timeout expired or query ID is invalid")
    ok = params.flag("ok")
    if not ok and not params.text("error_message"):
        raise bad_request("error message must be specified")
    order |= {"ok": ok, "error_message": params.text("error_message")}
    state.events.publish("order", chat_id=order["from"]["id"])
    return True


@method("refundStarPayment", "user_id:int telegram_payment_charge_id")
def refund_star_payment(state: State, params: Params) -> bool:
    """Give a payment back; the chat says so in a message of its own."""
    charge = state.charges.get(params.text("telegram_payment_charge_id"))
    if charge is None or charge["person_id"] != params.integer("user_id"):
        raise bad_request("CHARGE_NOT_FOUND")
    if charge.get("refunded_at"):
        raise bad_request("CHARGE_ALREADY_REFUNDED")
    charge["refunded_at"] = state.now()
    state.keep.put("charge", charge["payment"]["telegram_payment_charge_id"], charge)
    refunded = {
        name: charge["payment"][name]
        for name in ("currency", "total_amount", "invoice_payload", "telegram_payment_charge_id")
    }
    chat = state.chats[charge["person_id"]]
    stored = post(state, chat, state.bot, {"refunded_payment": refunded})
    state.updates.push("message", stored.wire, chat.id)
    return True


@method("getMyStarBalance")
def get_my_star_balance(state: State, _: Params) -> Json:
    """Stars received and not given back."""
    kept = (charge for charge in state.charges.values() if not charge.get("refunded_at"))
    return {"amount": sum(charge["payment"]["total_amount"] for charge in kept)}


@method("getStarTransactions", "offset:int limit:int")
def get_star_transactions(state: State, params: Params) -> Json:
    """Payments and refunds in the order in which they happened."""
    rows: list[Json] = []
    for charge in state.charges.values():
        payment, person = charge["payment"], state.people[charge["person_id"]]
        partner = {
            "type": "user",
            "transaction_type": "invoice_payment",
            "user": person,
            "invoice_payload": payment["invoice_payload"],
        }
        row = {"id": payment["telegram_payment_charge_id"], "amount": payment["total_amount"]}
        rows.append(row | {"date": charge["paid_at"], "source": partner})
        if charge.get("refunded_at"):
            rows.append(row | {"date": charge["refunded_at"], "receiver": partner})
    rows.sort(key=lambda row: row["date"])
    limit = min(max(params.integer("limit", _MOST_LISTED), 1), _MOST_LISTED)
    offset = params.integer("offset")
    return {"transactions": rows[offset : offset + limit]}
