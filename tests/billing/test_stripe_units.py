"""Amounts as Stripe counts them (rules.md 1.1), for each currency that is special."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.money import Currency
from billing.stripe_units import from_stripe, minimum, to_stripe

SPECIAL = [
    "usd",
    "eur",
    "jpy",
    "krw",
    "clp",
    "vnd",
    "isk",
    "ugx",
    "mga",
    "kwd",
    "bhd",
    "jod",
    "omr",
    "tnd",
    "huf",
    "twd",
]


@pytest.mark.parametrize(
    ("code", "typed", "units"),
    [
        ("usd", "5.00", 500),
        ("eur", "0.50", 50),
        ("jpy", "500", 500),
        ("isk", "500", 50_000),  # no decimals in ISO 4217, two at Stripe, which must be 00
        ("ugx", "500", 50_000),
        ("mga", "500.00", 500),  # two decimals in ISO 4217, none at Stripe
        ("kwd", "5.120", 5120),  # three decimals, the last must be 0
        ("huf", "175.00", 17_500),
    ],
)
def test_amounts_on_the_wire(code: str, typed: str, units: int) -> None:
    currency = Currency.of(code)
    amount = currency.parse(typed)
    assert to_stripe(currency, amount) == units
    assert from_stripe(currency, units) == amount


@pytest.mark.parametrize(("code", "amount"), [("kwd", 5125), ("mga", 550)])
def test_what_stripe_cannot_charge_is_never_sent(code: str, amount: int) -> None:
    with pytest.raises(ValueError, match="multiple"):
        to_stripe(Currency.of(code), amount)


@given(st.sampled_from(SPECIAL), st.integers(1, 10**9))
def test_there_and_back_is_the_same(code: str, steps: int) -> None:
    currency = Currency.of(code)
    amount = steps * currency.step
    assert from_stripe(currency, to_stripe(currency, amount)) == amount


@pytest.mark.parametrize("code", SPECIAL)
def test_the_minimum_can_be_charged(code: str) -> None:
    currency = Currency.of(code)
    assert minimum(currency) > 0
    assert minimum(currency) % currency.step == 0


def test_published_minimums() -> None:
    """Stripe's table, in minor units."""
    known = {code: minimum(Currency.of(code)) for code in ("usd", "gbp", "jpy", "huf", "kwd", "isk", "mga")}
    assert known == {"usd": 50, "gbp": 30, "jpy": 50, "huf": 17_500, "kwd": 1000, "isk": 1, "mga": 100}
