"""Amounts: integers of minor units in the one configured currency (rules.md 1.1, 1.4)."""

import re
from dataclasses import dataclass
from decimal import Decimal

from billing.errors import InvalidAmount

_LONGEST = 12
"""Digits before the point; keeps every sum of amounts inside 64 bits."""

# ISO 4217, list one: every currency whose exponent is not two.
_ZERO_DECIMALS = "bif clp djf gnf isk jpy kmf krw pyg rwf ugx uyi vnd vuv xaf xof xpf"
_THREE_DECIMALS = "bhd iqd jod kwd lyd omr tnd"
_EXPONENTS = dict.fromkeys(_ZERO_DECIMALS.split(), 0) | dict.fromkeys(_THREE_DECIMALS.split(), 3)

# The card network cannot charge every minor unit of these (Stripe: "Special cases").
_STEPS = {"mga": 100} | dict.fromkeys(_THREE_DECIMALS.split(), 10)

_AMOUNT = re.compile(rf"(?P<whole>\d{{1,{_LONGEST}}})(?:[.,](?P<part>\d+))?")


@dataclass(frozen=True, slots=True)
class Currency:
    """A currency that the product can run in.

    Attributes:
        code: ISO 4217 in lower case, "usd".
        exponent: decimals of the major unit.
        step: every amount is a multiple of this many minor units.
    """

    code: str
    exponent: int
    step: int

    @classmethod
    def of(cls, code: str) -> "Currency":
        """Return the currency of an ISO 4217 code in any case.

        Raises:
            ValueError: three letters are expected.
        """
        code = code.strip().lower()
        if not re.fullmatch(r"[a-z]{3}", code):
            raise ValueError(f"{code!r} is no ISO 4217 code; expected three letters such as usd")
        return cls(code, _EXPONENTS.get(code, 2), _STEPS.get(code, 1))

    def parse(self, text: str) -> int:
        """Return the minor units of a positive amount as people type it: `5`, `5.00`, `$5`, `5,00 USD`.

        Raises:
            InvalidAmount: not a number, zero, too long, too many decimals, or no multiple of the step.
        """
        bare = re.sub(rf"(?i)^\s*(?:{self.code}|[$€£¥₹])?\s*|\s*(?:{self.code}|[$€£¥₹])?\s*$", "", text)
        match = _AMOUNT.fullmatch(bare) if bare.isascii() else None
        if match is None:
            raise InvalidAmount(text, f"is not a number such as {self.plain(10**self.exponent * 5)}")
        part = match["part"] or ""
        if len(part.rstrip("0")) > self.exponent:
            raise InvalidAmount(text, f"has more than {self.exponent} decimals")
        amount = int(match["whole"] + part[: self.exponent].ljust(self.exponent, "0"))
        if amount == 0:
            raise InvalidAmount(text, "must be more than zero")
        if amount % self.step:
            raise InvalidAmount(text, f"must be a multiple of {self.plain(self.step)}")
        return amount

    def plain(self, amount: int) -> str:
        """Return an amount without its currency, as in a file for machines: `5.00`."""
        return str(Decimal(amount).scaleb(-self.exponent))

    def round_half_up(self, numerator: int, denominator: int) -> int:
        """Return a non-negative fraction of minor units, rounded half up to the step (rules.md 1.4)."""
        steps = (2 * numerator + denominator * self.step) // (2 * denominator * self.step)
        return steps * self.step
