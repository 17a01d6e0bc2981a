"""The gateway on Stripe's own library: the only import of it (rules.md 6.5 to 6.7, 7.1).

Retries are ours, with the keys of our rows, so the library makes none. What Stripe answers is sorted into four:
it happened, it did not (`GatewayRefused`), not now (`GatewayBusy`), and nobody knows (`OutcomeUnknown`).
"""

import asyncio
import contextlib
import hashlib
import json
from collections.abc import Awaitable, Callable, Mapping
from http import HTTPStatus
from typing import TypeVar, cast

import stripe

from billing.gateway import (
    CARD_GONE,
    CardDetails,
    Charge,
    ChargeRequest,
    ChargeStatus,
    Event,
    GatewayBusy,
    GatewayDenied,
    GatewayError,
    GatewayRefused,
    OutcomeUnknown,
    Page,
    PageRequest,
)
from billing.models import CheckoutPurpose
from billing.money import Currency
from billing.stripe_shapes import PAYMENT_KEY, Json, card_of, charge_of, event_about, needs_its_owner, page_of
from billing.stripe_units import minimum, to_stripe

_TIMEOUT_S = 25.0
"""For one call in all. Stripe answers a slow bank within 20 s or so; a webhook tells the rest."""
_TOLERANCE_S = 300
_PAGE_OBJECTS = ["setup_intent", "payment_intent"]
_CARD_ONLY = ["card"]
_NAME_MOST = 150

_LANGUAGES = "bg cs da de el en es et fi fil fr hr hu id it ja ko lt lv ms mt nb nl pl pt ro ru sk sl sv th tr vi zh"
_LOCALES = frozenset(_LANGUAGES.split())

T = TypeVar("T")
_Method = Callable[..., Awaitable[stripe.StripeObject]]


class _Answer(Exception):
    """What Stripe answered instead of a result; the cause of `GatewayRefused`, for callers that look closer."""

    def __init__(self, status: int, error: Json, *, replayed: bool) -> None:
        """Keep the status, the error object, and whether it came out of the key's store."""
        super().__init__(f"Stripe answered {status} {error.get('code') or error.get('type') or ''}".strip())
        self.status = status
        self.error = error
        self.replayed = replayed


