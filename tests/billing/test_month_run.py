"""The monthly run (rules.md 5), on both databases."""

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest
import sqlalchemy as sa
from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from billing import dues, ledger, metering, month_run, subscriptions
from billing.chunks import Bounds, Script
from billing.clock import Month
from billing.db import Database
from billing.ledger import About, Side
from billing.models import (
    Account,
    AccountKind,
    Channel,
    Invoice,
    InvoiceLine,
    MonthRun,
    Notice,
    NumberSeries,
    SettlementWish,
    Subscription,
    Transfer,
    Usage,
)
from billing.money import Currency
from billing.sql import number, padded
from billing.terms import Party, Terms
from tests.billing.builders import at, make_customer, make_subscription, ran, run, seeded

JANUARY, FEBRUARY = Month(2026, 1), Month(2026, 2)
RUN_DAY = at("2026-02-01 00:10")


async def invoices(database: Database) -> list[Invoice]:
    async with database.read() as session:
        return list(await session.scalars(select(Invoice).order_by(Invoice.id)))


async def lines(database: Database) -> list[InvoiceLine]:
    async with database.read() as session:
        return list(await session.scalars(select(InvoiceLine).order_by(InvoiceLine.invoice_id, InvoiceLine.position)))


async def test_one_invoice_holds_every_deployment_of_the_month(database: Database, terms: Terms) -> None:
    async with database.transaction() as session:
        customer = await make_customer(session, billing_name="Ann Ltd", billing_address="1 Road", billing_tax_id="X1")
        await ran(session, customer, "2026-01-10 12:00", "2026-01-10 22:20")
        await ran(session, customer, "2025-12-31 23:00", monthly=1000)
        await ran(session, customer, "2026-02-01 00:00")
    terms = replace(terms, seller=Party("Hosts", "2 Street", "Y2"))
    assert await month_run.issue_due(database, now=RUN_DAY, terms=terms) == 2
    december, january = await invoices(database)
    assert (december.month, december.number, december.total) == (Month(2025, 12), "INV-2026-000001", 1)
    assert (january.month, january.number, january.total) == (JANUARY, "INV-2026-000002", 1008)
    assert (january.net, january.tax, january.due, january.paid_at) == (1008, 0, 1008, None)
    assert january.seller == {"name": "Hosts", "address": "2 Street", "tax_id": "Y2"}
    assert january.buyer == {"name": "Ann Ltd", "address": "1 Road", "tax_id": "X1"}
    assert [(line.position, line.hours, line.monthly, line.capped, line.amount) for line in await lines(database)] == [
        (1, 1, 1000, False, 1),
        (1, 11, 500, False, 8),
        (2, 744, 1000, True, 1000),
    ]


async def test_a_customer_without_a_billing_name_is_named_as_in_the_chat(database: Database, terms: Terms) -> None:
    async with database.transaction() as session:
        await ran(session, await make_customer(session, name='Zoë "Z" 🦊'), "2026-01-01")
    await month_run.issue_due(database, now=RUN_DAY, terms=terms)
    assert (await invoices(database))[0].buyer == {"name": 'Zoë "Z" 🦊', "address": "", "tax_id": ""}


async def test_running_it_again_issues_nothing_more(database: Database, terms: Terms) -> None:
    async with database.transaction() as session:
        await ran(session, await make_customer(session), "2026-01-10")
    assert await month_run.issue_due(database, now=RUN_DAY, terms=terms) == 1
    assert await month_run.issue_due(database, now=RUN_DAY, terms=terms) == 0
    async with database.read() as session:
        assert (await session.scalars(select(MonthRun.month))).all() == [JANUARY]


async def test_nothing_is_issued_before_ten_past_midnight(database: Database, terms: Terms) -> None:
    async with database.transaction() as session:
        await ran(session, await make_customer(session), "2026-01-10")
    assert await month_run.issue_due(database, now=at("2026-02-01 00:09:59"), terms=terms) == 0
    assert await month_run.issue_due(database, now=RUN_DAY, terms=terms) == 1


