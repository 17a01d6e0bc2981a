"""Checkout sessions: what the API makes, and what happens when somebody pays on the hosted page."""

import stripe

from bot.demo.stripe import checkout_create, customers, intents, methods, setups
from bot.demo.stripe.core import Core
from bot.demo.stripe.errors import ApiError, Json, invalid, only
from bot.demo.stripe.params import merge_metadata
from bot.demo.stripe.shapes import shape
from bot.demo.stripe.store import paginate

_KIND = "checkout.session"
create = checkout_create.create


def retrieve(core: Core, p: Json, session_id: str) -> Json:  # noqa: ARG001 - every handler takes the parameters
    """The session."""
    return core.store.need(_KIND, session_id, param="session", status=404)


def update(core: Core, p: Json, session_id: str) -> Json:
    """Metadata."""
    only(p, frozenset({"metadata"}))
    session = retrieve(core, p, session_id)
    if "metadata" in p:
        session["metadata"] = merge_metadata(session["metadata"], p["metadata"])
    return core.store.save(session)


def expire(core: Core, p: Json, session_id: str) -> Json:
    """End an open session now; one that is complete or already expired is refused."""
    session = retrieve(core, p, session_id)
    if session["status"] != "open":
        raise invalid(
            f'Only Checkout Sessions with a status in ["open"] can be expired. This Checkout Session has a status '
            f"of {session['status']}.",
            param="session",
        )
    return end(core, session)


def end(core: Core, session: Json) -> Json:
    """Expire, and cancel what it was collecting for."""
    session |= {"status": "expired", "url": None}
    core.store.save(session)
    if session["setup_intent"] is not None:
        setups.abandon(core, core.store.need("setup_intent", session["setup_intent"]), None)
    if session["payment_intent"] is not None:
        intents.abandon(core, core.store.need("payment_intent", session["payment_intent"]), None)
    core.emit("checkout.session.expired", session)
    return session


def due(core: Core) -> None:
    """Expire what is past its time."""
    for session in core.store.every(_KIND):
        if session["status"] == "open" and session["expires_at"] <= core.now():
            end(core, session)


def listing(core: Core, p: Json) -> Json:
    """Sessions, newest first, by customer, intent, e-mail or status if asked."""
    email = p.get("customer_details", {}).get("email")

    def keep(row: Json) -> bool:
        return email is None or (row["customer_details"] or {}).get("email") == email

    by = ("customer", "payment_intent", "setup_intent", "status")
    return core.store.page(_KIND, "/v1/checkout/sessions", p, by=by, takes=("customer_details",), keep=keep)


def line_items(core: Core, p: Json, session_id: str) -> Json:
    """What is sold."""
    session = retrieve(core, p, session_id)
    return paginate(session["_items"], f"/v1/checkout/sessions/{session_id}/line_items", p)


def intent_of(core: Core, session: Json) -> Json | None:
    """The intent behind the session; in payment mode there is none before the first attempt."""
    if session["setup_intent"] is not None:
        return core.store.need("setup_intent", session["setup_intent"])
    if session["payment_intent"] is not None:
        return core.store.need("payment_intent", session["payment_intent"])
    return None


def submit(core: Core, session: Json, entry: methods.CardEntry) -> str:
    """What pressing the button of the payment page does.

    Returns:
        Where the browser goes next: the bank's page, or the merchant's success page.

    Raises:
        ApiError: 400 if the session is not open; 402 if the card is refused, the session staying open.
    """
    if session["status"] != "open":
        raise invalid(f"This Checkout Session is {session['status']}.", code="checkout_session_not_open")
    session["_entry"] = {"name": entry.name, "email": entry.email, "country": entry.country, "zip": entry.postal_code}
    method = methods.from_card(core, entry)
    page = f"{core.base_url}/pay/{session['id']}"
    customer = _customer(core, session)
    if session["mode"] == "setup":
        intent = core.store.need("setup_intent", session["setup_intent"])
        intent |= {"payment_method": method["id"], "customer": customer}
        setups.run(core, intent, return_url=page)
    else:
        intent = _payment_intent(core, session, customer)
        intent["payment_method"] = method["id"]
        intents.run(core, intent, intents.Attempt(return_url=page))
    if intent["status"] == "requires_action":
        url: str = intent["next_action"]["redirect_to_url"]["url"]
        return url
    return complete(core, session)


