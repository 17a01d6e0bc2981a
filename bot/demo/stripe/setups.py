"""SetupIntents: a card saved for later, asked about once."""

import stripe

from bot.demo.stripe import charges, customers, methods
from bot.demo.stripe.cards import Decline, judge_setup
from bot.demo.stripe.core import Core, check_url, new_id, public
from bot.demo.stripe.errors import ApiError, Json, invalid, only
from bot.demo.stripe.params import merge_metadata
from bot.demo.stripe.shapes import shape

_CREATE = frozenset(
    {
        "automatic_payment_methods",
        "confirm",
        "customer",
        "description",
        "metadata",
        "payment_method",
        "return_url",
        "usage",
        "use_stripe_sdk",
    }
)
_CONFIRM = frozenset({"payment_method", "return_url", "use_stripe_sdk"})
_OPEN = ("requires_payment_method", "requires_confirmation", "requires_action")


def create(core: Core, p: Json) -> Json:
    """A new SetupIntent; carried out at once with `confirm`."""
    only(p, _CREATE)
    customer = customers.need(core, p["customer"])["id"] if "customer" in p else None
    method = _method(core, p, customer)
    intent = make(core, {**p, "customer": customer})
    if method is not None:
        intent |= {"payment_method": method["id"], "status": "requires_confirmation"}
    if p.get("confirm"):
        _check_confirmable(p, intent)
    core.store.save(intent)
    core.emit("setup_intent.created", intent)
    if p.get("confirm"):
        run(core, intent, return_url=p.get("return_url"))
    return intent


def make(core: Core, p: Json) -> Json:
    """The object, not yet kept."""
    intent_id = new_id("seti_1")
    automatic = p.get("automatic_payment_methods", {"enabled": True})
    return shape(
        stripe.SetupIntent,
        id=intent_id,
        object="setup_intent",
        automatic_payment_methods={"allow_redirects": "always", **automatic},
        client_secret=f"{intent_id}_secret_{new_id('', 30)}",
        created=core.now(),
        customer=p.get("customer"),
        description=p.get("description"),
        livemode=False,
        metadata=merge_metadata({}, p.get("metadata", {})),
        payment_method_options={"card": {"request_three_d_secure": "automatic"}},
        payment_method_types=["card"],
        status="requires_payment_method",
        usage=p.get("usage", "off_session"),
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
            "You cannot confirm this SetupIntent because it's missing a payment method. Update the SetupIntent with "
            "a payment method and then confirm it again.",
            intent,
        )
    if "return_url" in p:
        check_url(p["return_url"], "return_url")
    elif intent["automatic_payment_methods"]["allow_redirects"] == "always":
        raise invalid(
            "This SetupIntent is configured to accept payment methods enabled in your Dashboard. Because some of "
            "these payment methods might redirect your customer off of your page, you must provide a `return_url`.",
            param="return_url",
        )


def _unexpected(message: str, intent: Json) -> ApiError:
    return invalid(message, code="setup_intent_unexpected_state", setup_intent=public(intent))


def retrieve(core: Core, p: Json, intent_id: str) -> Json:  # noqa: ARG001 - every handler takes the parameters
    """The SetupIntent."""
    return core.store.need("setup_intent", intent_id, param="intent", status=404)


def confirm(core: Core, p: Json, intent_id: str) -> Json:
    """Carry it out, with another payment method if one is given."""
    only(p, _CONFIRM)
    intent = retrieve(core, {}, intent_id)
    _refuse_if_checkout(intent, "confirm")
    if intent["status"] not in _OPEN:
        raise _unexpected(f"You cannot confirm this SetupIntent because it has a status of {intent['status']}.", intent)
    method = _method(core, p, intent["customer"])
    chosen = method["id"] if method else intent["payment_method"]
    _check_confirmable(p, {**intent, "payment_method": chosen})
    intent["payment_method"] = chosen
    run(core, intent, return_url=p.get("return_url"))
    return intent


def run(core: Core, intent: Json, *, return_url: str | None, authenticated: bool = False) -> None:
    """One attempt.

    Raises:
        ApiError: 402, with the failed attempt recorded.
    """
    method = core.store.need("payment_method", intent["payment_method"], param="payment_method")
    verdict = judge_setup(methods.card_of(method), off_session=False, authenticated=authenticated)
    if verdict.decline is not None:
        refuse(core, intent, method, verdict.decline)
    elif verdict.ask_owner:
        _ask_owner(core, intent, return_url)
    else:
        _succeed(core, intent, method)