async def test_months_that_were_missed_are_issued_oldest_first(database: Database, terms: Terms) -> None:
    async with database.transaction() as session:
        await ran(session, await make_customer(session), "2025-11-30 23:30", "2026-02-10")
    await month_run.issue_due(database, now=at("2026-05-20"), terms=terms)
    found = [(invoice.month, invoice.number, invoice.total) for invoice in await invoices(database)]
    assert found == [
        (Month(2025, 11), "INV-2026-000001", 1),
        (Month(2025, 12), "INV-2026-000002", 500),
        (JANUARY, "INV-2026-000003", 500),
        (FEBRUARY, "INV-2026-000004", 161),
    ]
    async with database.read() as session:
        assert await session.scalar(select(func.max(MonthRun.month))) == Month(2026, 4)


async def test_nobody_who_used_nothing_gets_an_invoice(database: Database, terms: Terms) -> None:
    async with database.transaction() as session:
        idle = await make_customer(session)
        await make_subscription(session, idle)
        await ran(session, idle, "2026-01-10 12:00", "2026-01-10 12:00")
    assert await month_run.issue_due(database, now=RUN_DAY, terms=terms) == 0


async def test_issuing_books_the_debt_with_its_tax(database: Database, terms: Terms) -> None:
    async with database.transaction() as session:
        customer = await make_customer(session)
        await ran(session, customer, "2026-01-01", monthly=555)
    await month_run.issue_due(database, now=RUN_DAY, terms=replace(terms, tax_basis_points=1900))
    (invoice,) = await invoices(database)
    assert (invoice.net, invoice.tax, invoice.total, invoice.tax_basis_points) == (555, 105, 660, 1900)
    async with database.read() as session:
        assert (await ledger.balances(session, customer.id)).receivable == 660
        rows = await session.execute(
            select(Transfer.operation, Transfer.amount, Account.kind, Transfer.invoice_id)
            .join(Account, Account.id == Transfer.credit_id)
            .order_by(Transfer.id)
        )
        assert [tuple(row) for row in rows] == [
            (f"issue:{invoice.id}", 555, AccountKind.REVENUE, invoice.id),
            (f"issue:{invoice.id}:tax", 105, AccountKind.TAX, invoice.id),
        ]


async def test_the_customer_is_told_and_settlement_wished_for(database: Database, terms: Terms) -> None:
    async with database.transaction() as session:
        mailed = await make_customer(session, email="ann@example.org")
        silent = await make_customer(session)
        for customer in (mailed, silent):
            await ran(session, customer, "2026-01-01")
    await month_run.issue_due(database, now=RUN_DAY, terms=terms)
    async with database.read() as session:
        notices = (await session.scalars(select(Notice).order_by(Notice.customer_id, Notice.channel))).all()
        wishes = (await session.scalars(select(SettlementWish).order_by(SettlementWish.customer_id))).all()
    assert [(notice.customer_id, notice.channel, notice.recipient) for notice in notices] == [
        (mailed.id, Channel.CHAT, mailed.telegram_id),
        (mailed.id, Channel.MAIL, None),
        (silent.id, Channel.CHAT, silent.telegram_id),
    ]
    first = (await invoices(database))[0]
    assert notices[0].kind == "invoice_issued"
    assert notices[0].dedup == f"invoice:{first.id}:issued:chat"
    assert notices[0].data == {
        "invoice_id": first.id,
        "number": "INV-2026-000001",
        "month": "2026-01",
        "total": 500,
        "waits": 0,
    }
    assert [(wish.customer_id, wish.cards, wish.wanted_at) for wish in wishes] == [
        (mailed.id, True, RUN_DAY),
        (silent.id, True, RUN_DAY),
    ]


async def test_a_debt_below_the_cards_minimum_is_due_when_the_sum_reaches_it(database: Database, terms: Terms) -> None:
    """Rules.md 6.4: 30 cents wait; with the next 30 both are due since that day."""
    async with database.transaction() as session:
        customer = await make_customer(session)
        await ran(session, customer, "2026-01-01", "2026-03-01", monthly=30)
    await month_run.issue_due(database, now=RUN_DAY, terms=terms)
    assert [invoice.due_since for invoice in await invoices(database)] == [None]
    async with database.read() as session:
        assert (await session.scalars(select(Notice))).one().data["waits"] == 1
    await month_run.issue_due(database, now=at("2026-03-01 00:10"), terms=terms)
    assert [invoice.due_since for invoice in await invoices(database)] == [at("2026-03-01 00:10")] * 2


