"""Messages about what is unpaid: at once, weekly, before the deletion (rules.md 9.1, 9.3).

Words are made when a message goes out, of what is due then: who has paid meanwhile is not reminded.
"""

from datetime import datetime
from typing import Any

from sqlalchemy.ext.asyncio import AsyncSession

from billing import accounts, cards, dunning, outbox, standing, subscriptions
from billing.db import Database
from billing.dunning import Standing
from billing.models import Customer
from billing.standing import REMINDER
from billing.terms import Terms


async def remind(database: Database, *, now: datetime, terms: Terms) -> int:
    """Write every reminder that is due, and return how many; at any time, twice, or by two processes at once."""
    written = 0
    async for chunk in standing.each_chunk(database, now=now):
        for found in chunk:
            if dunning.next_reminder(found, now, terms) is not None:
                async with database.transaction() as session:
                    written += await remind_one(session, found.customer_id, now=now, terms=terms)
    return written


async def remind_one(session: AsyncSession, customer_id: int, *, now: datetime, terms: Terms) -> bool:
    """Write the reminder of one customer if one is due by what is so under their lock; return whether it was."""
    customer = await accounts.lock(session, customer_id)
    found = await standing.of(session, customer_id, now=now)
    reminder = dunning.next_reminder(found, now, terms) if found is not None else None
    if found is None or reminder is None:
        return False
    facts = _facts(found) | {
        "purposes": sorted(purpose.value for purpose in reminder.purposes),
        "deletion_day": reminder.names.isoformat() if reminder.names else None,
    }
    dedup = f"unpaid:{customer_id}:{now:%Y-%m-%d}"
    await outbox.tell(session, customer, REMINDER, facts, now=now, dedup=dedup, mail=True)
    return True


async def tell_unpaid(session: AsyncSession, customer: Customer, *, now: datetime) -> None:
    """Tell at once that invoices stay unpaid because no card could be tried; once for the newest of them."""
    found = await standing.of(session, customer.id, now=now)
    if found is not None:
        newest = max(invoice.invoice_id for invoice in found.invoices)
        dedup = f"invoice:{newest}:unpaid"
        await outbox.tell(session, customer, "invoice_unpaid", _facts(found), now=now, dedup=dedup, mail=True)


async def as_it_is(session: AsyncSession, customer: Customer, *, now: datetime, terms: Terms) -> dict[str, Any] | None:
    """Return what a message about unpaid invoices says if it goes out now; `None` when nothing is due any more.

    `invoices`: `invoice_id`, `number`, `amount` and `since` of each, oldest first; `total`; `deletion_day`, none
    where nothing can be deleted; `names` of what would be; `card`: whether a valid one is there.
    """
    found = await standing.of(session, customer.id, now=now)
    if found is None or not dunning.owes(found, terms) or found.unknown:
        return None
    return {
        "invoices": [
            {"invoice_id": one.invoice_id, "number": one.number, "amount": one.amount, "since": one.since.isoformat()}
            for one in found.invoices
        ],
        "total": found.total,
        "deletion_day": dunning.day_to_name(found, now, terms).isoformat() if found.active else None,
        "names": [subscription.name for subscription in await subscriptions.live(session, customer.id)],
        "card": await cards.has_valid(session, customer.id, now=now),
    }


def _facts(found: Standing) -> dict[str, Any]:
    return {"invoice_ids": [invoice.invoice_id for invoice in found.invoices], "total": found.total}
