"""What billing needs of a payment provider. Amounts are minor units of the one configured currency.

Every writing call takes a key made from a row that was committed before: the same key twice is one act
(rules.md 6.5). No call is made inside a database transaction.
"""

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Protocol

from billing.models import CheckoutPurpose, DisputeStatus, EventKind, RefundStatus


class GatewayError(Exception):
    """The provider gave no result; `str(error)` holds no secret and no card data."""


class OutcomeUnknown(GatewayError):
    """Time-out, broken connection, 5xx, key in use: it may have happened. Ask again with the same key."""


class GatewayRefused(GatewayError):
    """The request is wrong as it stands (a bad key, a malformed or missing object): nothing happened."""


class GatewayDenied(GatewayRefused):
    """The provider does not let us in (a bad or restricted key): nothing happened, and the operator must mend it.

    It says nothing of an earlier call, which may have been let in.
    """


class GatewayBusy(GatewayError):
    """Rate limit: nothing happened, try later."""


CARD_GONE = "card_gone"
"""Decline code of a charge whose card was detached at the provider."""
AUTHENTICATION_REQUIRED = "authentication_required"
"""Decline code of a charge that the bank would take if its owner confirmed it."""


class ChargeStatus(StrEnum):
    """What the provider says of a charge."""

    SUCCEEDED = "succeeded"
    DECLINED = "declined"
    ACTION = "action"
    """The customer has to confirm with their bank, at `action_url`."""
    PROCESSING = "processing"
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True)
class Charge:
    """A charge as the provider shows it now.

    Attributes:
        provider_id: the provider's id of it.
        status: where it stands.
        amount: what is or would be taken.
        payment_id: our payment's id, which we put into its metadata; `None` when it is not ours.
        decline_code: the network's word for why not, empty unless declined.
        hard: declined for good: lost, stolen, expired, do not try again (rules.md 6.7).
        action_url: where the customer confirms, empty unless status is action.
        card_provider_id: the payment method, empty while there is none.
        customer_provider_id: who pays.
        refunded: what was given back of it, known of charges that were listed.
    """

    provider_id: str
    status: ChargeStatus
    amount: int
    payment_id: int | None = None
    decline_code: str = ""
    hard: bool = False
    action_url: str = ""
    card_provider_id: str = ""
    customer_provider_id: str = ""
    refunded: int = 0


@dataclass(frozen=True, slots=True)
class CardDetails:
    """A saved payment method. `fingerprint` is empty when it is no card, the customer when it is detached."""

    provider_id: str
    customer_provider_id: str
    fingerprint: str
    brand: str = ""
    last4: str = ""
    expiry_month: int = 0
    expiry_year: int = 0


class PageStatus(StrEnum):
    """What the provider says of a hosted page."""

    OPEN = "open"
    COMPLETE = "complete"
    EXPIRED = "expired"


@dataclass(frozen=True, slots=True)
class Page:
    """A hosted payment page as the provider shows it now.

    Attributes:
        provider_id: the provider's id of it.
        url: where the customer opens it; empty once it is not open.
        status: where it stands.
        card_provider_id: the payment method that was saved, for a page that adds a card.
        charge: the charge that it made, for a page that takes money.
    """

    provider_id: str
    url: str
    status: PageStatus
    card_provider_id: str = ""
    charge: Charge | None = None


@dataclass(frozen=True, slots=True)
class PageRequest:
    """A hosted page to open.

    Attributes:
        key: idempotency key.
        checkout_id: our row, put into the metadata.
        payment_id: our payment, put into the charge's metadata; `None` for adding a card.
        customer_provider_id: who pays.
        purpose: add a card, or take money.
        amount: what to take; 0 for adding a card.
        title: what it is for, in the customer's words.
        success_url: where the browser goes when it is done, `{CHECKOUT_SESSION_ID}` in it is the page's id;
            `cancel_url`: where it goes when it is given up.
        language: the customer's, as an IETF tag.
    """

    key: str
    checkout_id: int
    customer_provider_id: str
    purpose: CheckoutPurpose
    amount: int
    payment_id: int | None
    title: str
    success_url: str
    cancel_url: str
    language: str = "en"


@dataclass(frozen=True, slots=True)
class ChargeRequest:
    """A charge of a saved card while the customer is away."""

    key: str
    payment_id: int
    customer_provider_id: str
    card_provider_id: str
    amount: int
    title: str
    return_url: str


@dataclass(frozen=True, slots=True)
class RefundRequest:
    """A part of a charge to give back."""

    key: str
    refund_id: int
    charge_provider_id: str
    amount: int


