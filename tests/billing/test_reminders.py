"""Who is reminded, read and written on both databases (rules.md 9.1, 9.4, 9.5, 9.6, 6.4, 10.1)."""

import asyncio
from datetime import timedelta

import pytest
from sqlalchemy import update

from billing import low_funds, reminders, standing
from billing.clock import DAY, ManualClock
from billing.db import Database
from billing.ledger import About, Side, transfer
from billing.models import AccountKind, Customer, Notice, NoticeStatus, PaymentStatus
from billing.money import Currency
from billing.terms import Terms
from tests.billing.builders import at, make_customer, ran
from tests.billing.debts import a_card, delivered, owe, pays, settle, told

TERMS = Terms(Currency.of("usd"))
ISSUED = at("2026-02-01 00:10")
WEEK_LATER = at("2026-02-08 09:00")


async def debtor(database: Database, *, runs: bool = True, **fields: object) -> Customer:
    async with database.transaction() as session:
        customer = await make_customer(session, **fields)
        if runs:
            await ran(session, customer, "2026-01-05")
    return customer


async def remind(database: Database, at_: str = "2026-02-08 09:00") -> int:
    return await reminders.remind(database, now=at(at_), terms=TERMS)


async def test_one_message_a_channel_names_day_and_total(database: Database) -> None:
    """9.1: chat and mail; run again, or by two at once, it is one."""
    ann = await debtor(database, email="ann@example.com")
    async with database.transaction() as session:
        first = await owe(session, ann, 500, ISSUED)
        second = await owe(session, ann, 700, ISSUED + DAY)
    assert sum(await asyncio.gather(remind(database), remind(database))) >= 1
    assert await remind(database) == 0
    chat, mail = await told(database, ann)
    assert (chat.channel.value, mail.channel.value) == ("chat", "mail")
    assert chat.data == mail.data
    assert chat.data == {
        "invoice_ids": [first.id, second.id],
        "total": 1200,
        "purposes": ["regular"],
        "deletion_day": "2026-05-01",
    }


async def test_without_an_address_there_is_the_chat(database: Database) -> None:
    ann = await debtor(database)
    async with database.transaction() as session:
        await owe(session, ann, 500, ISSUED)
    await remind(database)
    assert [notice.channel.value for notice in await told(database, ann)] == ["chat"]


async def test_who_has_paid_is_not_reminded(database: Database) -> None:
    """9.5: nor told what was written before the money came."""
    ann = await debtor(database)
    async with database.transaction() as session:
        invoice = await owe(session, ann, 500, ISSUED)
    await remind(database)
    async with database.transaction() as session:
        assert await reminders.as_it_is(session, ann, now=WEEK_LATER, terms=TERMS) is not None
        await settle(session, invoice, WEEK_LATER)
        assert await reminders.as_it_is(session, ann, now=WEEK_LATER, terms=TERMS) is None
    assert await remind(database, "2026-02-15 09:00") == 0


async def test_what_waits_for_the_card_minimum_is_left_alone(database: Database) -> None:
    """6.4: no day counts for it, and what is left of a debt is no different."""
    ann, bob = await debtor(database), await debtor(database)
    async with database.transaction() as session:
        await owe(session, ann, 40, ISSUED, waits=True)
        await owe(session, bob, 49, ISSUED)
    assert await remind(database, "2026-04-30 09:00") == 0


async def test_disputed_money_is_neither_reminded_nor_aged(database: Database) -> None:
    """10.1: the rest of the same invoice is."""
    ann, bob = await debtor(database), await debtor(database)
    async with database.transaction() as session:
        await owe(session, ann, 500, ISSUED, disputed=500)
        await owe(session, ann, 700, ISSUED + 20 * DAY)
        await owe(session, bob, 500, ISSUED, disputed=200)
    async with database.read() as session:
        found = await standing.read(session, [ann.id, bob.id], now=WEEK_LATER)
    assert (found[ann.id].total, found[ann.id].since) == (700, ISSUED + 20 * DAY)
    assert (found[bob.id].total, found[bob.id].since) == (300, ISSUED)


