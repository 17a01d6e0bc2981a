"""A stand-in for Stripe: its API on the real wire format, strictly, with the hosted Checkout page and test cards."""

from bot.demo.stripe.errors import ApiError
from bot.demo.stripe.server import StripeStandIn

__all__ = ["ApiError", "StripeStandIn"]
