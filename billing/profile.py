"""What customers set of themselves: how invoices name them, their budget, their language."""

from enum import StrEnum

from sqlalchemy.ext.asyncio import AsyncSession

from billing import accounts
from billing.errors import BillingError
from billing.models import Customer


class Field(StrEnum):
    """What is printed of a customer on invoices issued from then on (rules.md 5.3)."""

    NAME = "name"
    ADDRESS = "address"
    TAX_ID = "tax_id"


MOST = {Field.NAME: 200, Field.ADDRESS: 500, Field.TAX_ID: 64}
"""Characters of each."""
_LINES = 8
"""Lines of an address: it stands in a corner of the page."""


class TooLong(BillingError):
    """A text has more characters or lines than an invoice has room for."""

    def __init__(self, field: Field) -> None:
        """Keep which."""
        super().__init__(f"{field.value} is too long")
        self.field = field


async def set_field(session: AsyncSession, customer: Customer, field: Field, text: str) -> Customer:
    """Set what invoices say from now on; an empty text clears it.

    Raises:
        TooLong: there is no room for it.
    """
    value = clean(text, lines=_LINES if field is Field.ADDRESS else 1)
    if len(value) > MOST[field] or value.count("\n") >= _LINES:
        raise TooLong(field)
    customer = await accounts.lock(session, customer.id)
    setattr(customer, f"billing_{field.value}", value)
    await session.flush()
    return customer


def clean(text: str, *, lines: int) -> str:
    """Return a text without what does not print and without empty lines; as one line where one is asked for."""
    kept = [" ".join(_printable(line).split()) for line in text.splitlines()]
    return ("\n" if lines > 1 else " ").join(line for line in kept if line)


def _printable(line: str) -> str:
    return "".join(letter if letter.isprintable() else " " for letter in line)


async def set_budget(session: AsyncSession, customer: Customer, amount: int | None) -> Customer:
    """Set the customer's own monthly limit, in minor units with tax, or none (C5)."""
    customer = await accounts.lock(session, customer.id)
    customer.budget = amount
    await session.flush()
    return customer


async def set_language(session: AsyncSession, customer: Customer, code: str) -> Customer:
    """Set the language in which the customer is spoken to: a code such as `ar`."""
    customer = await accounts.lock(session, customer.id)
    customer.language = code
    await session.flush()
    return customer
