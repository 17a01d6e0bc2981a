"""Stripe's published test cards, and what each does when it is saved, charged or asked to authenticate."""

import hashlib
from dataclasses import dataclass
from enum import Enum
from types import MappingProxyType


class Auth(Enum):
    """When a card's bank asks its owner."""

    NEVER = "never"
    ALWAYS = "always"
    UNLESS_SET_UP = "unless_set_up"
    """On session always; off session only if it was never set up."""
    ON_SESSION = "on_session"
    """Counts as set up from the start: only asked while the owner is there, and not when it is saved."""


@dataclass(frozen=True)
class Decline:
    """Why a bank refused."""

    code: str
    reason: str
    """The decline code."""
    message: str
    advice: str | None = None


@dataclass(frozen=True)
class TestCard:
    """A number and its behaviour."""

    __test__ = False

    number: str
    brand: str = "visa"
    funding: str = "credit"
    api_name: str | None = None
    """Name under which the API takes it, `pm_card_visa`."""
    about: str = ""
    decline: Decline | None = None
    decline_on_setup: bool = True
    """Whether `decline` also refuses saving the card."""
    auth: Auth = Auth.NEVER
    can_authenticate: bool = True
    dispute: str | None = None
    """Reason of the dispute that its charges are given at once."""
    inquiry: bool = False
    refund_fails: bool = False
    cvc_check: str = "pass"

    @property
    def fingerprint(self) -> str:
        """The same for every use of one number, as at Stripe."""
        return hashlib.sha256(b"fingerprint" + self.number.encode()).hexdigest()[:16]

    @property
    def last4(self) -> str:
        """What may be shown."""
        return self.number[-4:]


_DECLINED = Decline("card_declined", "generic_decline", "Your card was declined.", "try_again_later")
_FUNDS = Decline("card_declined", "insufficient_funds", "Your card has insufficient funds.", "try_again_later")
_LOST = Decline("card_declined", "lost_card", "Your card was declined.", "do_not_try_again")
_STOLEN = Decline("card_declined", "stolen_card", "Your card was declined.", "do_not_try_again")
EXPIRED = Decline("expired_card", "expired_card", "Your card has expired.", "do_not_try_again")
_CVC = Decline("incorrect_cvc", "incorrect_cvc", "Your card's security code is incorrect.", "confirm_card_data")
_PROCESSING = Decline(
    "processing_error",
    "processing_error",
    "An error occurred while processing your card. Try again in a little bit.",
    "try_again_later",
)
_VELOCITY = Decline(
    "card_declined",
    "card_velocity_exceeded",
    "Your card was declined for making repeated attempts too frequently or exceeding its amount limit.",
    "try_again_later",
)
_BLOCKED = Decline("card_declined", "fraudulent", "Your card was declined.", "do_not_try_again")
ASK_OWNER = Decline(
    "authentication_required",
    "authentication_required",
    "Your card was declined. This transaction requires authentication.",
)