async def test_what_is_left_of_a_debt_waits_anew(database: Database, terms: Terms) -> None:
    """Rules.md 6.4: 40 cents are left of January's; they are due again with February's, since that day."""
    async with database.transaction() as session:
        customer = await make_customer(session)
        await ran(session, customer, "2026-01-01", "2026-03-01")
    await month_run.issue_due(database, now=RUN_DAY, terms=terms)
    (january,) = await invoices(database)
    assert january.due_since == RUN_DAY
    async with database.transaction() as session:
        await ledger.transfer(
            session,
            operation="credit",
            debit=Side(AccountKind.CORRECTIONS),
            credit=Side(AccountKind.BALANCE, customer.id),
            amount=january.due - 40,
            about=About("correction"),
            now=RUN_DAY,
        )
        await dues.settle_from_funds(session, customer, now=RUN_DAY)
    await month_run.issue_due(database, now=at("2026-03-01 00:10"), terms=terms)
    assert [(invoice.due, invoice.due_since) for invoice in await invoices(database)] == [
        (40, at("2026-03-01 00:10")),
        (500, at("2026-03-01 00:10")),
    ]


async def test_numbers_have_no_gap_and_begin_anew_each_year(database: Database, terms: Terms) -> None:
    async with database.transaction() as session:
        for _ in range(3):
            await ran(session, await make_customer(session), "2026-11-15", "2026-12-05")
    await month_run.issue_due(database, now=at("2026-12-01 00:10"), terms=terms)
    await month_run.issue_due(database, now=at("2027-01-01 00:10"), terms=terms)
    assert [invoice.number for invoice in await invoices(database)] == [
        *(f"INV-2026-00000{place}" for place in (1, 2, 3)),
        *(f"INV-2027-00000{place}" for place in (1, 2, 3)),
    ]
    async with database.read() as session:
        rows = await session.execute(select(NumberSeries.year, NumberSeries.last).order_by(NumberSeries.year))
        assert [tuple(row) for row in rows] == [(2026, 3), (2027, 3)]


async def test_a_years_end_and_a_leap_day_are_months_like_any(database: Database, terms: Terms) -> None:
    """One machine runs on, another for the leap day only; each month is capped, and the day is 24 hours of it."""
    async with database.transaction() as session:
        await ran(session, await make_customer(session), "2027-12-01")
        await ran(session, await make_customer(session), "2028-02-29", "2028-03-01")
    for day in ("2028-01-01 00:10", "2028-02-01 00:10", "2028-03-01 00:10"):
        await month_run.issue_due(database, now=at(day), terms=terms)
    assert [(line.hours, line.amount) for line in await lines(database)] == [
        (744, 500), (744, 500), (696, 500), (24, metering.cost(500, 24, terms.currency))
    ]  # fmt: skip
    assert sorted(invoice.number for invoice in await invoices(database)) == [
        f"INV-2028-00000{place}" for place in (1, 2, 3, 4)
    ]


@pytest.mark.parametrize(("value", "text"), [(1, "000001"), (999_999, "999999"), (1_234_567, "1234567")])
async def test_numbers_grow_beyond_six_digits(database: Database, value: int, text: str) -> None:
    async with database.read() as session:
        assert await session.scalar(sa.select(padded(number(value)))) == text


async def test_late_hours_go_on_the_next_invoice_capped_with_their_month(database: Database, terms: Terms) -> None:
    """600 hours were invoiced; 144 more come to light, of which 72 still cost something (rules.md 5.1)."""
    async with database.transaction() as session:
        customer = await make_customer(session)
        one = await ran(session, customer, "2026-01-01 00:00", "2026-01-26 00:00")
        await ran(session, customer, "2026-01-01", "2026-03-01", monthly=1000)
    await month_run.issue_due(database, now=RUN_DAY, terms=terms)
    async with database.transaction() as session:
        await run(session, await session.get_one(Subscription, one.id), "2026-01-26 00:00", "2026-02-01 00:00")
    await month_run.issue_due(database, now=at("2026-03-01 00:10"), terms=terms)
    first, second = await invoices(database)
    mine = [(line.invoice_id, line.position, line.month, line.hours, line.amount) for line in await lines(database)]
    assert mine[0] == (first.id, 1, JANUARY, 600, 446)
    assert mine[2:] == [(second.id, 1, FEBRUARY, 672, 1000), (second.id, 2, JANUARY, 144, 54)]
    assert second.total == 1054
    await month_run.issue_due(database, now=at("2026-04-01 00:10"), terms=terms)
    assert len(await invoices(database)) == 2


