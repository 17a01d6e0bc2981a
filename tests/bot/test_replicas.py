"""Several processes on one database: order within a chat, nothing twice, and somebody who takes over."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import select, update
from telegram import Bot, Update

from billing import accounts, leases, wishes
from billing.clock import ManualClock
from billing.db import Database
from billing.models import JobRun
from bot import updates
from bot.jobs import Clockwork
from bot.models import ChatUpdate, Replica
from bot.replicas import Membership
from bot.updates import InOrderPerUser, UpdateStore

BOT = Bot("1:a")
LONG = timedelta(seconds=60)


def says(number: int, person: int = 5) -> dict[str, Any]:
    chat = {"id": person, "type": "private"}
    ann = {"id": person, "is_bot": False, "first_name": "Ann"}
    return {
        "update_id": number,
        "message": {"message_id": number, "date": 1768046400, "chat": chat, "from": ann, "text": "/start"},
    }


def in_hand(store: UpdateStore) -> list[Update]:
    """What a process has in hand now, in order; its queue is emptied."""
    found = []
    while not store.queue.empty():
        one = store.queue.get_nowait()
        assert isinstance(one, Update)
        found.append(one)
    return found


def queued(store: UpdateStore) -> list[int]:
    return [one.update_id for one in in_hand(store)]


async def handled(database: Database) -> dict[int, bool]:
    async with database.read() as session:
        rows = await session.scalars(select(ChatUpdate).order_by(ChatUpdate.id))
        return {row.id: row.handled_at is not None for row in rows}


async def long_unseen(database: Database, *names: str) -> None:
    """Have processes not been seen for a minute."""
    async with database.transaction() as session:
        for row in await session.scalars(select(Replica).where(Replica.name.in_(names))):
            row.seen_at -= LONG


async def steady(member: Membership) -> None:
    """Have a process look on for long enough to call others dead."""
    await member.beat()
    assert member._steady_since is not None
    member._steady_since -= LONG


@pytest.fixture
def stores(database: Database, clock: ManualClock) -> tuple[UpdateStore, UpdateStore]:
    return UpdateStore(database, clock, "one"), UpdateStore(database, clock, "two")


async def test_an_update_that_comes_twice_is_handled_by_one(stores: tuple[UpdateStore, UpdateStore]) -> None:
    one, two = stores
    await asyncio.gather(one.add([says(1)], BOT), two.add([says(1)], BOT))
    await one.take(BOT)
    await two.take(BOT)
    assert sorted(queued(one) + queued(two)) == [1]


async def test_a_lane_stays_in_order_across_processes(
    stores: tuple[UpdateStore, UpdateStore], database: Database
) -> None:
    """What comes to another process waits for what is in hand; then whoever is there first takes it."""
    one, two = stores
    await one.add([says(1), says(2)], BOT)
    await two.add([says(3), says(4, person=6)], BOT)
    await two.take(BOT)
    assert (queued(one), queued(two)) == ([1, 2], [4])
    await one.done(1, BOT)
    await two.take(BOT)
    assert queued(two) == []
    await one.done(2, BOT)
    if database.is_sqlite:  # has no need to be quick: there is one process
        await one.take(BOT)
    await two.take(BOT)
    assert (queued(one), queued(two)) == ([3], [])
    await one.done(3, BOT)
    await two.done(4, BOT)
    assert all((await handled(database)).values())


async def test_two_that_add_to_a_lane_at_once_do_not_both_claim_it(
    stores: tuple[UpdateStore, UpdateStore], database: Database
) -> None:
    for number in range(1, 40, 2):
        await asyncio.gather(stores[0].add([says(number)], BOT), stores[1].add([says(number + 1)], BOT))
        async with database.read() as session:
            holders = set(await session.scalars(select(ChatUpdate.leased_by).where(ChatUpdate.leased_by.is_not(None))))
        assert len(holders) == 1


async def test_random_traffic_over_three_processes_is_handled_once_and_in_order(
    database: Database, clock: ManualClock
) -> None:
    seen: dict[int, list[int]] = {person: [] for person in range(1, 6)}
    stores = [UpdateStore(database, clock, name) for name in ("one", "two", "three")]

    async def work(store: UpdateStore) -> None:
        processor = InOrderPerUser(store)

        async def handle(one: Update) -> None:
            await asyncio.sleep(0)
            assert one.effective_user
            seen[one.effective_user.id].append(one.update_id)

        while True:
            await store.take(BOT)
            await asyncio.gather(*(processor.do_process_update(one, handle(one)) for one in in_hand(store)))
            await asyncio.sleep(0.01)

    working = [asyncio.create_task(work(store)) for store in stores]
    for number in range(1, 61):
        await stores[number % 3].add([says(number, person=1 + number * 7 % 5)], BOT)
    async with asyncio.timeout(60):
        while not all((await handled(database)).values()):  # noqa: ASYNC110 nobody tells
            await asyncio.sleep(0.02)
    for task in working:
        task.cancel()
    await asyncio.gather(*working, return_exceptions=True)
    assert sorted(number for numbers in seen.values() for number in numbers) == list(range(1, 61))
    assert all(numbers == sorted(numbers) for numbers in seen.values())


async def test_what_the_dead_had_in_hand_is_taken_over(database: Database, clock: ManualClock) -> None:
    """By the database's clock: 10 seconds without a sign, seen by somebody who was there all the time."""
    first, second = Membership(database), Membership(database)
    one, two = (UpdateStore(database, clock, member.name) for member in (first, second))
    await first.beat()
    await one.add([says(1), says(2)], BOT)
    async with database.transaction() as session:
        mine = first.name.rpartition(":")[0] + ":other"
        session.add(JobRun(name="meter", tick_at=clock.now(), leased_until=clock.now() + LONG, leased_by=mine))
        now = clock.now()
        ann = await accounts.register(session, telegram_id=7, username="", name="Ann", language="en", now=now)
        await wishes.wish(session, ann.id, cards=True, reason="issue", now=now)
        await wishes.lease(session, owner=mine, now=now, limit=1)
    await second.beat()
    await long_unseen(database, first.name)
    await second.beat()
    await two.take(BOT)
    assert queued(two) == []  # it has only just come and may be the one that was away
    await steady(second)
    await second.beat()
    await two.take(BOT)
    assert queued(two) == [1]
    assert second.leads.is_set()
    async with database.transaction() as session:
        assert await wishes.lease(session, owner=second.name, now=clock.now(), limit=1) == [(ann.id, True)]
    ran: list[str] = []

    async def run() -> None:
        await asyncio.sleep(0)
        ran.append("meter")

    assert await Clockwork(database, clock, {"meter": run}).tick() == ["meter"]
    # The first was only slow: it finds out, and neither handles nor ends what is not its own any more.
    assert not await first.beat()
    one.lost()
    assert not one.is_mine(1)
    await one.done(1, BOT)
    assert not (await handled(database))[1]
    assert await first.beat()