class StripeGateway:
    """One Stripe account, in the one configured currency."""

    def __init__(
        self,
        *,
        api_key: str,
        currency: Currency,
        webhook_secret: str = "",
        api_url: str = "",
        timeout_s: float = _TIMEOUT_S,
    ) -> None:
        """Take the secrets as they are; an empty URL means Stripe's own."""
        self._currency = currency
        self._webhook_secret = webhook_secret
        self._timeout_s = timeout_s
        self._mode = "live" if "_live_" in api_key else "test"
        self._http = stripe.HTTPXClient(timeout=timeout_s)
        self._stripe = stripe.StripeClient(
            api_key,
            http_client=self._http,
            base_addresses={"api": api_url.rstrip("/")} if api_url else None,
            max_network_retries=0,
        )

    @property
    def minimum(self) -> int:
        """The least that a card can be charged, in minor units."""
        return minimum(self._currency)

    async def create_customer(self, *, key: str, customer_id: int, name: str, email: str | None) -> str:
        """Return the id of a new customer.

        A name changed between two tries with one key would be refused for ever, so the key holds them too.
        """
        params: Json = {"metadata": {"customer_id": str(customer_id)}}
        if name.strip():
            params["name"] = name.strip()[:_NAME_MOST]
        if email:
            params["email"] = email
        digest = hashlib.sha256(json.dumps(params, sort_keys=True).encode()).hexdigest()[:16]
        made = await self._call(self._stripe.v1.customers.create_async, params, _keyed(f"{key}-{digest}"))
        return self._decode(made, lambda thing: str(thing["id"]))

    async def open_page(self, request: PageRequest) -> Page:
        """Open a Checkout session that takes cards only."""
        params = self._page_params(request)
        session = await self._call(self._stripe.v1.checkout.sessions.create_async, params, _keyed(request.key))
        return self._decode(session, self._page)

    def _page_params(self, request: PageRequest) -> Json:
        params: Json = {
            "allowed_payment_method_types": _CARD_ONLY,
            "cancel_url": request.cancel_url,
            "client_reference_id": str(request.checkout_id),
            "currency": self._currency.code,
            "customer": request.customer_provider_id,
            "expand": _PAGE_OBJECTS,
            "locale": request.language if request.language in _LOCALES else "auto",
            "metadata": {"checkout_id": str(request.checkout_id)},
            "success_url": request.success_url,
        }
        if request.purpose is CheckoutPurpose.CARD:
            return params | {"mode": "setup"}
        amount = to_stripe(self._currency, request.amount)
        price = {"currency": self._currency.code, "product_data": {"name": request.title}, "unit_amount": amount}
        return params | {
            "mode": "payment",
            "line_items": [{"price_data": price, "quantity": 1}],
            "payment_intent_data": {
                "description": request.title,
                "metadata": {PAYMENT_KEY: str(request.payment_id)},
            },
        }

    async def get_page(self, provider_id: str) -> Page | None:
        """Return a Checkout session as it is now."""
        sessions = self._stripe.v1.checkout.sessions
        return await self._find(self._page, sessions.retrieve_async, provider_id, {"expand": _PAGE_OBJECTS})

    async def expire_page(self, provider_id: str) -> Page:
        """Close a Checkout session; one that is not open any more is returned as it is."""
        # Complete or expired: reading says which.
        with contextlib.suppress(GatewayRefused):
            await self._call(self._stripe.v1.checkout.sessions.expire_async, provider_id)
        page = await self.get_page(provider_id)
        if page is None:
            raise GatewayRefused("Stripe does not know this Checkout session")
        return page

    async def charge(self, request: ChargeRequest) -> Charge:
        """Charge a saved card off session.

        A bank that wants its owner makes Stripe answer 402 `authentication_required`, with the PaymentIntent waiting
        for a payment method. Confirming that same PaymentIntent with the same card *on* session gives it a hosted
        3-D Secure page (`next_action.redirect_to_url`, because there is a `return_url` and no Stripe.js): one
        PaymentIntent for ever, so whatever happens it can be paid at most once.
        """
        intents = self._stripe.v1.payment_intents
        try:
            made = await self._call(intents.create_async, self._charge_params(request), _keyed(request.key))
        except GatewayRefused as refused:
            return await self._declined(request, refused)
        if _is_replay(made.last_response.headers if made.last_response else None):
            return await self._charge_now(made["id"])
        return self._decode(made, self._charge)

    def _charge_params(self, request: ChargeRequest) -> Json:
        return {
            "allowed_payment_method_types": _CARD_ONLY,
            "amount": to_stripe(self._currency, request.amount),
            "confirm": True,
            "currency": self._currency.code,
            "customer": request.customer_provider_id,
            "description": request.title,
            "metadata": {PAYMENT_KEY: str(request.payment_id)},
            "off_session": True,
            "payment_method": request.card_provider_id,
            "return_url": request.return_url,
        }

    async def _declined(self, request: ChargeRequest, refused: GatewayRefused) -> Charge:
        answer = refused.__cause__
        if not isinstance(answer, _Answer):
            raise refused
        intent = answer.error.get("payment_intent")
        if answer.status == HTTPStatus.PAYMENT_REQUIRED and isinstance(intent, dict):
            if needs_its_owner(answer.error):
                return await self._ask_owner(request, intent["id"])
            # An answer out of the key's store tells how it was then; the PaymentIntent may have moved since.
            return await self._charge_now(intent["id"]) if answer.replayed else charge_of(intent, self._currency)
        if answer.error.get("param") == "payment_method" or answer.error.get("code") == "resource_missing":
            gone = await self.get_card(request.card_provider_id)
            if gone is None or not gone.customer_provider_id:
                return Charge("", ChargeStatus.DECLINED, request.amount, request.payment_id, CARD_GONE, hard=True)
        raise refused

    async def _ask_owner(self, request: ChargeRequest, intent_id: str) -> Charge:
        confirm = self._stripe.v1.payment_intents.confirm_async
        params: Json = {"payment_method": request.card_provider_id, "return_url": request.return_url}
        try:
            await self._call(confirm, intent_id, params, _keyed(f"{request.key}-owner"))
        except GatewayRefused as refused:
            if not isinstance(refused.__cause__, _Answer):
                raise
            # Declined after all, or no longer to be confirmed because it went on: reading says which.
        return await self._charge_now(intent_id)

    async def _charge_now(self, provider_id: str) -> Charge:
        charge = await self.get_charge(provider_id)
        if charge is None:
            raise OutcomeUnknown("Stripe does not show a PaymentIntent that it had named")
        return charge

    async def get_charge(self, provider_id: str) -> Charge | None:
        """Return a PaymentIntent as it is now."""
        return await self._find(self._charge, self._stripe.v1.payment_intents.retrieve_async, provider_id)

    async def find_charge(self, customer_provider_id: str, payment_id: int) -> Charge | None:
        """Return the customer's PaymentIntent that carries our payment id.

        Listed, not searched: Stripe's search index may be a minute or, in an outage, hours behind. And listed from
        the newest on without asking since when: Stripe's clock and ours need not agree.
        """
        params: Json = {"customer": customer_provider_id, "limit": 100}
        while True:
            listed = await self._call(self._stripe.v1.payment_intents.list_async, params)
            page: Json = self._decode(listed, dict)
            for intent in page["data"]:
                charge = charge_of(intent, self._currency)
                if charge.payment_id == payment_id:
                    return charge
            if not page.get("has_more"):
                return None
            params["starting_after"] = page["data"][-1]["id"]

    async def cancel_charge(self, provider_id: str) -> Charge:
        """Cancel a PaymentIntent; one that is beyond it is returned as it is."""
        # Succeeded or cancelled before: reading says which.
        with contextlib.suppress(GatewayRefused):
            await self._call(self._stripe.v1.payment_intents.cancel_async, provider_id)
        charge = await self.get_charge(provider_id)
        if charge is None:
            raise GatewayRefused("Stripe does not know this PaymentIntent")
        return charge

    async def get_card(self, provider_id: str) -> CardDetails | None:
        """Return a PaymentMethod as it is now."""
        return await self._find(card_of, self._stripe.v1.payment_methods.retrieve_async, provider_id)

    async def detach_card(self, provider_id: str) -> None:
        """Detach a PaymentMethod; one that is missing or detached is success."""
        try:
            await self._call(self._stripe.v1.payment_methods.detach_async, provider_id)
        except GatewayRefused:
            card = await self.get_card(provider_id)
            if card is not None and card.customer_provider_id:
                raise

    def parse_event(self, body: bytes, signature: str) -> Event:
        """Return the event of a webhook call, its signature proven and not older than five minutes."""
        try:
            stripe.WebhookSignature.verify_header(body, signature, self._webhook_secret, _TOLERANCE_S)
            payload: Json = json.loads(body)
            kind, object_id = event_about(payload)
            return Event(str(payload["id"]), str(payload["type"]), kind, str(object_id), payload)
        except stripe.SignatureVerificationError as error:
            raise GatewayRefused("the signature does not fit, or is too old") from error
        except (ValueError, LookupError, TypeError, AttributeError) as error:
            raise GatewayRefused("the body is no event") from error

    async def check(self) -> str:
        """Return one line for `doctor`."""
        await self._call(self._stripe.v1.payment_intents.list_async, {"limit": 1})
        hook = "webhook secret set" if self._webhook_secret else "no webhook secret: payments are noticed by asking"
        return f"Stripe answers, {self._mode} mode, API {stripe.api_version}, {hook}"

    async def close(self) -> None:
        """Let go of connections."""
        close = cast("Callable[[], Awaitable[None]]", self._http.close_async)  # the library leaves it untyped
        await close()

    # --- one way to call, one way to read

    def _page(self, session: Json) -> Page:
        return page_of(session, self._currency)

    def _charge(self, intent: Json) -> Charge:
        return charge_of(intent, self._currency)

    async def _find(self, shape: Callable[[Json], T], method: _Method, *args: object) -> T | None:
        """Call, with `None` for what Stripe does not know."""
        try:
            return self._decode(await self._call(method, *args), shape)
        except GatewayRefused as refused:
            if isinstance(refused.__cause__, _Answer) and refused.__cause__.status == HTTPStatus.NOT_FOUND:
                return None
            raise

    async def _call(self, method: _Method, *args: object) -> stripe.StripeObject:
        """Call the library, and sort what it raises."""
        try:
            async with asyncio.timeout(self._timeout_s):
                return await method(*args)
        except (TimeoutError, stripe.APIConnectionError) as error:
            raise OutcomeUnknown("Stripe did not answer") from error
        except stripe.StripeError as error:
            raise _sorted(error) from _answer(error)
        except (ValueError, LookupError, TypeError, AttributeError) as error:
            # The library met something that is not what the API gives: a proxy's page, half an answer.
            raise OutcomeUnknown("Stripe's answer cannot be read") from error

    def _decode(self, thing: stripe.StripeObject, shape: Callable[[Json], T]) -> T:
        try:
            return shape(thing.to_dict())
        except (ValueError, LookupError, TypeError, AttributeError) as error:
            raise OutcomeUnknown("Stripe's answer cannot be read") from error