@pytest.mark.parametrize(
    ("status", "reminded"),
    [
        (PaymentStatus.CREATED, False),
        (PaymentStatus.UNKNOWN, False),
        (PaymentStatus.ACTION, True),
        (PaymentStatus.DECLINED, True),
    ],
)
async def test_only_an_unknown_payment_stops_reminders(
    database: Database, status: PaymentStatus, *, reminded: bool
) -> None:
    """9.5."""
    ann = await debtor(database)
    async with database.transaction() as session:
        await owe(session, ann, 500, ISSUED)
        await pays(session, ann, status, ISSUED)
    assert await remind(database) == reminded


async def test_positions_follow_from_what_was_sent(database: Database) -> None:
    """9.6: four weeks without a run make one message, the next one a week after it."""
    ann = await debtor(database)
    async with database.transaction() as session:
        await owe(session, ann, 500, ISSUED)
    assert await remind(database) == 1
    assert await remind(database, "2026-03-08 11:00") == 1
    assert await remind(database, "2026-03-14 09:00") == 0
    assert await remind(database, "2026-03-15 09:00") == 1


async def test_without_deployments_monthly_and_no_day(database: Database) -> None:
    """9.1."""
    ann = await debtor(database, runs=False)
    async with database.transaction() as session:
        await owe(session, ann, 500, ISSUED)
    assert await remind(database) == 0
    assert await remind(database, "2026-03-01 09:00") == 1
    assert (await told(database, ann))[0].data["deletion_day"] is None


async def test_many_are_read_in_chunks(sqlite_database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(standing, "_CHUNK", 2)
    for _ in range(5):
        customer = await debtor(sqlite_database, runs=False)
        async with sqlite_database.transaction() as session:
            await owe(session, customer, 500, ISSUED)
    assert await remind(sqlite_database, "2026-03-01 09:00") == 5


async def test_unpaid_at_once_is_told_once_for_the_newest(database: Database) -> None:
    """9.1."""
    ann = await debtor(database, email="ann@example.com")
    async with database.transaction() as session:
        await reminders.tell_unpaid(session, ann, now=ISSUED)
        await owe(session, ann, 500, ISSUED)
        for _ in range(2):
            await reminders.tell_unpaid(session, ann, now=ISSUED)
    assert [notice.kind for notice in await told(database, ann)] == ["invoice_unpaid", "invoice_unpaid"]
    async with database.transaction() as session:
        await owe(session, ann, 500, ISSUED + 28 * DAY)
        await reminders.tell_unpaid(session, ann, now=ISSUED + 28 * DAY)
    assert len(await told(database, ann)) == 4


# --- living on vouchers


async def fund(database: Database, customer: Customer, amount: int) -> None:
    async with database.transaction() as session:
        await transfer(
            session,
            operation=f"give:{customer.id}:{amount}",
            debit=Side(AccountKind.CORRECTIONS),
            credit=Side(AccountKind.BALANCE, customer.id),
            amount=amount,
            about=About("correction"),
            now=ISSUED,
        )


async def low(database: Database, at_: str) -> int:
    return await low_funds.tell_all(database, now=at(at_), terms=TERMS)


async def test_without_a_card_the_runway_is_told_weekly(database: Database) -> None:
    """9.4, A5: how long, and what happens then; twice a day is once."""
    ann = await debtor(database)
    await fund(database, ann, 700)
    assert await low(database, "2026-01-20 09:00") == 1
    assert await low(database, "2026-01-20 09:00") == 0
    (notice,) = await told(database, ann)
    assert notice.kind == "funds_low"
    # January is 648 of 672 hours at 5.00; what is left lasts 292 hours and more of February.
    assert notice.data["until"].startswith("2026-02-13")
    assert notice.data["deletion_day"] == "2026-06-01"
    assert (notice.data["funds"], notice.data["monthly"], notice.data["over"]) == (700, 500, False)
    await delivered(database, at("2026-01-20 09:00"))
    assert await low(database, "2026-01-26 09:00") == 0
    assert await low(database, "2026-01-27 09:00") == 1


async def test_money_to_the_end_of_next_month_is_enough(database: Database) -> None:
    """9.4."""
    ann = await debtor(database)
    await fund(database, ann, 1000)
    assert await low(database, "2026-01-20 09:00") == 0
    assert await low(database, "2026-02-01 09:00") == 1


async def test_customers_from_before_billing_are_told_too(database: Database) -> None:
    """9.4, A15: they never ordered here and have nothing."""
    ann = await debtor(database, legacy=True)
    assert await low(database, "2026-01-06 09:00") == 1
    (notice,) = await told(database, ann)
    assert notice.data["over"]


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, 0),
        ({"declined_at": ISSUED}, 1),
        ({"removed_at": ISSUED}, 1),
        ({"expiry_year": 2025}, 1),
        ({"expiry_year": 2026, "expiry_month": 1}, 0),
        ({"expiry_year": 2026, "expiry_month": 1, "late": True}, 1),
    ],
)
async def test_only_a_valid_card_makes_up_for_money(
    sqlite_database: Database, fields: dict[str, object], expected: int
) -> None:
    """9.4 and 3.6."""
    ann = await debtor(sqlite_database)
    now = "2026-02-01 09:00" if fields.pop("late", False) else "2026-01-31 09:00"
    async with sqlite_database.transaction() as session:
        session.add(a_card(ann, ISSUED, **fields))
    assert await low(sqlite_database, now) == expected


