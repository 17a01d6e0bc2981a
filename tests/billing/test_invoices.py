"""Reading invoices: own ones only, with lines, payments, arithmetic, and the running month."""

from dataclasses import replace
from fractions import Fraction

import pytest
from sqlalchemy.ext.asyncio import AsyncSession

from billing import explain, invoices, ledger, month_run, subscriptions
from billing.clock import HOUR, Month
from billing.db import Database
from billing.errors import NotFound
from billing.ledger import About, Side
from billing.models import AccountKind, Customer, Invoice, Subscription
from billing.terms import Terms
from tests.billing.builders import at, make_customer, ran, run

RUN_DAY = at("2026-02-01 00:10")


async def issued(database: Database, terms: Terms, *starts: str) -> Customer:
    """A customer with one machine for each start, invoiced for January."""
    async with database.transaction() as session:
        customer = await make_customer(session)
        for start in starts or ("2026-01-01",):
            await ran(session, customer, start)
    await month_run.issue_due(database, now=RUN_DAY, terms=terms)
    return customer


async def test_a_customer_reads_their_own_invoices_only(database: Database, terms: Terms) -> None:
    async with database.transaction() as session:
        other = await make_customer(session)
    customer = await issued(database, terms)
    async with database.read() as session:
        found = await invoices.by_number(session, customer, " inv-2026-000001 ")
        assert found.customer_id == customer.id
        assert (await invoices.get(session, customer, found.id)).number == "INV-2026-000001"
        assert (await invoices.page(session, other)).invoices == ()
        assert await invoices.total_due(session, other) == 0
        with pytest.raises(NotFound):
            await invoices.by_number(session, other, "INV-2026-000001")
        with pytest.raises(NotFound):
            await invoices.get(session, other, found.id)
        with pytest.raises(NotFound):
            await explain.explain(session, other, found.id, 1, currency=terms.currency)


async def test_pages_show_the_newest_first(database: Database, terms: Terms) -> None:
    customer = await issued(database, terms, "2025-10-05")
    async with database.read() as session:
        first = await invoices.page(session, customer, limit=3)
        assert [invoice.month for invoice in first.invoices] == [Month(2026, 1), Month(2025, 12), Month(2025, 11)]
        assert first.more
        last = await invoices.page(session, customer, offset=3, limit=3)
        assert [invoice.month for invoice in last.invoices] == [Month(2025, 10)]
        assert not last.more


async def test_open_invoices_come_smallest_first(database: Database, terms: Terms) -> None:
    customer = await issued(database, terms, "2025-11-05")
    async with database.read() as session:
        dues = [invoice.due for invoice in await invoices.open_ones(session, customer)]
        assert dues == [464, 500, 500]
        assert await invoices.total_due(session, customer) == sum(dues)


async def test_payments_say_source_amount_and_when(database: Database, terms: Terms) -> None:
    customer = await issued(database, terms)
    async with database.transaction() as session:
        invoice = await invoices.by_number(session, customer, "INV-2026-000001")
        await pay(session_of=session, invoice=invoice, amount=120, operation="a")
        waiting = await ledger.transfer(
            session,
            operation="b",
            debit=Side(AccountKind.CARD_CLEARING),
            credit=Side(AccountKind.RECEIVABLE, customer.id),
            amount=380,
            about=About("settle", invoice_id=invoice.id),
            now=RUN_DAY,
            pending=True,
        )
        assert [(paid.source, paid.amount) for paid in await invoices.payments(session, invoice)] == [
            (AccountKind.CORRECTIONS, 120)
        ]
        await ledger.post(session, waiting, now=RUN_DAY + HOUR)
        shown = await invoices.document(session, invoice)
    assert [(paid.source, paid.amount, paid.at) for paid in shown.payments] == [
        (AccountKind.CORRECTIONS, 120, RUN_DAY),
        (AccountKind.CARD_CLEARING, 380, RUN_DAY + HOUR),
    ]
    assert ([line.amount for line in shown.lines], shown.credits, shown.in_flight) == ([500], (), False)


async def pay(*, session_of: AsyncSession, invoice: Invoice, amount: int, operation: str) -> None:
    await ledger.transfer(
        session_of,
        operation=operation,
        debit=Side(AccountKind.CORRECTIONS),
        credit=Side(AccountKind.RECEIVABLE, invoice.customer_id),
        amount=amount,
        about=About("settle", invoice_id=invoice.id),
        now=RUN_DAY,
    )


async def test_the_running_month_is_exact_now(database: Database, terms: Terms) -> None:
    async with database.transaction() as session:
        customer = await make_customer(session)
        await ran(session, customer, "2026-01-10 12:00", "2026-01-10 22:20")
        await ran(session, customer, "2026-01-31 00:00", monthly=67_200)
        await ran(session, await make_customer(session), "2026-01-01")
    async with database.read() as session:
        month = await invoices.this_month(session, customer, now=at("2026-01-31 02:30"), terms=terms)
        taxed = await invoices.this_month(
            session, customer, now=at("2026-01-31 02:30"), terms=replace(terms, tax_basis_points=1000)
        )
    assert [(used.hours, used.cost, used.projected, used.running) for used in month.used] == [
        (11, 8, 8, False),
        (3, 300, 2400, True),
    ]
    assert (month.net, month.tax, month.total, month.projected) == (308, 0, 308, 2408)
    assert (taxed.tax, taxed.total) == (31, 339)


async def test_a_line_is_explained_to_the_last_cent(database: Database, terms: Terms) -> None:
    """Two runs in January, the second inside an hour that the first had billed."""
    async with database.transaction() as session:
        customer = await make_customer(session)
        one = await ran(session, customer, "2025-12-31 22:30", "2026-01-01 02:40")
        await run(session, one, "2026-01-01 03:00", "2026-01-01 05:00")
        await subscriptions.end(session, one, at=at("2026-01-01 05:00"))
    await month_run.issue_due(database, now=RUN_DAY, terms=terms)
    async with database.read() as session:
        january = await invoices.by_number(session, customer, "INV-2026-000002")
        found = await explain.explain(session, customer, january.id, 1, currency=terms.currency)
    assert [(shown.first_hour, shown.hours) for shown in found.runs] == [
        (at("2026-01-01 00:30"), 3),
        (at("2026-01-01 03:30"), 2),
    ]
    assert (found.hours, found.counted, found.exact, found.rounded) == (5, 5, Fraction(2500, 672), 4)
    assert found.amount == found.line.amount == 4


async def test_the_cap_and_late_hours_are_explained(database: Database, terms: Terms) -> None:
    async with database.transaction() as session:
        customer = await make_customer(session)
        one = await ran(session, customer, "2026-01-01", "2026-01-26")
    await month_run.issue_due(database, now=RUN_DAY, terms=terms)
    async with database.transaction() as session:
        await run(session, await session.get_one(Subscription, one.id), "2026-01-26", "2026-02-01")
    await month_run.issue_due(database, now=at("2026-03-01 00:10"), terms=terms)
    async with database.read() as session:
        late = await invoices.by_number(session, customer, "INV-2026-000002")
        found = await explain.explain(session, customer, late.id, 1, currency=terms.currency)
    assert found.line.capped
    assert (found.hours, found.counted, found.rounded, found.before) == (744, 672, 500, 446)
    assert found.amount == found.line.amount == late.total == 54
