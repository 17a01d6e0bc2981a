"""The pages that people see: Checkout, the bank's question, and what is shown when there is nothing to pay."""

import html
import json
from functools import cache
from http import HTTPStatus
from pathlib import Path
from string import Template

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import FileResponse, HTMLResponse, JSONResponse, Response
from starlette.routing import Route

from bot.demo.stripe import checkout, currencies, entry
from bot.demo.stripe.cards import BY_NUMBER, OFFERED
from bot.demo.stripe.core import Core
from bot.demo.stripe.errors import ApiError, Json

_WEB = Path(__file__).with_name("web")
_ASSETS = {"checkout.css": "text/css", "checkout.js": "text/javascript", "bank.js": "text/javascript"}
_FAILED = {
    "authentication": "We are unable to authenticate your payment method. Please choose a different payment method "
    "and try again.",
    "declined": "Your card was declined. Try another card.",
}


@cache
def _template(name: str) -> Template:
    return Template((_WEB / name).read_text(encoding="utf-8"))


def _page(name: str, values: dict[str, str], status: int = 200) -> HTMLResponse:
    return HTMLResponse(_template(name).substitute(values), status, headers={"Cache-Control": "no-store"})


def _note(title: str, text: str, *, icon: str, status: int = 200, back: str | None = None) -> HTMLResponse:
    link = f'<a class="quiet" data-testid="back" href="{html.escape(back)}">Go back</a>' if back else ""
    shown = {"title": html.escape(title), "text": html.escape(text), "icon": icon, "link": link}
    return _page("note.html", shown, status)


class Pages:
    """Routes below `/pay`."""

    def __init__(self, core: Core, merchant: str) -> None:
        self._core = core
        self._merchant = merchant

    def routes(self) -> list[Route]:
        """To be mounted at `/pay`."""
        return [
            Route("/assets/{name}", self.asset),
            Route("/receipts/{intent}", self.receipt),
            Route("/authenticate/{intent}", self.bank),
            Route("/authenticate/{intent}", self.answer_bank, methods=["POST"]),
            Route("/{session}", self.show),
            Route("/{session}", self.submit, methods=["POST"]),
        ]

    async def asset(self, request: Request) -> Response:
        """Style and script."""
        name = request.path_params["name"]
        if name not in _ASSETS:
            raise HTTPException(HTTPStatus.NOT_FOUND)
        return FileResponse(_WEB / name, media_type=_ASSETS[name], headers={"Cache-Control": "no-cache"})

    def _session(self, request: Request) -> Json | None:
        checkout.due(self._core)
        self._core.store.flush()
        return self._core.store.get("checkout.session", request.path_params["session"])

    async def show(self, request: Request) -> Response:
        """The payment page, or why there is none."""
        session = self._session(request)
        if session is None:
            return _note(
                "Something went wrong",
                "The page you were looking for could not be found. Please check the URL or contact the merchant.",
                icon="!",
                status=HTTPStatus.NOT_FOUND,
            )
        if session["status"] == "expired":
            text = "You can return to the merchant and ask for a new link. Nothing was charged."
            return _note("This link has expired", text, icon="!", back=session["cancel_url"])
        if session["status"] == "complete":
            text = "There is nothing more to do here: you can close this page."
            return _note("All done", text, icon="✓", back=checkout.success_url(session))
        return self._form(session, _FAILED.get(request.query_params.get("failed", ""), ""))

    def _form(self, session: Json, alert: str) -> Response:
        setup = session["mode"] == "setup"
        customer = self._core.store.get("customer", session["customer"] or "") or {}
        email = customer.get("email") or session["customer_email"] or ""
        back = session["cancel_url"]
        values = {
            "merchant": html.escape(self._merchant),
            "base": html.escape(self._core.base_url),
            "summary": _setup_summary() if setup else _order(session),
            "button": "Save card" if setup else f"Pay {_money(session['amount_total'], session['currency'])}",
            "email": html.escape(email),
            "email_lock": "readonly" if email else "",
            "alert": html.escape(alert),
            "alert_state": "" if alert else "hidden",
            "hints": _hints(),
            "back": f'<a class="quiet" data-testid="cancel" href="{html.escape(back)}">← Back</a>' if back else "",
            "terms": _terms(session, self._merchant),
        }
        return _page("checkout.html", values)

    async def submit(self, request: Request) -> Response:
        """The button was pressed; answers JSON: `redirect`, or `fields` and `message` that say what is wrong."""
        session = self._session(request)
        if session is None:
            return JSONResponse({"message": "This page does not exist."}, HTTPStatus.NOT_FOUND)
        try:
            form = json.loads(await request.body())
            typed = entry.read({str(key): str(value) for key, value in form.items()}, self._core.now())
            where = checkout.submit(self._core, session, typed)
        except (ValueError, AttributeError):
            return JSONResponse({"message": "The form could not be read."}, HTTPStatus.BAD_REQUEST)
        except entry.Invalid as error:
            return JSONResponse({"fields": error.fields}, HTTPStatus.UNPROCESSABLE_ENTITY)
        except ApiError as error:
            reload = session["status"] != "open"
            return JSONResponse(
                {"message": str(error), "code": error.error.get("code"), "reload": reload}, error.status
            )
        finally:
            self._core.store.flush()
        return JSONResponse({"redirect": where})

    def _intent(self, request: Request) -> Json | None:
        name = request.path_params["intent"]
        intent = self._core.store.get("payment_intent", name) or self._core.store.get("setup_intent", name)
        allowed = intent is not None and request.query_params.get("key") == intent["client_secret"]
        return intent if allowed else None

    async def bank(self, request: Request) -> Response:
        """The page of the bank that asks the owner of the card."""
        intent = self._intent(request)
        if intent is None:
            return _note("Something went wrong", "This page does not exist.", icon="!", status=HTTPStatus.NOT_FOUND)
        if intent["status"] != "requires_action":
            words = {"succeeded": "This was already approved.", "canceled": "This payment was canceled."}
            text = words.get(intent["status"], "The bank is not waiting for an answer any more.")
            return _note("Nothing to confirm", text, icon="✓" if intent["status"] == "succeeded" else "!")
        method = self._core.store.need("payment_method", intent["payment_method"])
        amount = "no charge, the card is saved"
        if intent["object"] == "payment_intent":
            amount = _money(intent["amount"], intent["currency"])
        card = f"{method['card']['brand'].title()} •••• {method['card']['last4']}"
        about = {
            "merchant": html.escape(self._merchant),
            "amount": html.escape(amount),
            "card": html.escape(card),
            "base": html.escape(self._core.base_url),
        }
        return _page("bank.html", about)

    async def answer_bank(self, request: Request) -> Response:
        """Complete or Fail; answers JSON: `redirect`, or `message` if the merchant named no address."""
        intent = self._intent(request)
        if intent is None:
            return JSONResponse({"message": "This page does not exist."}, HTTPStatus.NOT_FOUND)
        try:
            approve = json.loads(await request.body()).get("approve") is True
            where = checkout.authenticate(self._core, intent, approve=approve)
        except (ValueError, AttributeError):
            return JSONResponse({"message": "The answer could not be read."}, HTTPStatus.BAD_REQUEST)
        except ApiError as error:
            return JSONResponse({"message": str(error)}, error.status)
        finally:
            self._core.store.flush()
        return JSONResponse({"redirect": where, "message": "Done. You can close this page."})

    async def receipt(self, request: Request) -> Response:
        """What was paid."""
        intent = self._core.store.get("payment_intent", request.path_params["intent"])
        if intent is None or intent["status"] != "succeeded":
            return _note("No receipt", "There is no receipt at this address.", icon="!", status=HTTPStatus.NOT_FOUND)
        text = f"{_money(intent['amount_received'], intent['currency'])} paid to {self._merchant}."
        return _note("Receipt", text, icon="✓")