async def test_nothing_runs_nothing_is_told(sqlite_database: Database) -> None:
    await debtor(sqlite_database, runs=False)
    assert await low(sqlite_database, "2026-01-20 09:00") == 0


async def test_who_owes_is_told_weekly_all_the_same(sqlite_database: Database) -> None:
    """9.4: money that is at its end is no less worth a word than money that soon will be; with the same day."""
    ann = await debtor(sqlite_database)
    async with sqlite_database.transaction() as session:
        await owe(session, ann, 500, ISSUED)
    assert await low(sqlite_database, "2026-02-08 09:00") == 1
    assert await low(sqlite_database, "2026-02-14 09:00") == 0
    assert await low(sqlite_database, "2026-02-15 09:00") == 1
    notices = await told(sqlite_database, ann)
    assert {(notice.data["over"], notice.data["deletion_day"]) for notice in notices} == {(True, "2026-05-01")}
    async with sqlite_database.read() as session:
        said = await reminders.as_it_is(session, ann, now=WEEK_LATER, terms=TERMS)
    assert said is not None
    assert (said["card"], said["deletion_day"], said["names"]) == (False, "2026-05-01", ["web"])


async def test_a_message_that_goes_out_late_names_a_day_to_come(sqlite_database: Database, clock: ManualClock) -> None:
    """9.3: it waited for a mail server until the day was over."""
    ann = await debtor(sqlite_database)
    async with sqlite_database.transaction() as session:
        await owe(session, ann, 500, ISSUED)
    clock.set(at("2026-05-03 10:00"))
    async with sqlite_database.read() as session:
        said = await reminders.as_it_is(session, ann, now=clock.now(), terms=TERMS)
    assert said is not None
    assert said["deletion_day"] == "2026-05-04"


async def test_proof_is_read_from_the_outbox(database: Database) -> None:
    """9.6: status, day and time of each reminder."""
    ann = await debtor(database)
    async with database.transaction() as session:
        await owe(session, ann, 500, ISSUED)
    await remind(database)
    await delivered(database, WEEK_LATER)
    async with database.read() as session:
        (one,) = (await standing.read(session, [ann.id], now=WEEK_LATER))[ann.id].told
    assert one.names is not None
    assert (one.names.isoformat(), one.status) == ("2026-05-01", NoticeStatus.SENT)
    assert one.ended_at == WEEK_LATER + timedelta(seconds=5)
    async with database.transaction() as session:
        await session.execute(update(Notice).values(kind="invoice_issued"))
    async with database.read() as session:
        assert (await standing.read(session, [ann.id], now=WEEK_LATER))[ann.id].told == ()