@dataclass(frozen=True, slots=True)
class RefundState:
    """A refund as the provider shows it now.

    Attributes:
        provider_id: the provider's id of it.
        charge_provider_id: what it gives back.
        status: pending, succeeded or failed.
        amount: how much.
        refund_id: our row's id, which we put into its metadata; `None` when somebody else made it.
        failure: the network's word for why not.
    """

    provider_id: str
    charge_provider_id: str
    status: RefundStatus
    amount: int
    refund_id: int | None = None
    failure: str = ""


@dataclass(frozen=True, slots=True)
class DisputeState:
    """A dispute as the provider shows it now; `reason` is the network's word."""

    provider_id: str
    charge_provider_id: str
    status: DisputeStatus
    amount: int
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Event:
    """An event of the provider, its signature proven.

    Attributes:
        event_id: unique at the provider.
        type: the provider's own name for it.
        kind: what it is about.
        object_id: id of the page, charge, card, refund or dispute; its state is read again before it is believed.
        payload: the whole event, stored as it came.
    """

    event_id: str
    type: str
    kind: EventKind
    object_id: str
    payload: dict[str, object] = field(default_factory=dict)


class Gateway(Protocol):
    """A payment provider. Every call may raise `OutcomeUnknown`, `GatewayBusy` or `GatewayRefused`."""

    @property
    def minimum(self) -> int:
        """The least that a card can be charged, in minor units."""
        ...

    async def create_customer(self, *, key: str, customer_id: int, name: str, email: str | None) -> str:
        """Return the provider's id of a new customer, the same one for the same key."""
        ...

    async def open_page(self, request: PageRequest) -> Page:
        """Open a hosted page."""
        ...

    async def get_page(self, provider_id: str) -> Page | None:
        """Return a page as it is now, `None` if the provider does not know it."""
        ...

    async def expire_page(self, provider_id: str) -> Page:
        """Close an open page, and return it as it is now: it may have been completed just before."""
        ...

    async def charge(self, request: ChargeRequest) -> Charge:
        """Charge a saved card; a decline is a result, not an error.

        The same key again returns the charge as it is now. A card that the provider no longer holds is declined with
        the code `CARD_GONE` and no id: nothing was made.
        """
        ...

    async def get_charge(self, provider_id: str) -> Charge | None:
        """Return a charge as it is now, `None` if the provider does not know it."""
        ...

    async def find_charge(self, customer_provider_id: str, payment_id: int) -> Charge | None:
        """Return the customer's charge that carries our payment id, `None` if there is none."""
        ...

    async def cancel_charge(self, provider_id: str) -> Charge:
        """Cancel a charge that waits for the customer, and return it as it is now: it may have gone through."""
        ...

    async def get_card(self, provider_id: str) -> CardDetails | None:
        """Return a saved payment method as it is now, `None` if the provider does not know it."""
        ...

    async def detach_card(self, provider_id: str) -> None:
        """Remove a saved payment method from its customer; a missing or detached one is success."""
        ...

    async def refund(self, request: RefundRequest) -> RefundState:
        """Give back a part of a charge; the same key again returns the same refund.

        Raises:
            GatewayRefused: it cannot be given back to that card, or not so much of it.
        """
        ...

    async def get_refund(self, provider_id: str) -> RefundState | None:
        """Return a refund as it is now, `None` if the provider does not know it."""
        ...

    async def find_refund(self, charge_provider_id: str, refund_id: int) -> RefundState | None:
        """Return the refund of a charge that carries our id, `None` if there is none."""
        ...

    async def get_dispute(self, provider_id: str) -> DisputeState | None:
        """Return a dispute as it is now, `None` if the provider does not know it."""
        ...

    async def charges_since(self, since: datetime) -> list[Charge]:
        """Return the charges made since an instant that carry a payment's id, with what was refunded of them."""
        ...

    async def refunds_since(self, since: datetime) -> list[RefundState]:
        """Return the refunds made since an instant, whoever made them."""
        ...

    async def disputes_since(self, since: datetime) -> list[DisputeState]:
        """Return the disputes opened since an instant."""
        ...

    def parse_event(self, body: bytes, signature: str) -> Event:
        """Return the event of a webhook call.

        Raises:
            GatewayRefused: the signature is bad, the timestamp stale, or the body no event.
        """
        ...

    async def check(self) -> str:
        """Return one line for `doctor`."""
        ...

    async def check_events(self, url: str) -> str:
        """Return one line for `doctor` on what the provider tells our webhook at an address.

        Raises:
            GatewayRefused: it is told nothing, or not all; the message says which.
        """
        ...

    async def close(self) -> None:
        """Let go of connections."""
        ...
