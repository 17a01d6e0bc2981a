"""Deployments of those who do not pay: switched off, deleted with proof of notice, brought back (rules.md 9)."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum
from typing import Any

from sqlalchemy.ext.asyncio import AsyncSession

from billing import accounts, audit, dunning, outbox, reminders, standing
from billing.clock import DAY, Clock
from billing.db import Database
from billing.dunning import Act, Standing
from billing.errors import Conflict
from billing.models import Customer
from billing.terms import Terms
from cloud import deployments, suspension
from cloud.models import Deployment, State

CancelWaiting = Callable[[int], Awaitable[bool]]
"""`Cashier.cancel_waiting`: no payment of a customer is left in flight."""


class Why(StrEnum):
    """Who decided on a deletion."""

    PROVEN = "proven"
    """Notice was given in time."""
    DECIDED = "decided"
    """An administrator, where it could not be given."""


@dataclass(frozen=True, slots=True)
class Case:
    """What an administrator who is asked has to know.

    Attributes:
        customer: who owes.
        found: what.
        day: the deletion day, by which the question is named.
        names: what would be deleted.
    """

    customer: Customer
    found: Standing
    day: date
    names: tuple[str, ...]


class Overdue:
    """The worker behind `reap`: alternates transactions with what the payment provider is asked."""

    def __init__(self, database: Database, clock: Clock, *, terms: Terms, cancel_waiting: CancelWaiting) -> None:
        """Take where debts stand, the clock, the terms, and how payments that wait are ended."""
        self._database = database
        self._clock = clock
        self._terms = terms
        self._cancel_waiting = cancel_waiting

    async def reap(self) -> int:
        """Do what is due to everybody who owes; return how many customers' deployments were deleted.

        At any time, twice, or by two processes at once.
        """
        now = self._clock.now()
        deleted = 0
        async for chunk in standing.each_chunk(self._database, now=now):
            for found in chunk:
                deleted += await self._one(found, now)
        await self.resume()
        return deleted

    async def resume(self) -> int:
        """Bring back what is off for debt and should no longer be; return how many customers that were."""
        async with self._database.read() as session:
            ids = await suspension.suspended_customers(session)
        return sum([await self._resume(customer_id) for customer_id in ids])

    async def case(self, customer_id: int, day: date) -> Case:
        """Return what there is to decide about a customer.

        Raises:
            Conflict: there is nothing to decide any more: paid, deleted, or time was given.
            NotFound: there is no such customer.
        """
        async with self._database.read() as session:
            customer = await accounts.get(session, customer_id)
            return await self._case(session, customer, day, self._clock.now())

    async def delete(self, customer_id: int, day: date, *, actor: int) -> list[str]:
        """Delete by an administrator's word where notice cannot be proven; return the names of what it was.

        Raises:
            Conflict: there is nothing to decide any more, or a payment's result is not known.
        """
        await self.case(customer_id, day)
        if not await self._cancel_waiting(customer_id):
            raise Conflict(f"a payment of customer {customer_id} is under way")
        async with self._database.transaction() as session:
            now = self._clock.now()
            customer = await accounts.lock(session, customer_id)
            case = await self._case(session, customer, day, now)
            return await self._delete(session, customer, case.found, Why.DECIDED, now, actor=actor)

    async def give_time(self, customer_id: int, day: date, *, actor: int) -> date:
        """Put the deletion off by an administrator's word; return the new day. Told to the customer.

        Raises:
            Conflict: there is nothing to decide any more.
        """
        async with self._database.transaction() as session:
            now = self._clock.now()
            customer = await accounts.lock(session, customer_id)
            case = await self._case(session, customer, day, now)
            customer.spared_until = now + dunning.GIVEN_DAYS * DAY
            given = customer.spared_until.date()
            audit.record(
                session, "deletion_postponed", actor=actor, now=now, customer_id=customer_id, until=given.isoformat()
            )
            facts = {"deletion_day": given.isoformat(), "total": case.found.total}
            dedup = f"unpaid:{customer_id}:{day}:spared"
            await outbox.tell(session, customer, "deletion_postponed", facts, now=now, dedup=dedup, mail=True)
        return given

    # --- one customer

    async def _one(self, found: Standing, now: datetime) -> bool:
        match dunning.next_act(found, now, self._terms):
            case Act.DELETE:
                return await self._delete_proven(found.customer_id)
            case Act.TELL:
                async with self._database.transaction() as session:
                    await reminders.remind_one(session, found.customer_id, now=now, terms=self._terms)
            case Act.ASK:
                await self._ask(found.customer_id)
            case Act.NOTHING | Act.WAIT:
                pass
        if dunning.is_suspended(found, now, self._terms) and not found.unknown:
            await self._suspend(found.customer_id)
        return False

    async def _delete_proven(self, customer_id: int) -> bool:
        """End what waits for the customer, then look again under the lock (rules.md 6.7): it may be paid now."""
        if not await self._cancel_waiting(customer_id):
            return False
        async with self._database.transaction() as session:
            now = self._clock.now()
            customer = await accounts.lock(session, customer_id)
            found = await standing.of(session, customer_id, now=now)
            if found is None or dunning.next_act(found, now, self._terms) is not Act.DELETE:
                return False
            await self._delete(session, customer, found, Why.PROVEN, now)
        return True

    async def _delete(
        self,
        session: AsyncSession,
        customer: Customer,
        found: Standing,
        why: Why,
        now: datetime,
        *,
        actor: int | None = None,
    ) -> list[str]:
        rows = await deployments.delete_all(session, customer, now=now)
        names = [row.name for row in rows if row.state is State.DELETING]
        facts = self._facts(customer, found) | {"names": names, "why": why.value}
        audit.record(
            session, "deleted_for_debt", actor=actor, now=now, customer_id=customer.id, names=names, why=why.value
        )
        dedup = f"unpaid:{customer.id}:{facts['day']}:deleted"
        await outbox.tell(session, customer, "unpaid_deleted", facts, now=now, dedup=dedup, mail=True)
        await outbox.tell_house(
            session, "house_unpaid_deleted", facts, now=now, dedup=f"house:{dedup}", customer_id=customer.id
        )
        return names

    async def _ask(self, customer_id: int) -> None:
        """Ask the administrators, once for each deletion day (C12)."""
        async with self._database.transaction() as session:
            now = self._clock.now()
            customer = await accounts.lock(session, customer_id)
            found = await standing.of(session, customer_id, now=now)
            if found is None or dunning.next_act(found, now, self._terms) is not Act.ASK:
                return
            facts = self._facts(customer, found) | {"names": list(await _names(session, customer))}
            dedup = f"unpaid:{customer_id}:{facts['day']}:ask"
            await outbox.tell_house(session, "house_unpaid_ask", facts, now=now, dedup=dedup, customer_id=customer_id)

    async def _suspend(self, customer_id: int) -> None:
        async with self._database.transaction() as session:
            now = self._clock.now()
            customer = await accounts.lock(session, customer_id)
            found = await standing.of(session, customer_id, now=now)
            if found is None or found.unknown or not dunning.is_suspended(found, now, self._terms):
                return
            rows = await suspension.suspend(session, customer, now=now)
            if rows:
                facts = {
                    "names": [row.name for row in rows],
                    "total": found.total,
                    "deletion_day": dunning.day_to_name(found, now, self._terms).isoformat(),
                }
                await _tell_power(session, customer, "machines_suspended", facts, rows, now)

    async def _resume(self, customer_id: int) -> bool:
        async with self._database.transaction() as session:
            now = self._clock.now()
            customer = await accounts.lock(session, customer_id)
            found = await standing.of(session, customer_id, now=now)
            if found is not None and (found.unknown or dunning.is_suspended(found, now, self._terms)):
                return False
            rows = await suspension.resume(session, customer, now=now)
            if rows:
                facts = {"names": [row.name for row in rows]}
                await _tell_power(session, customer, "machines_resumed", facts, rows, now)
        return bool(rows)

    async def _case(self, session: AsyncSession, customer: Customer, day: date, now: datetime) -> Case:
        found = await standing.of(session, customer.id, now=now)
        undecided = {Act.TELL, Act.WAIT, Act.ASK, Act.DELETE}
        if (
            found is None
            or dunning.next_act(found, now, self._terms) not in undecided
            or dunning.deletion_day(found, self._terms) != day
        ):
            raise Conflict(f"nothing is to be decided about customer {customer.id}")
        return Case(customer, found, day, await _names(session, customer))

    def _facts(self, customer: Customer, found: Standing) -> dict[str, Any]:
        """Return what everybody is told of a deletion; `day` names it."""
        return {
            "customer_id": customer.id,
            "telegram_id": customer.telegram_id,
            "name": customer.name,
            "username": customer.username,
            "total": found.total,
            "since": found.since.isoformat(),
            "day": dunning.deletion_day(found, self._terms).isoformat(),
        }


async def _names(session: AsyncSession, customer: Customer) -> tuple[str, ...]:
    rows = await deployments.listed(session, customer)
    return tuple(row.name for row in rows if row.state in {State.IN_PROGRESS, State.SUCCESS})


async def _tell_power(
    session: AsyncSession,
    customer: Customer,
    kind: str,
    facts: dict[str, Any],
    rows: list[Deployment],
    now: datetime,
) -> None:
    dedup = f"{kind}:{rows[0].id}:{int(now.timestamp())}"
    await outbox.tell(session, customer, kind, facts, now=now, dedup=dedup, mail=True)
