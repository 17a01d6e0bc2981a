"""Machines of those who do not pay: deleted with proof of notice, decided by a person, off and back (rules.md 9)."""

import asyncio
from datetime import date, datetime
from pathlib import Path

import pytest
from sqlalchemy import select

from billing.clock import ManualClock
from billing.db import Database
from billing.errors import Conflict
from billing.ledger import About, Side, transfer
from billing.models import (
    AccountKind,
    Card,
    Invoice,
    NoticeStatus,
    PaymentStatus,
)
from cloud import deployments
from cloud.drivers.base import Power
from cloud.models import Deployment, PowerWish, State
from cloud.overdue import Overdue
from tests.billing.builders import at
from tests.billing.debts import delivered, pays, settle
from tests.cloud.court import ADMIN, DUE_DAY, Court, open_court, running
from tests.cloud.world import drain, order


@pytest.fixture
async def court(database: Database, clock: ManualClock, tmp_path: Path) -> Court:
    return await open_court(database, clock, tmp_path)


@pytest.fixture
async def strict(database: Database, clock: ManualClock, tmp_path: Path) -> Court:
    """Where unpaid machines are powered off a week before."""
    return await open_court(database, clock, tmp_path, suspend_days=7)


async def test_all_active_deployments_are_deleted_on_the_day(court: Court) -> None:
    """9.2: whatever is active, running or not; customer and administrators are told; the debt stays."""
    web, db = await running(court, "web", "db")
    queued = await court.world.order("queued")
    await court.owes()
    await court.reminded("2026-04-24 09:00")
    await court.at("2026-04-30 23:30")
    assert await court.overdue.reap() == 0
    await court.at("2026-05-01 09:30")
    assert await court.overdue.reap() == 1
    assert [await court.world.state(one) for one in (web, db, queued)] == [State.DELETING] * 3
    told, house = await court.notice("unpaid_deleted"), await court.notice("house_unpaid_deleted")
    assert told.recipient == court.customer.telegram_id
    assert house.recipient is None
    assert (told.data["names"], told.data["total"], told.data["why"]) == (["web", "db", "queued"], 500, "proven")
    assert await court.audited() == [("deleted_for_debt", None)]
    await drain(court.world.worker())
    assert await court.world.machines() == []
    assert await court.overdue.reap() == 0
    async with court.database.read() as session:
        assert (await session.scalars(select(Invoice.due))).all() == [500]


async def test_two_processes_delete_once(court: Court) -> None:
    """9.6."""
    await running(court, "web")
    await court.owes()
    await court.reminded("2026-04-24 09:00")
    await court.at("2026-05-01 09:30")
    assert sum(await asyncio.gather(*(court.overdue.reap() for _ in range(3)))) == 1
    assert (await court.kinds()).count("unpaid_deleted") == 1


async def test_without_proof_notice_is_given_and_a_day_passes(court: Court) -> None:
    """9.3: nothing was sent, as after a long outage."""
    (web,) = await running(court, "web")
    await court.owes()
    await court.at("2026-06-10 09:30")
    assert await court.overdue.reap() == 0
    assert await court.overdue.reap() == 0
    assert (await court.kinds()).count("unpaid_reminder") == 1
    assert (await court.notice("unpaid_reminder")).data["deletion_day"] == "2026-06-11"
    await delivered(court.database, court.now)
    await court.at("2026-06-11 09:30")
    assert await court.overdue.reap() == 0
    await court.at("2026-06-11 09:31")
    assert await court.overdue.reap() == 1
    assert await court.world.state(web) is State.DELETING


async def test_what_is_paid_in_the_last_moment_stays(court: Court) -> None:
    """6.7, 9.5: a payment that waited for its customer turns out to be paid when it is cancelled."""
    (web,) = await running(court, "web")
    invoice = await court.owes()
    await court.reminded("2026-04-24 09:00")

    async def paid_meanwhile(customer_id: int) -> bool:
        court.cancelled.append(customer_id)
        async with court.database.transaction() as session:
            await settle(session, invoice, court.now)
        return True

    overdue = Overdue(court.database, court.world.clock, terms=court.terms, cancel_waiting=paid_meanwhile)
    await court.at("2026-05-01 09:30")
    assert await overdue.reap() == 0
    assert court.cancelled == [court.customer.id]
    assert await court.world.state(web) is State.SUCCESS


async def test_a_payment_that_cannot_be_cancelled_puts_it_off(court: Court) -> None:
    """6.7."""
    (web,) = await running(court, "web")
    await court.owes()
    await court.reminded("2026-04-24 09:00")
    await court.at("2026-05-01 09:30")
    court.cancel_works = False
    assert await court.overdue.reap() == 0
    assert await court.world.state(web) is State.SUCCESS
    court.cancel_works = True
    assert await court.overdue.reap() == 1