def _keyed(key: str) -> dict[str, str]:
    return {"idempotency_key": key}


def _is_replay(headers: Mapping[str, str] | None) -> bool:
    return (headers or {}).get("idempotent-replayed") == "true"


def _answer(error: stripe.StripeError) -> _Answer | None:
    """Return what Stripe itself said; a proxy's page or half an answer is none of it."""
    body = error.json_body
    told = body.get("error") if isinstance(body, dict) else None
    if not isinstance(told, dict) or error.http_status is None:
        return None
    return _Answer(error.http_status, told, replayed=_is_replay(error.headers))


def _sorted(error: stripe.StripeError) -> GatewayError:
    """Return which of the three it is; the words are ours, since Stripe's may quote a key or a card."""
    answer = _answer(error)
    if answer is None:
        return OutcomeUnknown("Stripe's answer cannot be read")
    if answer.status == HTTPStatus.TOO_MANY_REQUESTS:
        return GatewayBusy(str(answer))
    if answer.status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
        return GatewayDenied(str(answer))
    # A key that was used with other parameters (a setting changed in between) was used: what it did is not known.
    if answer.error.get("type") == "idempotency_error" or answer.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return OutcomeUnknown(str(answer))
    if answer.status == HTTPStatus.CONFLICT:
        return OutcomeUnknown(str(answer))
    return GatewayRefused(str(answer))
