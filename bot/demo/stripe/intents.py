"""PaymentIntents: from amount to charge, with the owner of the card asked in between where the bank wants it."""

from dataclasses import dataclass

import stripe

from bot.demo.stripe import charges, currencies, customers, disputes, methods
from bot.demo.stripe.cards import ASK_OWNER, Decline
from bot.demo.stripe.core import Core, check_url, clear_empty, new_id, only_one, public
from bot.demo.stripe.errors import ApiError, Json, invalid, only
from bot.demo.stripe.params import merge_metadata
from bot.demo.stripe.shapes import shape

_TEXTS = ("description", "receipt_email", "statement_descriptor", "statement_descriptor_suffix")
_CREATE = frozenset(
    {
        *_TEXTS,
        "allowed_payment_method_types",
        "amount",
        "automatic_payment_methods",
        "confirm",
        "currency",
        "customer",
        "error_on_requires_action",
        "metadata",
        "off_session",
        "payment_method",
        "payment_method_options",
        "return_url",
        "setup_future_usage",
        "use_stripe_sdk",
    }
)
_CONFIRM = frozenset(
    {
        "error_on_requires_action",
        "off_session",
        "payment_method",
        "payment_method_options",
        "receipt_email",
        "return_url",
        "setup_future_usage",
    }
)
_UPDATE = frozenset({*_TEXTS, "amount", "metadata", "setup_future_usage"})
_OPEN = ("requires_payment_method", "requires_confirmation", "requires_action")
_CANCELABLE = (*_OPEN, "requires_capture", "processing")


@dataclass(frozen=True)
class Attempt:
    """How a confirmation is made."""

    off_session: bool = False
    authenticated: bool = False
    return_url: str | None = None
    fail_if_action: bool = False


def create(core: Core, p: Json) -> Json:
    """A new PaymentIntent; charged at once with `confirm`."""
    only(p, _CREATE)
    only_one(p, "allowed_payment_method_types", "automatic_payment_methods")
    currency = currencies.known(p["currency"])
    currencies.check_amount(p["amount"], currency)
    if "off_session" in p and not p.get("confirm"):
        raise invalid("You can only set `off_session` when `confirm=true`.", param="off_session")
    customer = customers.need(core, p["customer"])["id"] if "customer" in p else None
    method = _method(core, p, customer)
    intent = make(core, {**p, "currency": currency, "customer": customer})
    if method is not None:
        intent |= {"payment_method": method["id"], "status": "requires_confirmation"}
    if p.get("confirm"):
        _check_confirmable(p, intent)
    core.store.save(intent)
    core.emit("payment_intent.created", intent)
    if p.get("confirm"):
        run(core, intent, _attempt(p))
    return intent


def make(core: Core, p: Json) -> Json:
    """The object, not yet kept."""
    intent_id = new_id("pi_3")
    automatic = p.get("automatic_payment_methods", {"enabled": True})
    return shape(
        stripe.PaymentIntent,
        id=intent_id,
        object="payment_intent",
        allowed_payment_method_types=p.get("allowed_payment_method_types"),
        amount=p["amount"],
        amount_capturable=0,
        amount_details={"tip": {}},
        amount_received=0,
        automatic_payment_methods={"allow_redirects": "always", **automatic},
        capture_method="automatic_async",
        client_secret=f"{intent_id}_secret_{new_id('', 25)}",
        confirmation_method="automatic",
        created=core.now(),
        currency=p["currency"],
        customer=p.get("customer"),
        livemode=False,
        metadata=merge_metadata({}, p.get("metadata", {})),
        payment_method_options={"card": {"request_three_d_secure": _three_d_secure(p)}},
        payment_method_types=["card"],
        setup_future_usage=p.get("setup_future_usage"),
        status="requires_payment_method",
        **{key: p.get(key) for key in _TEXTS},
    )


def _three_d_secure(p: Json) -> str:
    wish: str = p.get("payment_method_options", {}).get("card", {}).get("request_three_d_secure", "automatic")
    return wish


def _attempt(p: Json) -> Attempt:
    return Attempt(
        off_session=p.get("off_session") not in {None, False},
        return_url=p.get("return_url"),
        fail_if_action=p.get("error_on_requires_action", False),
    )


def _method(core: Core, p: Json, customer: str | None) -> Json | None:
    if "payment_method" not in p:
        return None
    method = methods.usable(core, p["payment_method"], param="payment_method")
    methods.check_owner(method, customer, "payment_method")
    return method