def _customer(core: Core, session: Json) -> str | None:
    customer: str | None = session["customer"]
    if customer is None and session["customer_creation"] == "always":
        entry = {key: value for key, value in session["_entry"].items() if key in {"name", "email"} and value}
        customer = customers.create(core, entry)["id"]
        session["customer"] = customer
        core.store.save(session)
    if customer is not None:
        customers.need(core, customer)  # one that was deleted meanwhile is not charged
    return customer


def _payment_intent(core: Core, session: Json, customer: str | None) -> Json:
    if session["payment_intent"] is not None:
        return core.store.need("payment_intent", session["payment_intent"])
    about: Json = {**session["_intent_data"], "amount": session["amount_total"], "currency": session["currency"]}
    intent = intents.make(core, {**about, "customer": customer})
    intent["_session"] = session["id"]
    core.store.save(intent)
    session["payment_intent"] = intent["id"]
    core.store.save(session)
    core.emit("payment_intent.created", intent)
    return intent


def complete(core: Core, session: Json) -> str:
    """Close a session whose intent has succeeded; returns the merchant's success page."""
    entry = session.get("_entry", {})
    address = {"country": entry.get("country"), "postal_code": entry.get("zip")}
    details = {"email": entry.get("email"), "name": entry.get("name"), "tax_exempt": "none", "tax_ids": []}
    full = shape(stripe.checkout.Session.CustomerDetails, **details, address=address)
    paid = session["mode"] == "payment"
    session |= {
        "status": "complete",
        "payment_status": "paid" if paid else "no_payment_required",
        "customer_details": full,
        "url": None,
    }
    _update_customer(core, session)
    core.store.save(session)
    core.emit("checkout.session.completed", session)
    return success_url(session)


def _update_customer(core: Core, session: Json) -> None:
    wish, customer = session["_customer_update"], session["customer"]
    if customer is None:
        return
    details = session["customer_details"]
    fresh: Json = {key: details[key] for key in ("name", "address") if wish.get(key) == "auto" and details[key]}
    stored = customers.need(core, customer)
    if stored["email"] is None and details["email"]:
        fresh["email"] = details["email"]
    if fresh:
        customers.update(core, fresh, customer)


def success_url(session: Json) -> str:
    """The merchant's page with the session's id in its place."""
    url: str = session["success_url"]
    return url.replace("{CHECKOUT_SESSION_ID}", session["id"])


def authenticate(core: Core, intent: Json, *, approve: bool) -> str | None:
    """The owner's answer to the bank, for any intent.

    Returns:
        Where the browser goes next, None if the merchant named no address.
    """
    kind, act = (
        ("setup", setups.authenticate) if intent["object"] == "setup_intent" else ("payment", intents.authenticate)
    )
    back = (intent["next_action"] or {}).get("redirect_to_url", {}).get("return_url")
    failed = False
    try:
        act(core, intent, approve=approve)
    except ApiError as error:
        if error.status != 402:  # noqa: PLR2004 - a decline is recorded; anything else is for the caller
            raise
        failed = True
    if intent.get("_session"):
        session = core.store.need(_KIND, intent["_session"])
        if intent["status"] == "succeeded":
            return complete(core, session)
        return f"{core.base_url}/pay/{session['id']}?failed={'declined' if failed else 'authentication'}"
    if back is None:
        return None
    secret = f"{kind}_intent={intent['id']}&{kind}_intent_client_secret={intent['client_secret']}"
    outcome = "succeeded" if intent["status"] == "succeeded" else "failed"
    return f"{back}{'&' if '?' in back else '?'}{secret}&redirect_status={outcome}"
