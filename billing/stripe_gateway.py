"""The gateway on Stripe's own library: charges, pages, cards and events (rules.md 6.5 to 6.7, 7.1).

Only the modules `stripe_*` here import that library.
"""

import contextlib
import hashlib
import json
from http import HTTPStatus

import stripe

from billing.gateway import (
    CARD_GONE,
    CardDetails,
    Charge,
    ChargeRequest,
    ChargeStatus,
    Event,
    GatewayRefused,
    OutcomeUnknown,
    Page,
    PageRequest,
)
from billing.models import CheckoutPurpose
from billing.stripe_back import StripeBack
from billing.stripe_calls import Answer, is_replay, keyed
from billing.stripe_shapes import PAYMENT_KEY, Json, card_of, charge_of, event_about, needs_its_owner
from billing.stripe_units import to_stripe

_TOLERANCE_S = 300
_PAGE_OBJECTS = ["setup_intent", "payment_intent"]
_CARD_ONLY = ["card"]
_NAME_MOST = 150

_LANGUAGES = "bg cs da de el en es et fi fil fr hr hu id it ja ko lt lv ms mt nb nl pl pt ro ru sk sl sv th tr vi zh"
_LOCALES = frozenset(_LANGUAGES.split())


class StripeGateway(StripeBack):
    """One Stripe account, in the one configured currency."""

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
        made = await self._call(self._stripe.v1.customers.create_async, params, keyed(f"{key}-{digest}"))
        return self._decode(made, lambda thing: str(thing["id"]))

    async def open_page(self, request: PageRequest) -> Page:
        """Open a Checkout session that takes cards only."""
        params = self._page_params(request)
        session = await self._call(self._stripe.v1.checkout.sessions.create_async, params, keyed(request.key))
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
            made = await self._call(intents.create_async, self._charge_params(request), keyed(request.key))
        except GatewayRefused as refused:
            return await self._declined(request, refused)
        if is_replay(made.last_response.headers if made.last_response else None):
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
        if not isinstance(answer, Answer):
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
            await self._call(confirm, intent_id, params, keyed(f"{request.key}-owner"))
        except GatewayRefused as refused:
            if not isinstance(refused.__cause__, Answer):
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
        mine: Json = {"customer": customer_provider_id}
        async for charge in self._listed(self._charge, self._stripe.v1.payment_intents.list_async, mine):
            if charge.payment_id == payment_id:
                return charge
        return None

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
        except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
            raise GatewayRefused("the body is no event") from error
