"""The operator's terms of business, read once from the settings and handed to whoever needs them."""

from dataclasses import dataclass, field

from billing.money import Currency


@dataclass(frozen=True, slots=True)
class Party:
    """Who sells or buys, as printed on an invoice."""

    name: str = ""
    address: str = ""
    tax_id: str = ""

    def as_dict(self) -> dict[str, str]:
        """Return the form in which it is copied onto an invoice."""
        return {"name": self.name, "address": self.address, "tax_id": self.tax_id}


@dataclass(frozen=True, slots=True)
class Terms:
    """Terms of business; amounts in minor units.

    Attributes:
        currency: the one currency.
        seller: printed on invoices.
        tax_basis_points: tax in hundredths of a percent, on top of net prices.
        credit_limit: what a customer may owe, have used and have running, unless set for them (rules.md 3.7).
        grace_months: unpaid for so long, deployments are deleted (rules.md 9.2).
        reminder_days: days between reminders (rules.md 9.1).
        suspend_days: so many days before they are deleted, unpaid machines are powered off; 0: they are not (C17).
        card_minimum: the least that a card can be charged.
        topup_least: the least balance that can be charged at once; `topup_most` the most.
        stars_rate: what a Telegram Star is worth on the balance; 0 where none are taken.
    """

    currency: Currency
    seller: Party = field(default_factory=Party)
    tax_basis_points: int = 0
    credit_limit: int = 20_000
    grace_months: int = 3
    reminder_days: int = 7
    suspend_days: int = 0
    card_minimum: int = 50
    topup_least: int = 500
    topup_most: int = 100_000
    stars_rate: int = 0

    def with_tax(self, net: int) -> int:
        """Return a net amount with its tax, the tax rounded once (rules.md 1.4)."""
        return net + self.tax_of(net)

    def tax_of(self, net: int) -> int:
        """Return the tax on a net amount."""
        return self.currency.round_half_up(net * self.tax_basis_points, 10_000)