async def test_an_unknown_payment_stops_it(court: Court) -> None:
    """9.5: nothing at Stripe is cancelled either."""
    await running(court, "web")
    await court.owes()
    await court.reminded("2026-04-24 09:00")
    async with court.database.transaction() as session:
        await pays(session, court.customer, PaymentStatus.UNKNOWN, court.now)
    await court.at("2026-05-01 09:30")
    assert await court.overdue.reap() == 0
    assert court.cancelled == []


# --- a person decides


async def unreachable(court: Court, *names: str) -> list[Deployment]:
    """The bot is blocked, and the day has come."""
    made = await running(court, *names)
    await court.owes()
    await court.reminded("2026-04-30 09:00", NoticeStatus.REFUSED)
    await court.at("2026-05-01 09:30")
    assert await court.overdue.reap() == 0
    return made


async def test_an_administrator_is_asked_once(court: Court) -> None:
    """9.3, C12."""
    (web,) = await unreachable(court, "web")
    await court.overdue.reap()
    await court.at("2026-05-02 09:30")
    await court.overdue.reap()
    assert (await court.kinds()).count("house_unpaid_ask") == 1
    asked = await court.notice("house_unpaid_ask")
    assert asked.recipient is None
    assert (asked.data["day"], asked.data["names"], asked.data["customer_id"]) == (
        "2026-05-01",
        ["web"],
        court.customer.id,
    )
    assert await court.world.state(web) is State.SUCCESS


async def test_an_administrator_deletes(court: Court) -> None:
    """C12: written down with who did it; a second tap finds nothing to decide."""
    (web,) = await unreachable(court, "web")
    assert await court.overdue.delete(court.customer.id, DUE_DAY, actor=ADMIN) == ["web"]
    assert await court.world.state(web) is State.DELETING
    assert court.cancelled == [court.customer.id]
    assert await court.audited() == [("deleted_for_debt", ADMIN)]
    assert (await court.notice("unpaid_deleted")).data["why"] == "decided"
    with pytest.raises(Conflict):
        await court.overdue.delete(court.customer.id, DUE_DAY, actor=ADMIN)


async def test_an_administrator_gives_time(court: Court) -> None:
    """C12: then it begins anew, with a warning before the new day and a question of its own."""
    (web,) = await unreachable(court, "web")
    assert await court.overdue.give_time(court.customer.id, DUE_DAY, actor=ADMIN) == date(2026, 5, 31)
    with pytest.raises(Conflict):
        await court.overdue.give_time(court.customer.id, DUE_DAY, actor=ADMIN + 1)
    assert await court.audited() == [("deletion_postponed", ADMIN)]
    assert (await court.notice("deletion_postponed")).data == {"deletion_day": "2026-05-31", "total": 500}
    await court.reminded("2026-05-30 09:00", NoticeStatus.REFUSED)
    await court.at("2026-05-31 09:30")
    await court.overdue.reap()
    assert (await court.kinds()).count("house_unpaid_ask") == 2
    assert await court.world.state(web) is State.SUCCESS


async def test_there_is_nothing_to_decide_about_who_has_paid(court: Court) -> None:
    (web,) = await unreachable(court, "web")
    async with court.database.transaction() as session:
        invoice = (await session.scalars(select(Invoice))).one()
        await settle(session, invoice, court.now)
    for decide in (court.overdue.delete, court.overdue.give_time):
        with pytest.raises(Conflict):
            await decide(court.customer.id, DUE_DAY, actor=ADMIN)
    assert await court.world.state(web) is State.SUCCESS


@pytest.mark.parametrize("day", [date(2026, 4, 30), date(2026, 6, 1)])
async def test_a_question_of_another_day_is_over(court: Court, day: date) -> None:
    await unreachable(court, "web")
    with pytest.raises(Conflict):
        await court.overdue.case(court.customer.id, day)


async def test_nobody_decides_before_the_day(court: Court) -> None:
    await running(court, "web")
    await court.owes()
    await court.at("2026-04-30 12:00")
    with pytest.raises(Conflict):
        await court.overdue.delete(court.customer.id, DUE_DAY, actor=ADMIN)


# --- power


async def test_machines_stay_on_unless_it_is_wished(court: Court) -> None:
    """C17: off by default."""
    (web,) = await running(court, "web")
    await court.owes()
    await court.reminded("2026-04-30 09:00")
    await court.overdue.reap()
    assert (await court.world.row(web)).power is PowerWish.ON