def _ask_owner(core: Core, intent: Json, return_url: str | None) -> None:
    url = f"{core.base_url}/pay/authenticate/{intent['id']}?key={intent['client_secret']}"
    intent |= {
        "status": "requires_action",
        "next_action": {"redirect_to_url": {"return_url": return_url, "url": url}, "type": "redirect_to_url"},
    }
    core.store.save(intent)
    core.emit("setup_intent.requires_action", intent)


def refuse(core: Core, intent: Json, method: Json, decline: Decline) -> None:
    """Record a declined attempt and raise it as 402."""
    error = charges.error_of(decline, method)
    _fail(core, intent, method, error)
    raise ApiError(402, {**error, "setup_intent": public(intent)})


def _fail(core: Core, intent: Json, method: Json, error: Json) -> None:
    intent |= {
        "status": "requires_payment_method",
        "payment_method": None,
        "next_action": None,
        "last_setup_error": error,
        "latest_attempt": _record(core, intent, method, "failed", error)["id"],
    }
    core.store.save(intent)
    core.emit("setup_intent.setup_failed", intent)


def _record(core: Core, intent: Json, method: Json, status: str, error: Json | None = None) -> Json:
    shown = method["card"]
    details = {key: shown[key] for key in ("brand", "exp_month", "exp_year", "fingerprint", "funding", "last4")}
    return core.store.save(
        shape(
            stripe.SetupAttempt,
            id=new_id("setatt_1"),
            object="setup_attempt",
            created=core.now(),
            customer=intent["customer"],
            livemode=False,
            payment_method=method["id"],
            payment_method_details={"card": details, "type": "card"},
            setup_error=error,
            setup_intent=intent["id"],
            status=status,
            usage=intent["usage"],
        )
    )


def _succeed(core: Core, intent: Json, method: Json) -> None:
    method["_set_up"] = method["_set_up"] or intent["usage"] == "off_session"
    core.store.save(method)
    if intent["customer"] is not None:
        methods.attach_to(core, method, intent["customer"])
    attempt = _record(core, intent, method, "succeeded")
    intent |= {
        "status": "succeeded",
        "next_action": None,
        "last_setup_error": None,
        "latest_attempt": attempt["id"],
    }
    core.store.save(intent)
    core.emit("setup_intent.succeeded", intent)


def authenticate(core: Core, intent: Json, *, approve: bool) -> None:
    """What the owner of the card answered to the bank.

    Raises:
        ApiError: 402 if the bank declines although the owner agreed; 400 if there was nothing to answer.
    """
    if intent["status"] != "requires_action":
        raise _unexpected("This SetupIntent is not waiting for its customer.", intent)
    if approve:
        run(core, intent, return_url=None, authenticated=True)
        return
    method = core.store.need("payment_method", intent["payment_method"])
    error = {
        "code": "setup_intent_authentication_failure",
        "doc_url": "https://stripe.com/docs/error-codes/setup-intent-authentication-failure",
        "message": "The latest attempt to set up the payment method has failed because authentication failed.",
        "payment_method": public(method),
        "type": "invalid_request_error",
    }
    _fail(core, intent, method, error)


def _refuse_if_checkout(intent: Json, verb: str) -> None:
    if intent.get("_session"):
        raise invalid(
            f"You cannot {verb} a SetupIntent that belongs to a Checkout Session. Expire the Checkout Session instead.",
            code="setup_intent_unexpected_state",
        )


def cancel(core: Core, p: Json, intent_id: str) -> Json:
    """Give up; possible until it has succeeded."""
    intent = retrieve(core, {}, intent_id)
    if intent["status"] not in _OPEN:
        raise _unexpected(
            f"You cannot cancel this SetupIntent because it has a status of {intent['status']}. Only a SetupIntent "
            f"with one of the following statuses may be canceled: {', '.join(_OPEN)}.",
            intent,
        )
    _refuse_if_checkout(intent, "cancel")
    abandon(core, intent, p.get("cancellation_reason"))
    return intent


def abandon(core: Core, intent: Json, reason: str | None) -> None:
    """Cancel, whoever asks."""
    intent |= {"status": "canceled", "cancellation_reason": reason, "next_action": None}
    core.store.save(intent)
    core.emit("setup_intent.canceled", intent)


def listing(core: Core, p: Json) -> Json:
    """SetupIntents, newest first, of a customer or payment method if asked."""
    return core.store.page("setup_intent", "/v1/setup_intents", p, by=("customer", "payment_method"))
