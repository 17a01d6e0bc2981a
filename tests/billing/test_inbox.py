"""The provider's events: stored once, handled once, believed never (rules.md 2.2, 6, 7)."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest
from sqlalchemy import select

from billing import inbox
from billing.clock import DAY, HOUR, ManualClock
from billing.db import Database
from billing.gateway import Event
from billing.inbox import Inbox
from billing.models import EventKind, Notice, ProviderEvent
from tests.billing.till import Till, open_till

MINUTE = timedelta(minutes=1)


def event(event_id: str = "evt_1", kind: EventKind = EventKind.PAGE, about: str = "cs_1") -> Event:
    return Event(event_id, "checkout.session.completed", kind, about, {"id": event_id})


class Ear:
    """A handler that notes what it hears, and fails so many times first."""

    def __init__(self, failures: int = 0) -> None:
        self.heard: list[str] = []
        self.failures = failures

    async def __call__(self, about: str) -> None:
        self.heard.append(about)
        await asyncio.sleep(0)
        if self.failures:
            self.failures -= 1
            raise RuntimeError("not now")


async def put(database: Database, clock: ManualClock, *events: Event) -> list[bool]:
    async with database.transaction() as session:
        return [await inbox.store(session, inbox.STRIPE, one, now=clock.now()) for one in events]


async def rows(database: Database) -> list[ProviderEvent]:
    async with database.read() as session:
        return list(await session.scalars(select(ProviderEvent).order_by(ProviderEvent.id)))


async def test_the_same_event_is_stored_once(database: Database, clock: ManualClock) -> None:
    assert await put(database, clock, event(), event(), event("evt_2")) == [True, False, True]
    assert len(await rows(database)) == 2


async def test_the_same_id_of_another_source_is_another_event(database: Database, clock: ManualClock) -> None:
    await put(database, clock, event())
    async with database.transaction() as session:
        assert await inbox.store(session, "other", event(), now=clock.now())


async def test_an_event_is_handled_once(database: Database, clock: ManualClock) -> None:
    ear = Ear()
    box = Inbox(database, clock, {EventKind.PAGE: ear})
    await put(database, clock, event())
    assert await box.handle_due() == 1
    assert await box.handle_due() == 0
    await put(database, clock, event())
    assert await box.handle_due() == 0
    assert ear.heard == ["cs_1"]


async def test_two_workers_share_the_events(database: Database, clock: ManualClock) -> None:
    ear = Ear()
    await put(database, clock, *(event(f"evt_{number}", about=f"cs_{number}") for number in range(20)))
    boxes = [Inbox(database, clock, {EventKind.PAGE: ear}) for _ in range(2)]
    await asyncio.gather(*(box.handle_due() for box in boxes))
    assert sorted(ear.heard) == sorted(f"cs_{number}" for number in range(20))


async def test_a_failure_is_tried_again_with_growing_waits(sqlite_database: Database, clock: ManualClock) -> None:
    ear = Ear(failures=3)
    box = Inbox(sqlite_database, clock, {EventKind.PAGE: ear})
    await put(sqlite_database, clock, event())
    tried_at = []
    began = clock.now()
    for _ in range(40):
        if await box.handle_due():
            tried_at.append(clock.now() - began)
        clock.move(timedelta(seconds=30))
    seconds = [int(at.total_seconds()) for at in tried_at]
    assert seconds == [0, 30, 90, 210]
    (row,) = await rows(sqlite_database)
    assert (row.attempts, row.error) == (4, "")
    assert row.handled_at is not None


async def test_one_that_never_works_is_shown_to_the_operator(sqlite_database: Database, clock: ManualClock) -> None:
    box = Inbox(sqlite_database, clock, {EventKind.PAGE: Ear(failures=10**6)})
    await put(sqlite_database, clock, event())
    began = clock.now()
    while clock.now() < began + 3 * DAY:
        await box.handle_due()
        clock.move(HOUR)
    (row,) = await rows(sqlite_database)
    assert row.handled_at is not None
    assert row.error == "RuntimeError: not now"
    async with sqlite_database.read() as session:
        assert [notice.kind for notice in await session.scalars(select(Notice))] == ["event_given_up"]


async def test_a_process_that_dies_while_handling_loses_no_event(sqlite_database: Database, clock: ManualClock) -> None:
    class Killed(BaseException):
        pass

    async def die(_: str) -> None:
        raise Killed

    await put(sqlite_database, clock, event())
    with pytest.raises(Killed):
        await Inbox(sqlite_database, clock, {EventKind.PAGE: die}).handle_due()
    ear = Ear()
    after = Inbox(sqlite_database, clock, {EventKind.PAGE: ear})
    clock.move(5 * MINUTE)
    assert await after.handle_due() == 1
    assert ear.heard == ["cs_1"]


async def test_kinds_that_need_nothing_done_are_done(sqlite_database: Database, clock: ManualClock) -> None:
    await put(sqlite_database, clock, event(kind=EventKind.OTHER))
    assert await Inbox(sqlite_database, clock, {}).handle_due() == 1
    (row,) = await rows(sqlite_database)
    assert row.handled_at is not None


# --- with the provider's own events


@pytest.fixture
async def till(sqlite_database: Database, clock: ManualClock) -> AsyncIterator[Till]:
    async with open_till(sqlite_database, clock) as opened:
        yield opened
        await opened.check()


def box_of(till: Till) -> Inbox:
    return Inbox(
        till.database,
        till.clock,
        {
            EventKind.PAGE: till.checkouts.notice,
            EventKind.CHARGE: till.cashier.notice,
            EventKind.CARD: till.cashier.notice_card,
            EventKind.DISPUTE: till.corrector.notice_dispute,
            EventKind.REFUND: till.corrector.notice_refund,
        },
    )


async def deliver(till: Till, order: int) -> None:
    """All events that Stripe has raised, forward or backward, each twice."""
    async with till.database.transaction() as session:
        for raised in till.stripe.control.events()[::order]:
            kind = {"checkout": EventKind.PAGE, "payment_intent": EventKind.CHARGE, "payment_method": EventKind.CARD}
            found = Event(
                raised["id"],
                raised["type"],
                kind.get(raised["type"].split(".")[0], EventKind.OTHER),
                raised["data"]["object"].get("id", ""),
                raised,
            )
            for _ in range(2):
                await inbox.store(session, inbox.STRIPE, found, now=till.clock.now())


@pytest.mark.parametrize("order", [1, -1])
async def test_late_repeated_and_disordered_events_are_harmless(till: Till, order: int) -> None:
    """Each only says where to look."""
    customer = await till.customer()
    page = (await till.checkouts.open_for_card(customer.id)).provider_id
    assert page is not None
    till.stripe.control.pay(page)
    await deliver(till, order)
    await box_of(till).handle_due()
    invoice = await till.invoice(customer, 500)
    till.stripe.control.fault("drop_after", method="POST", path="/v1/payment_intents")
    await till.cashier.settle_due()
    assert await till.due(invoice) == 500
    await deliver(till, order)
    await box_of(till).handle_due()
    assert await till.due(invoice) == 0, "the event knew before we asked again"
    assert till.taken() == 500
    await till.pass_time(HOUR, step=10 * MINUTE)
    assert len(await till.payments(customer)) == 1


async def test_a_charge_of_another_installation_with_our_number_is_left_alone(till: Till) -> None:
    """Two installations on one account may have the same ids; the customer tells them apart."""
    customer = await till.customer()
    await till.add_card(customer)
    await till.work()
    invoice = await till.invoice(customer, 500)
    till.stripe.control.fault("error_before", method="POST", path="/v1/payment_intents")
    await till.cashier.settle_due()
    (payment,) = await till.payments(customer)
    stranger = await till.gateway.create_customer(key="other", customer_id=1, name="Other", email=None)
    made = await till.gateway._stripe.v1.payment_intents.create_async(
        {
            "amount": 500,
            "currency": "usd",
            "customer": stranger,
            "payment_method": "pm_card_visa",
            "confirm": True,
            "off_session": True,
            "metadata": {"payment_id": str(payment.id)},
        }
    )
    assert await till.cashier.notice(made.id) is None
    assert await till.due(invoice) == 500


STRANGE = {
    EventKind.PAGE: "cs_test_ofAnother",
    EventKind.CHARGE: "pi_ofAnother",
    EventKind.CARD: "pm_ofAnother",
    EventKind.DISPUTE: "du_ofAnother",
    EventKind.REFUND: "re_ofAnother",
}


async def test_events_about_what_nobody_knows_change_nothing(till: Till) -> None:
    """Of another account, deleted meanwhile, or made up: what is asked for is not there."""
    customer = await till.customer()
    invoice = await till.invoice(customer, 500)
    told = await till.told(customer)
    async with till.database.transaction() as session:
        for kind, about in STRANGE.items():
            await inbox.store(session, inbox.STRIPE, event(f"evt_{about}", kind, about), now=till.clock.now())
            await inbox.store(session, inbox.STRIPE, event(f"evt_no_{about}", kind, ""), now=till.clock.now())
    assert await box_of(till).handle_due() == 2 * len(STRANGE)
    assert [(row.error, row.handled_at is not None) for row in await rows(till.database)] == [("", True)] * 10
    assert await till.due(invoice) == 500
    assert await till.payments(customer) == []
    assert await till.told(customer) == told