def _check_confirmable(p: Json, intent: Json) -> None:
    if intent["payment_method"] is None:
        raise _unexpected(
            "You cannot confirm this PaymentIntent because it's missing a payment method. You can either update the "
            "PaymentIntent with a payment method and then confirm it again, or confirm it again directly with a "
            "payment method or ConfirmationToken.",
            intent,
        )
    if "return_url" in p:
        check_url(p["return_url"], "return_url")
    redirects = intent["automatic_payment_methods"]["allow_redirects"] == "always"
    if redirects and "return_url" not in p and not _attempt(p).off_session:
        raise invalid(
            "This PaymentIntent is configured to accept payment methods enabled in your Dashboard. Because some of "
            "these payment methods might redirect your customer off of your page, you must provide a `return_url`. "
            "If you don't want to accept redirect-based payment methods, set `automatic_payment_methods[enabled]` to "
            "`true` and `automatic_payment_methods[allow_redirects]` to `never` when creating Setup Intents and "
            "Payment Intents.",
            param="return_url",
        )


def _unexpected(message: str, intent: Json) -> ApiError:
    return invalid(message, code="payment_intent_unexpected_state", payment_intent=public(intent))


def retrieve(core: Core, p: Json, intent_id: str) -> Json:
    """The PaymentIntent."""
    intent = core.store.need("payment_intent", intent_id, param="intent", status=404)
    if p.get("client_secret") not in {None, intent["client_secret"]}:
        raise invalid(
            "The client_secret provided does not match the client_secret associated with the PaymentIntent.",
            param="client_secret",
            code="payment_intent_invalid_parameter",
        )
    return intent


def confirm(core: Core, p: Json, intent_id: str) -> Json:
    """Charge now, with another payment method if one is given."""
    only(p, _CONFIRM)
    intent = retrieve(core, {}, intent_id)
    _refuse_if_checkout(intent, "confirm")
    if intent["status"] not in _OPEN:
        past = (
            "already succeeded after being previously confirmed"
            if intent["status"] == "succeeded"
            else (f"a status of {intent['status']}")
        )
        raise _unexpected(f"You cannot confirm this PaymentIntent because it has {past}.", intent)
    method = _method(core, p, intent["customer"])
    chosen = method["id"] if method else intent["payment_method"]
    _check_confirmable(p, {**intent, "payment_method": chosen})
    intent["payment_method"] = chosen
    intent.update({key: p[key] for key in ("setup_future_usage", "receipt_email") if key in p})
    run(core, intent, _attempt(p))
    return intent


def run(core: Core, intent: Json, attempt: Attempt) -> None:
    """One attempt at the charge.

    Raises:
        ApiError: 402, with the failed attempt recorded.
    """
    method = core.store.need("payment_method", intent["payment_method"], param="payment_method")
    verdict = charges.judge(core, method, off_session=attempt.off_session, authenticated=attempt.authenticated)
    forced = intent["payment_method_options"]["card"]["request_three_d_secure"] in {"any", "challenge"}
    forced = forced and not attempt.off_session and not attempt.authenticated
    if verdict.decline is not None:
        refuse(core, intent, method, verdict.decline, authenticated=attempt.authenticated)
    elif verdict.ask_owner or forced:
        if attempt.fail_if_action:
            refuse(core, intent, method, ASK_OWNER, authenticated=False)
        _ask_owner(core, intent, attempt)
    else:
        _succeed(core, intent, method, attempt)


def _ask_owner(core: Core, intent: Json, attempt: Attempt) -> None:
    url = f"{core.base_url}/pay/authenticate/{intent['id']}?key={intent['client_secret']}"
    intent |= {
        "status": "requires_action",
        "next_action": {
            "redirect_to_url": {"return_url": attempt.return_url, "url": url},
            "type": "redirect_to_url",
        },
    }
    core.store.save(intent)
    core.emit("payment_intent.requires_action", intent)


def refuse(core: Core, intent: Json, method: Json, decline: Decline, *, authenticated: bool) -> None:
    """Record a declined attempt and raise it as 402."""
    charge = charges.record(core, intent, method, decline, authenticated=authenticated)
    error = charges.error_of(decline, method, charge=charge["id"])
    _fail(core, intent, error, latest_charge=charge["id"])
    raise ApiError(402, {**error, "payment_intent": public(intent)})