async def test_a_dead_process_of_this_machine_is_buried_at_once(
    database: Database, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    dead = Membership(database)
    await dead.beat()
    store = UpdateStore(database, clock, dead.name)
    await store.add([says(1)], BOT)
    monkeypatch.setattr(leases, "is_dead", lambda name: name == dead.name)
    heir = Membership(database)
    await heir.beat()
    assert heir.leads.is_set()
    left = UpdateStore(database, clock, heir.name)
    await left.take(BOT)
    assert queued(left) == [1]


async def test_after_a_pause_of_the_database_nobody_is_called_dead(database: Database) -> None:
    members = [Membership(database) for _ in range(3)]
    for member in members:
        await steady(member)
    await long_unseen(database, *(member.name for member in members))
    for member in members:
        assert await member.beat()
    async with database.read() as session:
        assert len((await session.scalars(select(Replica))).all()) == 3


async def test_exactly_one_leads_and_another_follows_when_it_leaves(database: Database) -> None:
    members = [Membership(database) for _ in range(3)]
    for _ in range(2):
        for member in members:
            await member.beat()
    leader = [member for member in members if member.leads.is_set()]
    assert len(leader) == 1
    await leader[0].leave()
    rest = [member for member in members if member is not leader[0]]
    for member in rest:
        await member.beat()
    assert [member.leads.is_set() for member in rest].count(True) == 1


async def test_what_was_handled_while_the_database_was_away_is_marked_later(
    sqlite_database: Database, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = UpdateStore(sqlite_database, clock)
    processor = InOrderPerUser(store)
    await store.add([says(1)], BOT)
    ran = 0

    async def handle() -> None:
        nonlocal ran
        await asyncio.sleep(0)
        ran += 1

    def away() -> None:
        raise OSError("connection lost")

    (one,) = in_hand(store)
    with monkeypatch.context() as broken:
        broken.setattr(sqlite_database, "transaction", away)
        await processor.do_process_update(one, handle())
    assert await handled(sqlite_database) == {1: False}
    await store.take(BOT)
    assert (await handled(sqlite_database), ran, queued(store)) == ({1: True}, 1, [])


async def test_a_commit_whose_answer_was_lost_leaves_no_update_behind(
    sqlite_database: Database, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The row is there with our name in it, and nobody has it in hand."""
    store = UpdateStore(sqlite_database, clock)
    insert = store._insert

    async def answerless(*arguments: Any) -> set[int]:
        await insert(*arguments)
        raise OSError("connection lost")

    monkeypatch.setattr(store, "_insert", answerless)
    with pytest.raises(OSError, match="connection lost"):
        await store.add([says(1)], BOT)
    await store.take(BOT)
    assert queued(store) == [1]


async def test_suspects_come_one_at_a_time_and_are_left_alone_at_last(
    sqlite_database: Database, clock: ManualClock
) -> None:
    store = UpdateStore(sqlite_database, clock)
    store.stop()
    await store.add([says(number, person=number) for number in (1, 2, 3, 4)], BOT)
    async with sqlite_database.transaction() as session:
        await session.execute(update(ChatUpdate).where(ChatUpdate.id < 4).values(attempts=updates._SUSPECT))
        await session.execute(update(ChatUpdate).where(ChatUpdate.id == 2).values(attempts=updates._ATTEMPTS))
    store = UpdateStore(sqlite_database, clock)
    await store.take(BOT)
    assert queued(store) == [1, 4]
    await store.take(BOT)
    assert queued(store) == []
    await store.done(1, BOT)
    await store.take(BOT)
    assert queued(store) == [3]
    assert await handled(sqlite_database) == {1: True, 2: True, 3: False, 4: False}


async def test_a_stop_finishes_what_has_begun_and_gives_back_the_rest(
    sqlite_database: Database, clock: ManualClock
) -> None:
    store, heir = UpdateStore(sqlite_database, clock, "one"), UpdateStore(sqlite_database, clock, "two")
    processor = InOrderPerUser(store)
    await store.add([says(1), says(2), says(3, person=6)], BOT)
    begun, may_end = asyncio.Event(), asyncio.Event()

    async def slow() -> None:
        begun.set()
        await may_end.wait()

    async def for_ever() -> None:
        await asyncio.Event().wait()

    first, second, third = in_hand(store)
    running = [
        asyncio.create_task(processor.do_process_update(one, handle))
        for one, handle in ((first, slow()), (second, slow()), (third, for_ever()))
    ]
    await begun.wait()
    store.stop()
    may_end.set()
    await running[0]
    await running[1]
    processor.cut_off()
    await running[2]
    await store.give_back()
    await heir.take(BOT)
    assert queued(heir) == [2, 3]
    assert (await handled(sqlite_database))[1]


async def test_more_than_fits_waits_in_the_database(sqlite_database: Database, clock: ManualClock) -> None:
    store, many = UpdateStore(sqlite_database, clock), updates._IN_HAND + 3
    await store.add([says(number, person=number) for number in range(1, many + 1)], BOT)
    assert queued(store) == list(range(1, updates._IN_HAND + 1))
    assert len(await handled(sqlite_database)) == many
    for number in range(1, updates._IN_HAND + 1):
        await store.done(number, BOT)
    await store.take(BOT)
    assert queued(store) == [updates._IN_HAND + 1, updates._IN_HAND + 2, updates._IN_HAND + 3]
