"""The strings that a test or the demo pulls: what a person, a bank or bad luck would do."""

import json
from http import HTTPStatus
from typing import Literal

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from bot.demo.stripe import checkout, disputes, entry, methods, refunds
from bot.demo.stripe.account import make_endpoint
from bot.demo.stripe.api import Api
from bot.demo.stripe.cards import BY_NUMBER
from bot.demo.stripe.core import Core, public
from bot.demo.stripe.errors import ApiError, Json, invalid
from bot.demo.stripe.faults import Fault, Faults, Plan
from bot.demo.stripe.webhooks import Webhooks

Order = Literal["given", "reversed", "shuffled"]
_ACTS = (
    "add_webhook",
    "answer_bank",
    "cancel",
    "clear_faults",
    "detach",
    "dispute",
    "duplicate_events",
    "expire",
    "fail_refund",
    "fault",
    "hold_events",
    "pay",
    "release_events",
    "renew",
    "resend_event",
    "settle_dispute",
    "tick",
)


class Control:
    """Python methods; `POST /control/NAME` with a JSON object of arguments calls the same."""

    def __init__(self, core: Core, api: Api, faults: Faults, webhooks: Webhooks) -> None:
        self._core = core
        self._api = api
        self._faults = faults
        self._webhooks = webhooks

    # What people do.

    def pay(
        self,
        session_id: str,
        card: str = "4242424242424242",
        *,
        expiry: str = "12 / 34",
        name: str = "Ada Lovelace",
        email: str | None = None,
        approve: bool | None = None,
    ) -> str | None:
        """Fill in the payment page and press the button.

        Args:
            session_id: the Checkout session.
            card: a test card's number.
            expiry: as typed, `MM / YY`.
            name: the name on the card.
            email: typed by somebody whose address is not known.
            approve: the answer if the bank asks; None leaves the bank's page open.

        Returns:
            Where the browser is sent.

        Raises:
            entry.Invalid: a field is wrong.
            ApiError: the card was declined, or the session is not open.
        """
        self.tick()
        number = card.replace(" ", "")
        cvc = "1234" if number in BY_NUMBER and BY_NUMBER[number].brand == "amex" else "123"
        form = {"number": number, "expiry": expiry, "cvc": cvc, "name": name}
        if email is not None:
            form["email"] = email
        session = self._core.store.need("checkout.session", session_id)
        try:
            where: str | None = checkout.submit(self._core, session, entry.read(form, self._core.now()))
            intent = checkout.intent_of(self._core, session)
            if approve is not None and intent is not None and intent["status"] == "requires_action":
                where = checkout.authenticate(self._core, intent, approve=approve)
        finally:
            self._core.store.flush()
        return where

    def answer_bank(self, intent_id: str, *, approve: bool) -> str | None:
        """Approve or refuse on the bank's page; returns where the browser is sent."""
        intent = self._core.store.get("payment_intent", intent_id) or self._core.store.need("setup_intent", intent_id)
        return checkout.authenticate(self._core, intent, approve=approve)

    def expire(self, session_id: str) -> Json:
        """Let a Checkout session run out now."""
        return public(checkout.expire(self._core, {}, session_id))

    def cancel(self, session_id: str) -> str | None:
        """Press Back on the payment page: nothing changes here; returns where the browser is sent."""
        url: str | None = self._core.store.need("checkout.session", session_id)["cancel_url"]
        return url

    # What banks and networks do.

    def renew(self, method_id: str, *, exp_month: int, exp_year: int, number: str | None = None) -> Json:
        """The network tells of a new expiry, or of a new number as well."""
        method = self._core.store.need("payment_method", method_id)
        card = {**method["card"], "exp_month": exp_month, "exp_year": exp_year}
        if number is not None:
            method["_number"] = number
            card |= {"last4": BY_NUMBER[number].last4, "fingerprint": BY_NUMBER[number].fingerprint}
        methods.change(self._core, method, {"card": card}, "payment_method.automatically_updated")
        return public(method)

    def detach(self, method_id: str) -> Json:
        """Somebody removed the card in the dashboard."""
        return public(methods.detach(self._core, {}, method_id))

    def dispute(self, object_id: str, *, reason: str = "fraudulent", amount: int | None = None) -> Json:
        """The owner of the card disputes a charge; its id or its payment intent's."""
        charge = self._core.store.get("charge", object_id)
        if charge is None:
            intent = self._core.store.need("payment_intent", object_id)
            charge = self._core.store.need("charge", intent["latest_charge"] or "")
        return public(disputes.open_for(self._core, charge, reason, amount=amount))

    def settle_dispute(self, dispute_id: str, *, won: bool) -> Json:
        """The bank decides."""
        return public(disputes.settle(self._core, self._core.store.need("dispute", dispute_id), won=won))

    def fail_refund(self, refund_id: str) -> Json:
        """The bank could not put the money on the card."""
        return public(refunds.fail(self._core, self._core.store.need("refund", refund_id)))

    # Bad luck.

    def fault(
        self,
        fault: str,
        *,
        method: str = "*",
        path: str = "*",
        nth: int = 1,
        times: int | None = 1,
        seconds: float = 120.0,
    ) -> None:
        """Let the `nth` request from now that matches (shell patterns) go wrong; see `faults.Fault` for how.

        Every request counts, a library's own repeats too. `seconds` is how long `slow` and `hang_*` take.
        """
        self._faults.plans.append(Plan(Fault(fault), method, path, nth, times, seconds))

    def clear_faults(self) -> None:
        """Nothing goes wrong any more."""
        self._faults.plans.clear()

    def add_webhook(self, url: str, secret: str, events: list[str] | None = None) -> Json:
        """Send events to `url` from now on; the same address again only changes secret and events."""
        for row in self._core.store.every("webhook_endpoint"):
            if row["url"] == url:
                row |= {"_secret": secret, "enabled_events": events or ["*"]}
                return public(self._core.store.save(row))
        return public(make_endpoint(self._core, url, secret, events or ["*"]))

    def hold_events(self, *patterns: str) -> None:
        """Keep back events of these types (`charge.*`), all if none are named."""
        self._webhooks.hold(*patterns)

    def release_events(self, order: Order = "given", count: int | None = None) -> int:
        """Send what was held back, `given`, `reversed` or `shuffled`; returns how many deliveries."""
        return self._webhooks.release(order, count)

    def duplicate_events(self, times: int = 2) -> None:
        """Deliver every event so many times from now on."""
        self._webhooks.repeat = times

    def resend_event(self, event_id: str) -> None:
        """Deliver an event once more."""
        self._webhooks.resend(event_id)

    def tick(self) -> None:
        """Do what is due by the clock; call it when the clock was moved."""
        self._api.tick()

    # What happened.

    def requests(self) -> list[Json]:
        """The log of API requests, oldest first."""
        return list(self._api.log)

    def charges(self) -> list[Json]:
        """All successful charges, oldest first: the money that was really taken."""
        return [public(row) for row in self._core.store.every("charge") if row["paid"]]

    def events(self) -> list[Json]:
        """All events, oldest first."""
        return [public(row) for row in self._core.store.every("event")]

    # The same over HTTP.

    def routes(self) -> list[Route]:
        """To be mounted at `/control`."""
        return [Route("/{name}", self._read, methods=["GET"]), Route("/{name}", self._act, methods=["POST"])]

    async def _read(self, request: Request) -> Response:
        readers = {"requests": self.requests, "charges": self.charges, "events": self.events}
        reader = readers.get(request.path_params["name"])
        if reader is None:
            return JSONResponse({"error": f"one of {', '.join(readers)}"}, HTTPStatus.NOT_FOUND)
        return JSONResponse(reader())

    async def _act(self, request: Request) -> Response:
        name = request.path_params["name"]
        if name not in _ACTS:
            return JSONResponse({"error": f"one of {', '.join(_ACTS)}"}, HTTPStatus.NOT_FOUND)
        try:
            arguments = json.loads(await request.body() or b"{}")
            patterns = arguments.pop("patterns", [])
            result = getattr(self, name)(*patterns, **arguments)
        except ApiError as error:
            return JSONResponse({"error": error.error}, error.status)
        except entry.Invalid as error:
            return JSONResponse({"fields": error.fields}, HTTPStatus.UNPROCESSABLE_ENTITY)
        except (TypeError, ValueError, KeyError, AttributeError) as error:
            refusal = invalid(f"{name}: {error}")
            return JSONResponse({"error": refusal.error}, refusal.status)
        finally:
            self._core.store.flush()
        return JSONResponse(result)