def _fail(core: Core, intent: Json, error: Json, **more: str) -> None:
    intent |= {
        "status": "requires_payment_method",
        "payment_method": None,
        "next_action": None,
        "last_payment_error": error,
        **more,
    }
    core.store.save(intent)
    core.emit("payment_intent.payment_failed", intent)


def _succeed(core: Core, intent: Json, method: Json, attempt: Attempt) -> None:
    usage, customer = intent["setup_future_usage"], intent["customer"]
    if usage is not None and customer is not None:
        method["_set_up"] = method["_set_up"] or usage == "off_session"
        methods.attach_to(core, method, customer)
    method["_used"] = True
    core.store.save(method)
    charge = charges.record(core, intent, method, None, authenticated=attempt.authenticated)
    intent |= {
        "status": "succeeded",
        "amount_received": intent["amount"],
        "latest_charge": charge["id"],
        "last_payment_error": None,
        "next_action": None,
    }
    core.store.save(intent)
    core.emit("payment_intent.succeeded", intent)
    card = methods.card_of(method)
    if card.dispute is not None:
        disputes.open_for(core, charge, card.dispute, inquiry=card.inquiry)


def authenticate(core: Core, intent: Json, *, approve: bool) -> None:
    """What the owner of the card answered to the bank.

    Raises:
        ApiError: 402 if the bank declines although the owner agreed; 400 if there was nothing to answer.
    """
    if intent["status"] != "requires_action":
        raise _unexpected("This PaymentIntent is not waiting for its customer.", intent)
    if approve:
        run(core, intent, Attempt(authenticated=True))
        return
    method = core.store.need("payment_method", intent["payment_method"])
    error = {
        "code": "payment_intent_authentication_failure",
        "doc_url": "https://stripe.com/docs/error-codes/payment-intent-authentication-failure",
        "message": "The provided PaymentMethod has failed authentication. You can provide payment_method_data or a "
        "new PaymentMethod to attempt to fulfill this PaymentIntent again.",
        "payment_method": public(method),
        "type": "invalid_request_error",
    }
    _fail(core, intent, error)


def _refuse_if_checkout(intent: Json, verb: str) -> None:
    if intent.get("_session"):
        raise invalid(
            f"You cannot {verb} a PaymentIntent that belongs to a Checkout Session. Expire the Checkout Session "
            "instead.",
            code="payment_intent_unexpected_state",
        )


def cancel(core: Core, p: Json, intent_id: str) -> Json:
    """Give up; possible until it has succeeded."""
    intent = retrieve(core, {}, intent_id)
    if intent["status"] not in _CANCELABLE:
        raise _unexpected(
            f"You cannot cancel this PaymentIntent because it has a status of {intent['status']}. Only a "
            f"PaymentIntent with one of the following statuses may be canceled: {', '.join(_CANCELABLE)}.",
            intent,
        )
    _refuse_if_checkout(intent, "cancel")
    abandon(core, intent, p.get("cancellation_reason"))
    return intent


def abandon(core: Core, intent: Json, reason: str | None) -> None:
    """Cancel, whoever asks."""
    intent |= {
        "status": "canceled",
        "canceled_at": core.now(),
        "cancellation_reason": reason,
        "next_action": None,
    }
    core.store.save(intent)
    core.emit("payment_intent.canceled", intent)


def update(core: Core, p: Json, intent_id: str) -> Json:
    """Texts and metadata always; the amount while nothing was charged."""
    only(p, _UPDATE)
    intent = retrieve(core, {}, intent_id)
    if "amount" in p:
        if intent["status"] not in _OPEN:
            raise _unexpected(
                f"This PaymentIntent's amount could not be updated because it has a status of {intent['status']}.",
                intent,
            )
        currencies.check_amount(p["amount"], intent["currency"])
    intent.update({key: clear_empty(p[key]) for key in (*_TEXTS, "amount", "setup_future_usage") if key in p})
    if "metadata" in p:
        intent["metadata"] = merge_metadata(intent["metadata"], p["metadata"])
    return core.store.save(intent)


def listing(core: Core, p: Json) -> Json:
    """PaymentIntents, newest first, of one customer if asked."""
    if "customer" in p:
        core.store.need("customer", p["customer"], param="customer")
    return core.store.page("payment_intent", "/v1/payment_intents", p, by=("customer",))
