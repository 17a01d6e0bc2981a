"""Stripe, as far as money goes back: refunds, disputes, and lists to compare with (rules.md 10, C13)."""

from datetime import datetime

from billing.gateway import Charge, DisputeState, RefundRequest, RefundState
from billing.stripe_calls import StripeCalls, keyed
from billing.stripe_shapes import REFUND_KEY, Json, dispute_of, refund_of
from billing.stripe_units import to_stripe


class StripeBack(StripeCalls):
    """The part of the gateway that gives money back, and sees it taken back."""

    async def refund(self, request: RefundRequest) -> RefundState:
        """Refund a part of a PaymentIntent; an answer out of the key's store is read again as it is now."""
        params: Json = {
            "amount": to_stripe(self._currency, request.amount),
            "metadata": {REFUND_KEY: str(request.refund_id)},
            "payment_intent": request.charge_provider_id,
        }
        made = await self._call(self._stripe.v1.refunds.create_async, params, keyed(request.key))
        now = await self.get_refund(made["id"])
        return now or self._decode(made, self._refund)

    async def get_refund(self, provider_id: str) -> RefundState | None:
        """Return a Refund as it is now."""
        return await self._find(self._refund, self._stripe.v1.refunds.retrieve_async, provider_id)

    async def find_refund(self, charge_provider_id: str, refund_id: int) -> RefundState | None:
        """Return the Refund of a PaymentIntent that carries our id."""
        mine: Json = {"payment_intent": charge_provider_id}
        async for found in self._listed(self._refund, self._stripe.v1.refunds.list_async, mine):
            if found.refund_id == refund_id:
                return found
        return None

    async def get_dispute(self, provider_id: str) -> DisputeState | None:
        """Return a Dispute as it is now."""
        return await self._find(self._dispute, self._stripe.v1.disputes.retrieve_async, provider_id)

    async def charges_since(self, since: datetime) -> list[Charge]:
        """Return PaymentIntents made since an instant that carry a payment's id."""
        params = _since(since) | {"expand": ["data.latest_charge"]}
        listed = self._listed(self._charge, self._stripe.v1.payment_intents.list_async, params)
        return [charge async for charge in listed if charge.payment_id is not None]

    async def refunds_since(self, since: datetime) -> list[RefundState]:
        """Return Refunds made since an instant."""
        listed = self._listed(self._refund, self._stripe.v1.refunds.list_async, _since(since))
        return [refund async for refund in listed]

    async def disputes_since(self, since: datetime) -> list[DisputeState]:
        """Return Disputes opened since an instant."""
        listed = self._listed(self._dispute, self._stripe.v1.disputes.list_async, _since(since))
        return [dispute async for dispute in listed]

    def _refund(self, refund: Json) -> RefundState:
        return refund_of(refund, self._currency)

    def _dispute(self, dispute: Json) -> DisputeState:
        return dispute_of(dispute, self._currency)


def _since(instant: datetime) -> Json:
    return {"created": {"gte": int(instant.timestamp())}}