_CARDS = (
    TestCard("4242424242424242", api_name="pm_card_visa", about="succeeds"),
    TestCard("4000056655665556", funding="debit", api_name="pm_card_visa_debit", about="Visa debit"),
    TestCard("5555555555554444", "mastercard", api_name="pm_card_mastercard", about="Mastercard"),
    TestCard("2223003122003222", "mastercard"),
    TestCard("5200828282828210", "mastercard", "debit", "pm_card_mastercard_debit"),
    TestCard("5105105105105100", "mastercard", "prepaid", "pm_card_mastercard_prepaid"),
    TestCard("378282246310005", "amex", api_name="pm_card_amex", about="American Express"),
    TestCard("371449635398431", "amex"),
    TestCard("6011111111111117", "discover", api_name="pm_card_discover"),
    TestCard("6011000990139424", "discover"),
    TestCard("6011981111111113", "discover", "debit"),
    TestCard("3056930009020004", "diners", api_name="pm_card_diners"),
    TestCard("36227206271667", "diners"),
    TestCard("3566002020360505", "jcb", api_name="pm_card_jcb"),
    TestCard("6200000000000005", "unionpay", api_name="pm_card_unionpay"),
    TestCard("6200000000000047", "unionpay"),
    TestCard("4000000000000077", about="funds available at once", api_name="pm_card_bypassPending"),
    TestCard("4000000000000002", about="declined", api_name="pm_card_visa_chargeDeclined", decline=_DECLINED),
    TestCard(
        "4000000000009995",
        about="insufficient funds",
        api_name="pm_card_visa_chargeDeclinedInsufficientFunds",
        decline=_FUNDS,
    ),
    TestCard("4000000000009987", about="lost", api_name="pm_card_visa_chargeDeclinedLostCard", decline=_LOST),
    TestCard("4000000000009979", about="stolen", api_name="pm_card_visa_chargeDeclinedStolenCard", decline=_STOLEN),
    TestCard("4000000000000069", about="expired", api_name="pm_card_chargeDeclinedExpiredCard", decline=EXPIRED),
    TestCard(
        "4000000000000127",
        about="wrong security code",
        api_name="pm_card_chargeDeclinedIncorrectCvc",
        decline=_CVC,
        cvc_check="fail",
    ),
    TestCard(
        "4000000000000119",
        about="processing error",
        api_name="pm_card_chargeDeclinedProcessingError",
        decline=_PROCESSING,
    ),
    TestCard(
        "4000000000006975",
        about="too many attempts",
        api_name="pm_card_visa_chargeDeclinedVelocityLimitExceeded",
        decline=_VELOCITY,
    ),
    TestCard(
        "4000000000000341",
        about="saves, then declines when charged",
        api_name="pm_card_chargeCustomerFail",
        decline=_DECLINED,
        decline_on_setup=False,
    ),
    TestCard("4100000000000019", about="blocked as fraud", api_name="pm_card_radarBlock", decline=_BLOCKED),
    TestCard(
        "4000002500003155",
        about="3-D Secure once, when saved",
        api_name="pm_card_authenticationRequiredOnSetup",
        auth=Auth.UNLESS_SET_UP,
    ),
    TestCard(
        "4000002760003184",
        about="3-D Secure every time",
        api_name="pm_card_authenticationRequired",
        auth=Auth.ALWAYS,
    ),
    TestCard(
        "4000003800000446",
        about="3-D Secure, counts as set up",
        api_name="pm_card_authenticationRequiredSetupForOffSession",
        auth=Auth.ON_SESSION,
    ),
    TestCard(
        "4000008260003178",
        about="3-D Secure, then insufficient funds",
        api_name="pm_card_authenticationRequiredChargeDeclinedInsufficientFunds",
        auth=Auth.UNLESS_SET_UP,
        decline=_FUNDS,
        decline_on_setup=False,
    ),
    TestCard("4000000000003220", api_name="pm_card_threeDSecure2Required", auth=Auth.ALWAYS),
    TestCard(
        "4000008400001629",
        api_name="pm_card_threeDSecureRequiredChargeDeclined",
        auth=Auth.ALWAYS,
        decline=_DECLINED,
        decline_on_setup=False,
    ),
    TestCard("4000000000000259", about="disputed as fraud", api_name="pm_card_createDispute", dispute="fraudulent"),
    TestCard("4000000000002685", api_name="pm_card_createDisputeProductNotReceived", dispute="product_not_received"),
    TestCard("4000000000001976", api_name="pm_card_createDisputeInquiry", dispute="fraudulent", inquiry=True),
    TestCard("4000000000005126", about="refund fails later", api_name="pm_card_refundFail", refund_fails=True),
)
_by_number = {card.number: card for card in _CARDS}
BY_NUMBER = MappingProxyType(_by_number)
BY_API_NAME = MappingProxyType({card.api_name: card for card in _CARDS if card.api_name})
OFFERED = (
    "4242424242424242",
    "5555555555554444",
    "4000002500003155",
    "4000002760003184",
    "4000000000000002",
    "4000000000009995",
    "4000000000000341",
)
"""The numbers for which the payment page has a button."""


def is_luhn(number: str) -> bool:
    """Whether the check digit is right."""
    total = 0
    for n, digit in enumerate(reversed(number)):
        value = int(digit) * (1 + n % 2)
        total += value - 9 if value > 9 else value  # noqa: PLR2004 - the digit sum of a two-digit number
    return total % 10 == 0


@dataclass(frozen=True)
class Verdict:
    """What a bank says to an attempt."""

    ask_owner: bool = False
    decline: Decline | None = None


def judge_charge(card: TestCard, *, off_session: bool, set_up: bool, authenticated: bool) -> Verdict:
    """The answer to a charge.

    Args:
        card: the card charged.
        off_session: the owner is not there to be asked.
        set_up: the card was saved for off-session use before.
        authenticated: the owner has just said yes.
    """
    wants = {
        Auth.NEVER: False,
        Auth.ALWAYS: True,
        Auth.UNLESS_SET_UP: not (off_session and set_up),
        Auth.ON_SESSION: not off_session,
    }[card.auth]
    if wants and not authenticated:
        return Verdict(decline=ASK_OWNER) if off_session else Verdict(ask_owner=True)
    return Verdict(decline=card.decline)


def judge_setup(card: TestCard, *, off_session: bool, authenticated: bool) -> Verdict:
    """The answer to saving a card for later."""
    if card.decline is not None and card.decline_on_setup:
        return Verdict(decline=card.decline)
    if card.auth in {Auth.ALWAYS, Auth.UNLESS_SET_UP} and not authenticated:
        return Verdict(decline=ASK_OWNER) if off_session else Verdict(ask_owner=True)
    return Verdict()
