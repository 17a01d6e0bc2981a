"""Amounts as Stripe counts them: the same minor units, but for a few currencies (rules.md 1.1).

Facts from Stripe's published page on currencies. ISO 4217 gives `isk` and `ugx` no decimals, Stripe takes them in
hundredths that must be whole; `mga` has two decimals that Stripe does not take. Amounts with three decimals end in 0,
which `Currency.step` sees to.
"""

from types import MappingProxyType

from billing.money import Currency

_TIMES_HUNDRED = frozenset({"isk", "ugx"})
_BY_HUNDRED = frozenset({"mga"})
_HUNDRED = 100

_MINIMUM = MappingProxyType(
    {
        "aed": 200, "aud": 50, "bgn": 100, "brl": 50, "cad": 50, "chf": 50, "czk": 1500, "dkk": 250, "eur": 50,
        "gbp": 30, "hkd": 400, "huf": 17500, "inr": 50, "jpy": 50, "mxn": 1000, "myr": 200, "nok": 300, "nzd": 50,
        "pln": 200, "ron": 200, "sek": 300, "sgd": 50, "thb": 1000, "usd": 50,
    }
)  # fmt: skip


def to_stripe(currency: Currency, amount: int) -> int:
    """Return Stripe's units of an amount.

    Raises:
        ValueError: it is no multiple of the smallest step that can be charged.
    """
    if amount % currency.step:
        raise ValueError(f"{amount} {currency.code} is no multiple of {currency.step}")
    if currency.code in _TIMES_HUNDRED:
        return amount * _HUNDRED
    if currency.code in _BY_HUNDRED:
        return amount // _HUNDRED
    return amount


def from_stripe(currency: Currency, amount: int) -> int:
    """Return the amount of Stripe's units."""
    if currency.code in _TIMES_HUNDRED:
        return amount // _HUNDRED
    if currency.code in _BY_HUNDRED:
        return amount * _HUNDRED
    return amount


def minimum(currency: Currency) -> int:
    """Return the least that a card can be charged.

    Stripe publishes it for the currencies that it pays out in. Any other is converted to one of those first, at a
    rate nobody knows beforehand: one major unit is the start of an answer, Stripe's refusal is the end of it.
    """
    return _MINIMUM.get(currency.code, max(10**currency.exponent, currency.step))