async def test_late_hours_alone_make_an_invoice(database: Database, terms: Terms) -> None:
    async with database.transaction() as session:
        customer = await make_customer(session)
        await ran(session, customer, "2026-01-01", "2026-01-02")
    await month_run.issue_due(database, now=RUN_DAY, terms=terms)
    async with database.transaction() as session:
        await ran(session, await make_customer(session), "2026-01-30", "2026-01-31")
    await month_run.issue_due(database, now=at("2026-03-01 00:10"), terms=terms)
    late = (await invoices(database))[1]
    assert (late.month, [line.month for line in await lines(database)][1]) == (FEBRUARY, JANUARY)


async def test_hours_taken_back_before_the_run_are_not_invoiced(database: Database, terms: Terms) -> None:
    """Metered to the month's end, then found to have vanished before it."""
    async with database.transaction() as session:
        one = await ran(session, await make_customer(session), "2026-01-10 12:00")
    await metering.catch_up(database, now=at("2026-02-01 00:02"))
    async with database.transaction() as session:
        await subscriptions.stop(session, await session.get_one(Subscription, one.id), at=at("2026-01-10 22:20"))
    await month_run.issue_due(database, now=RUN_DAY, terms=terms)
    assert [invoice.total for invoice in await invoices(database)] == [8]
    async with database.read() as session:
        assert not (await session.scalars(select(Usage.late).where(Usage.month == JANUARY))).one()


async def test_chunks_and_two_runs_at_once_issue_each_invoice_once(
    database: Database, terms: Terms, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(month_run, "_LINES", Bounds(4, 4, 4))
    async with database.transaction() as session:
        for _ in range(15):
            customer = await make_customer(session)
            for _ in range(3):
                await ran(session, customer, "2026-01-01", "2026-01-08")
    issued = await asyncio.gather(*(month_run.issue_due(database, now=RUN_DAY, terms=terms) for _ in range(3)))
    assert sum(issued) == 15
    found = await invoices(database)
    assert [invoice.number for invoice in found] == [f"INV-2026-{place:06d}" for place in range(1, 16)]
    assert len({invoice.customer_id for invoice in found}) == 15


async def test_a_run_that_died_goes_on_where_it_stopped(
    database: Database, terms: Terms, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(month_run, "_LINES", Bounds(2, 2, 2))
    async with database.transaction() as session:
        for _ in range(6):
            await ran(session, await make_customer(session), "2026-01-01")
    whole_run, calls = Script.run, 0

    async def dies(script: Script, session: AsyncSession, **values: int) -> None:
        """Die in the second chunk, when all of it is written."""
        nonlocal calls
        calls += 1
        await whole_run(script, session, **values)
        if calls == 4:
            raise KeyboardInterrupt

    monkeypatch.setattr(Script, "run", dies)
    with pytest.raises(KeyboardInterrupt):
        await month_run.issue_due(database, now=RUN_DAY, terms=terms)
    assert len(await invoices(database)) == 2
    assert await month_run.issue_due(database, now=RUN_DAY + timedelta(minutes=1), terms=terms) == 4
    assert [invoice.number for invoice in await invoices(database)] == [
        f"INV-2026-{place:06d}" for place in range(1, 7)
    ]


@pytest.mark.parametrize("code", ["usd", "jpy", "kwd", "mga"])
async def test_tax_in_sql_is_the_pure_tax(database: Database, code: str) -> None:
    currency, chance = Currency.of(code), seeded(code)
    async with database.read() as session:
        for _ in range(60):
            net = chance.choice([1, 10**12, chance.randrange(1, 10**6), 10**14 + 7]) * currency.step
            terms = Terms(currency, tax_basis_points=chance.choice([0, 1, 700, 1900, 2550, 10_000]))
            assert await session.scalar(select(month_run.tax_sql(number(net), terms))) == terms.tax_of(net)
