"""Everything that billing refuses, as one tree; each error builds its own message for the log.

What people read is made by the views from the error's type and fields.
"""


class BillingError(Exception):
    """Base of all refusals; nothing was changed when one is raised out of a transaction."""


class InvalidAmount(BillingError):
    """The text is no amount of money in this currency."""

    def __init__(self, text: str, reason: str) -> None:
        """Keep the text as typed and the reason as a clause, "has more than 2 decimals"."""
        super().__init__(f"{text!r} is no amount: it {reason}")
        self.text = text
        self.reason = reason


class NotFound(BillingError):
    """There is no such thing, or it is not this customer's: the two are not told apart."""

    def __init__(self, what: str, key: object) -> None:
        """Name the kind of thing and what it was looked up by."""
        super().__init__(f"no {what} {key}")
        self.what = what
        self.key = key


class InsufficientFunds(BillingError):
    """An account does not hold what should leave it (rules.md 2.3)."""

    def __init__(self, account_id: int, amount: int) -> None:
        """Name the account and the amount in minor units."""
        super().__init__(f"account {account_id} holds less than {amount}")
        self.account_id = account_id
        self.amount = amount


class Conflict(BillingError):
    """The thing is no longer as the caller saw it: load it again and ask again."""


class CardNeeded(BillingError):
    """The last valid card stays while something may have to be charged to it (rules.md 7.3)."""

    def __init__(self, *, deployments: bool, debt: bool, usage: bool) -> None:
        """Say what it is needed for."""
        super().__init__(f"card is needed: deployments {deployments}, debt {debt}, usage {usage}")
        self.deployments = deployments
        self.debt = debt
        self.usage = usage


class BelowMinimum(BillingError):
    """Less than the card network charges at once (rules.md 6.4)."""

    def __init__(self, amount: int, minimum: int) -> None:
        """Keep both, in minor units."""
        super().__init__(f"{amount} is below the least charge of {minimum}")
        self.amount = amount
        self.minimum = minimum


class OutOfRange(BillingError):
    """An amount is less than the least, or more than the most, that is taken at once."""

    def __init__(self, amount: int, least: int, most: int) -> None:
        """Keep all three, in minor units."""
        super().__init__(f"{amount} is not between {least} and {most}")
        self.amount = amount
        self.least = least
        self.most = most


class TooMany(BillingError):
    """The customer has as many of a thing as anybody may have at once; one has to go, or to end, first."""

    def __init__(self, what: str, most: int) -> None:
        """Name the things, and how many there may be."""
        super().__init__(f"{most} {what} at once, no more")
        self.what = what
        self.most = most
