"""Amounts (rules.md 1.1, 1.4)."""

from decimal import ROUND_HALF_UP, Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.errors import InvalidAmount
from billing.money import Currency

USD, JPY, KWD, MGA = (Currency.of(code) for code in ("usd", "JPY", " kwd ", "mga"))


@pytest.mark.parametrize(
    ("currency", "text", "minor"),
    [
        (USD, "5", 500),
        (USD, "5.0", 500),
        (USD, "5.00", 500),
        (USD, "5,00", 500),
        (USD, "$5.00", 500),
        (USD, " $ 5 ", 500),
        (USD, "5 USD", 500),
        (USD, "usd 5.5", 550),
        (USD, "0.01", 1),
        (USD, "5.000", 500),
        (USD, "999999999999", 99999999999900),
        (JPY, "500", 500),
        (JPY, "¥500", 500),
        (JPY, "500.0", 500),
        (KWD, "0.500", 500),
        (KWD, "1.23", 1230),
        (MGA, "5", 500),
    ],
)
def test_amounts_as_people_type_them(currency: Currency, text: str, minor: int) -> None:
    assert currency.parse(text) == minor


@pytest.mark.parametrize(
    ("currency", "text"),
    [
        (USD, ""),
        (USD, "five"),
        (USD, "0"),
        (USD, "0.00"),
        (USD, "-5"),
        (USD, "5.001"),
        (USD, "1e3"),
        (USD, "1,000.00"),
        (USD, "\u0665"),
        (USD, "5 EUR"),
        (USD, "9999999999999"),
        (USD, "5."),
        (USD, ".5"),
        (USD, "NaN"),
        (USD, "5\n6"),
        (JPY, "0.5"),
        (KWD, "0.123"),
        (MGA, "0.50"),
    ],
)
def test_what_is_no_amount_is_refused(currency: Currency, text: str) -> None:
    with pytest.raises(InvalidAmount):
        currency.parse(text)


@pytest.mark.parametrize("code", ["", "us", "dollars", "12a", "us1"])
def test_what_is_no_currency_is_refused(code: str) -> None:
    with pytest.raises(ValueError, match="ISO 4217"):
        Currency.of(code)


@given(st.integers(1, 10**14), st.sampled_from([USD, JPY, KWD, MGA]))
def test_plain_and_parse_are_inverse(minor: int, currency: Currency) -> None:
    amount = minor * currency.step
    if amount < 10 ** (12 + currency.exponent):
        assert currency.parse(currency.plain(amount)) == amount


@given(st.integers(0, 10**12), st.integers(1, 10**6))
def test_rounding_is_half_up_to_the_step(numerator: int, denominator: int) -> None:
    """As decimal arithmetic rounds, for a step of one and of ten."""
    exact = Decimal(numerator) / Decimal(denominator)
    if exact * denominator == numerator:  # the quotient was exact, so that halves are halves
        assert USD.round_half_up(numerator, denominator) == int(exact.quantize(Decimal(1), ROUND_HALF_UP))
    rounded = KWD.round_half_up(numerator, denominator)
    assert rounded % 10 == 0
    assert abs(rounded * denominator - numerator) * 2 <= 10 * denominator