async def test_unpaid_machines_are_off_and_not_billed_until_it_is_paid(strict: Court) -> None:
    """C17, 4.1, 9.5: back by themselves, as they were."""
    web, db = await running(strict, "web", "db")
    async with strict.database.transaction() as session:
        await deployments.set_power(session, strict.customer, db.id, PowerWish.OFF, now=strict.now)
    invoice = await strict.owes()
    await strict.at("2026-04-23 09:30")
    await strict.overdue.reap()
    assert (await strict.world.row(web)).power is PowerWish.ON
    await strict.at("2026-04-24 09:30")
    await asyncio.gather(strict.overdue.reap(), strict.overdue.reap())
    await drain(strict.world.worker())
    for one in (web, db):
        assert (await strict.world.row(one)).power is PowerWish.SUSPENDED
        assert (await strict.world.intervals(one))[-1][1] == at("2026-04-24 09:30")
    assert {machine.power for machine in await strict.world.driver.list_owned()} == {Power.STOPPED}
    suspended = await strict.notice("machines_suspended")
    assert suspended.data == {"names": ["web", "db"], "total": 500, "deletion_day": "2026-05-01"}
    await strict.at("2026-04-26 12:00")
    assert await strict.overdue.resume() == 0
    async with strict.database.transaction() as session:
        await settle(session, invoice, strict.now)
    assert await strict.overdue.resume() == 1
    assert await strict.overdue.resume() == 0
    await drain(strict.world.worker())
    assert [(await strict.world.row(one)).power for one in (web, db)] == [PowerWish.ON, PowerWish.OFF]
    for one in (web, db):
        assert (await strict.world.intervals(one))[-1] == (at("2026-04-26 12:00"), None)
    assert (await strict.notice("machines_resumed")).data == {"names": ["web", "db"]}
    powers = {(await strict.world.nodes(one))[0].machine: one.name for one in (web, db)}
    found = {powers[machine.name]: machine.power for machine in await strict.world.driver.list_owned()}
    assert found == {"web": Power.RUNNING, "db": Power.STOPPED}


async def test_an_unknown_payment_leaves_power_as_it_is(strict: Court) -> None:
    """9.5."""
    (web,) = await running(strict, "web")
    await strict.owes()
    async with strict.database.transaction() as session:
        payment = await pays(session, strict.customer, PaymentStatus.UNKNOWN, strict.now)
    await strict.at("2026-04-25 09:30")
    await strict.overdue.reap()
    assert (await strict.world.row(web)).power is PowerWish.ON
    async with strict.database.transaction() as session:
        (await session.get_one(type(payment), payment.id)).status = PaymentStatus.DECLINED
    await strict.overdue.reap()
    assert (await strict.world.row(web)).power is PowerWish.SUSPENDED


async def test_what_is_off_for_debt_cannot_be_switched_on_and_is_deleted_in_time(strict: Court) -> None:
    """9.2."""
    (web,) = await running(strict, "web")
    await strict.owes()
    await strict.reminded("2026-04-24 09:00")
    await strict.overdue.reap()
    async with strict.database.transaction() as session:
        with pytest.raises(Conflict):
            await deployments.set_power(session, strict.customer, web.id, PowerWish.ON, now=strict.now)
    await drain(strict.world.worker())
    await strict.at("2026-05-01 09:30")
    assert await strict.overdue.reap() == 1
    await drain(strict.world.worker())
    assert await strict.world.state(web) is State.DELETED
    assert len(await strict.world.intervals(web)) == 1


async def test_time_that_was_given_brings_machines_back(strict: Court) -> None:
    (web,) = await running(strict, "web")
    await strict.owes()
    await strict.reminded("2026-04-30 09:00", NoticeStatus.REFUSED)
    await strict.at("2026-05-01 09:30")
    await strict.overdue.reap()
    assert (await strict.world.row(web)).power is PowerWish.SUSPENDED
    await strict.overdue.give_time(strict.customer.id, DUE_DAY, actor=ADMIN)
    assert await strict.overdue.resume() == 1
    assert (await strict.world.row(web)).power is PowerWish.ON


# --- at once


async def test_who_deploys_on_little_money_is_told_at_once(court: Court) -> None:
    """9.4: with the order, not a week later; a card makes it unnecessary."""
    await court.world.order("web")
    assert "funds_low" not in await court.kinds()
    async with court.database.transaction() as session:
        card = (await session.scalars(select(Card))).one()
        card.removed_at = court.now
        await transfer(
            session,
            operation="test",
            debit=Side(AccountKind.CORRECTIONS),
            credit=Side(AccountKind.BALANCE, court.customer.id),
            amount=1010,
            about=About("correction"),
            now=court.now,
        )
        await order(session, court.customer, court.now, name="db")
    low = await court.notice("funds_low")
    assert low.created_at == court.now
    assert (low.data["monthly"], low.data["funds"], low.data["dearest"]) == (1000, 1010, "web")
    # 636 hours of January cost 4.73 each; what is left pays 43 hours of both.
    assert datetime.fromisoformat(low.data["until"]) == at("2026-02-02 19:00")