def _money(amount: int, currency: str) -> str:
    return currencies.show(amount, currency)


def _setup_summary() -> str:
    return (
        '<p class="label">Save your card</p><h1 data-testid="title">Save payment details</h1>'
        '<p class="muted">Nothing is charged now. Your card is kept for later payments.</p>'
    )


def _order(session: Json) -> str:
    total = html.escape(_money(session["amount_total"], session["currency"]))
    rows = "".join(
        f"<li><span>{html.escape(item['description'])}"
        f"<small>Qty {item['quantity']}</small></span>"
        f"<b>{html.escape(_money(item['amount_total'], item['currency']))}</b></li>"
        for item in session["_items"]
    )
    return (
        f'<p class="label">Pay</p><h1 data-testid="total">{total}</h1>'
        f'<ul class="items" data-testid="items">{rows}<li class="sum"><span>Total due</span><b>{total}</b></li></ul>'
    )


def _terms(session: Json, merchant: str) -> str:
    future = session["mode"] == "setup" or session["_intent_data"].get("setup_future_usage")
    if not future:
        return ""
    return f"You allow {html.escape(merchant)} to charge this card for future payments in line with their terms."


def _hints() -> str:
    rows = []
    for number in OFFERED:
        card = BY_NUMBER[number]
        title = html.escape(card.about or card.brand)
        rows.append(
            f'<button type="button" class="hint" data-number="{number}" data-testid="hint-{number}">'
            f"<b>{_spaced(number)}</b><span>{title}</span></button>"
        )
    return "".join(rows)


def _spaced(number: str) -> str:
    return " ".join(number[n : n + 4] for n in range(0, len(number), 4))
