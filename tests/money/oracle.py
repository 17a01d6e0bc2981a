"""What must be so on every evening, told by other means than the product's own wherever there are any."""

from collections import Counter, defaultdict
from datetime import datetime, timedelta
from fractions import Fraction
from math import floor

import sqlalchemy as sa
from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from billing import checks
from billing.clock import DAY, HOUR, Month
from billing.models import (
    IN_FLIGHT,
    REFUND_IN_FLIGHT,
    Account,
    AccountKind,
    AuditEntry,
    Channel,
    CreditNoteLine,
    Dispute,
    DisputeStatus,
    Invoice,
    InvoiceLine,
    MonthRun,
    Notice,
    NoticeStatus,
    Payment,
    PaymentStatus,
    Phase,
    Refund,
    Transfer,
)
from cloud.models import Deployment, State
from tests.money.acts import Run
from tests.money.people import People
from tests.money.world import TERMS, Broken, World


class Oracle:
    """Looks at everything, changes nothing."""

    def __init__(self, world: World, people: People) -> None:
        """Take the world to look at."""
        self.world = world
        self.people = people
        self.deletions = 0
        self._audited = 0
        # Made once: on each of a thousand evenings the same is asked.
        self._checks = [(name, rows) for name, check in checks._CHECKS.items() for rows in check()]

    async def evening(self) -> None:
        """Hold everything against everything else."""
        async with self.world.database.read() as session:
            await self._books(session)
            await self._stripe(session)
            await self._deletions(session)

    async def month_end(self) -> None:
        """Whatever ran is invoiced, to the cent, and the hours are those that our own record gives."""
        async with self.world.database.read() as session:
            found = await checks.differences(session, currency=TERMS.currency)
            _refuse([one for one in found if not await self._is_excused(session, one)])
            await self._invoices(session)

    # --- rule 2.6

    async def _books(self, session: AsyncSession) -> None:
        for name, rows in self._checks:
            _refuse(await checks._ask(session, name, rows))

    async def _is_excused(self, session: AsyncSession, one: checks.Difference) -> bool:
        """Hours taken back of an invoice that was written off, or that a dispute or a payment holds, stay reported."""
        if one.check != "invoiced as used":
            return False
        subscription_id = int(one.subject.split()[1])
        return bool(await self._held(session, subscription_id))

    async def _held(self, session: AsyncSession, subscription_id: int) -> bool:
        written_off = select(Transfer.invoice_id).where(Transfer.reason == "write_off")
        moving = sa.text("invoices.id IN (SELECT invoice_id FROM payment_allocations WHERE in_flight)")
        held = (
            select(Invoice.id)
            .join(InvoiceLine, InvoiceLine.invoice_id == Invoice.id)
            .where(
                InvoiceLine.subscription_id == subscription_id,
                sa.or_(Invoice.disputed > 0, Invoice.id.in_(written_off), moving),
            )
        )
        return await session.scalar(held.limit(1)) is not None

    # --- no payment taken twice, none lost

    async def _stripe(self, session: AsyncSession) -> None:
        store = self.world.stripe._core.store
        taken: dict[int, list[dict[str, object]]] = defaultdict(list)
        for intent in store.every("payment_intent"):
            if intent["status"] == "succeeded":
                taken[int(intent["metadata"]["payment_id"])].append(intent)
        rows = {row.id: row for row in await session.scalars(select(Payment))}
        for payment_id, intents in taken.items():
            if len(intents) > 1:
                raise Broken(f"payment {payment_id} was taken {len(intents)} times")
            row = rows[payment_id]
            if row.amount != intents[0]["amount"]:
                raise Broken(f"payment {payment_id} is {row.amount}, {intents[0]['amount']} was taken")
            if row.status is not PaymentStatus.SUCCEEDED and row.status not in IN_FLIGHT:
                self._may_be_late(row)
        for row in rows.values():
            if row.status is PaymentStatus.SUCCEEDED and row.id not in taken:
                raise Broken(f"payment {row.id} is booked and was never taken")
        await self._clearing(session, rows)

    def _may_be_late(self, row: Payment) -> None:
        """What we gave up and the provider took after all comes to us by an event, within a day or two."""
        if row.ended_at is None or self.world.now - row.ended_at > 3 * DAY:
            raise Broken(f"payment {row.id} is {row.status} and was taken")

    async def _clearing(self, session: AsyncSession, rows: dict[int, Payment]) -> None:
        """The clearing account holds what was charged, less what went back and what banks took."""
        paid = sum(row.amount for row in rows.values() if row.status is PaymentStatus.SUCCEEDED)
        back = sum(row.refunded for row in rows.values())
        lost = select(func.coalesce(func.sum(Dispute.amount), 0)).where(
            Dispute.status.in_((DisputeStatus.OPEN, DisputeStatus.LOST))
        )
        expected = paid - back - int(await session.scalar(lost) or 0)
        booked = await self._holds(session, AccountKind.CARD_CLEARING)
        if booked != expected:
            raise Broken(f"card clearing holds {booked}, expected {expected}")
        if await self._holds(session, AccountKind.CHARGEBACKS) != 0:
            raise Broken("chargebacks are not passed on")
        waiting = select(func.coalesce(func.sum(Refund.amount), 0)).where(Refund.status.in_(REFUND_IN_FLIGHT))
        owed = -await self._holds(session, AccountKind.REFUNDS)
        if owed != int(await session.scalar(waiting) or 0):
            raise Broken(f"refunds hold {owed}, which is not what is under way")

    async def _holds(self, session: AsyncSession, kind: AccountKind) -> int:
        account = select(Account.id).where(Account.kind == kind, Account.customer_id.is_(None)).scalar_subquery()
        moved = Transfer.phase.in_((Phase.POSTED, Phase.POST))
        debits = await session.scalar(select(func.sum(Transfer.amount)).where(moved, Transfer.debit_id == account))
        credits_ = await session.scalar(select(func.sum(Transfer.amount)).where(moved, Transfer.credit_id == account))
        return int(debits or 0) - int(credits_ or 0)

    async def quiet(self) -> None:
        """With nothing under way any more, Stripe's own sums are ours."""
        store = self.world.stripe._core.store
        charged = sum(row["amount"] - row["amount_refunded"] for row in store.every("charge") if row["paid"])
        lost = sum(row["amount"] for row in store.every("dispute") if row["status"] not in ("won", "warning_closed"))
        async with self.world.database.read() as session:
            booked = await self._holds(session, AccountKind.CARD_CLEARING)
            unknown = Payment.status.in_((PaymentStatus.CREATED, PaymentStatus.UNKNOWN))
            moving = await session.scalar(select(func.count()).where(unknown))
        if moving:
            raise Broken(f"the result of {moving} payments is still unknown")
        if booked != charged - lost:
            raise Broken(f"card clearing holds {booked}, Stripe {charged - lost}")

    # --- no deletion without notice

    async def _deletions(self, session: AsyncSession) -> None:
        acts = select(AuditEntry).where(AuditEntry.id > self._audited).order_by(AuditEntry.id)
        for entry in await session.scalars(acts):
            self._audited = entry.id
            if entry.action == "deleted_for_debt":
                self.deletions += 1
                await self._was_told(session, entry)
        gone = select(Deployment).where(Deployment.state == State.DELETING)
        for row in await session.scalars(gone):
            run = self.people.runs[row.id]
            if row.id not in self.people.asked and run.ended_at is None:
                if not await self._by_debt(session, row):
                    raise Broken(f"deployment {row.id} is gone and nobody asked")
                run.ended_at = row.delete_asked_at

    async def _by_debt(self, session: AsyncSession, row: Deployment) -> bool:
        act = select(AuditEntry.id).where(
            AuditEntry.action == "deleted_for_debt",
            AuditEntry.customer_id == row.customer_id,
            AuditEntry.at == row.delete_asked_at,
        )
        return await session.scalar(act.limit(1)) is not None

    async def _was_told(self, session: AsyncSession, entry: AuditEntry) -> None:
        """A reminder that named this day or an earlier one was taken by the chat 24 hours to 30 days before (9.3)."""
        rows = await session.scalars(
            select(Notice).where(
                Notice.customer_id == entry.customer_id,
                Notice.kind == "unpaid_reminder",
                Notice.status == NoticeStatus.SENT,
                Notice.channel == Channel.CHAT,
                Notice.ended_at <= entry.at - DAY,
                Notice.ended_at >= entry.at - 30 * DAY,
            )
        )
        if not any((row.data.get("deletion_day") or "9999") <= entry.at.date().isoformat() for row in rows):
            raise Broken(f"customer {entry.customer_id} was not told before {entry.at}")
        oldest = await session.scalar(
            select(func.min(Invoice.due_since)).where(
                Invoice.customer_id == entry.customer_id, Invoice.due > Invoice.disputed
            )
        )
        if oldest is None or entry.at - oldest < 85 * DAY:
            raise Broken(f"customer {entry.customer_id} owed since {oldest} only, deleted at {entry.at}")

    # --- no invoice lost

    async def _invoices(self, session: AsyncSession) -> None:
        finished = [row.month for row in await session.scalars(select(MonthRun).order_by(MonthRun.month))]
        billed: Counter[tuple[int, Month]] = Counter()
        for table, sign in ((InvoiceLine, 1), (CreditNoteLine, -1)):
            lines = await session.execute(select(table.subscription_id, table.month, table.amount))
            for key, month, amount in lines:
                if key is not None and month is not None:
                    billed[key, month] += sign * amount
        for run in self.people.runs.values():
            for month in finished:
                expected = cost(run, month)
                if billed[run.subscription_id, month] != expected and not await self._is_coming(session, run, month):
                    raise Broken(
                        f"subscription {run.subscription_id} in {month}: {expected} was used, "
                        f"{billed[run.subscription_id, month]} is invoiced"
                    )

    async def _is_coming(self, session: AsyncSession, run: Run, month: Month) -> bool:
        """Hours taken back since the last run of the job, or held by a dispute, a payment or a write-off."""
        return (
            run.ended_at is not None and month.start <= run.ended_at and await self._held(session, run.subscription_id)
        )


def cost(run: Run, month: Month) -> int:
    """What a run costs in a month by the words of rule 4.2 and 4.3, told by counting."""
    hours = 0
    end = min(run.ended_at or month.end, month.end)
    if end > run.started_at:
        first = max(0, -((run.started_at - month.start) // HOUR)) if run.started_at < month.start else 0
        instant: datetime = run.started_at + timedelta(hours=first)
        while instant < month.start:
            instant += HOUR
        while instant < end:
            hours, instant = hours + 1, instant + HOUR
    if not hours:
        return 0
    return max(1, floor(Fraction(run.monthly * min(hours, 672), 672) + Fraction(1, 2)))


def _refuse(found: list[checks.Difference]) -> None:
    if found:
        raise Broken("; ".join(str(one) for one in found[:5]))
