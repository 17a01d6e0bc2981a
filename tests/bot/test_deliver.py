"""The outbox drained through the real library, a Telegram and a mail server that answer as told (rules.md 11)."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select, update
from telegram.ext import ExtBot
from telegram.request import HTTPXRequest

from billing import outbox
from billing.clock import ManualClock
from billing.db import Database
from billing.models import Channel, Customer, Notice, NoticeStatus
from bot import deliver, outgoing
from bot.deliver import Deliverer
from bot.demo.mail import MailBox, serve_smtp
from bot.demo.telegram import Kind, Telegram
from bot.mail import Mailer, Server
from bot.pace import Pace
from bot.view import View
from tests.billing.builders import make_customer
from tests.demo.telegram_library import NO_CERTIFICATES

ADMIN = 9000


@dataclass
class Post:
    """A database with an outbox, and both ways out of it."""

    database: Database
    clock: ManualClock
    telegram: Telegram
    bot: ExtBot[str]
    box: MailBox
    mailer: Mailer | None
    written: list[int] = field(default_factory=list)

    def deliverer(self) -> Deliverer:
        async def write(notice: Notice, _: Customer | None) -> View | None:
            self.written.append(notice.id)
            if notice.kind == "broken":
                raise ValueError("no words")
            return None if notice.kind == "moot" else View(notice.data["text"])

        return Deliverer(
            database=self.database,
            clock=self.clock,
            bot=self.bot,
            mailer=self.mailer,
            write=write,
            administrators=[ADMIN],
        )

    async def customer(self, *, started: bool = True, **fields: object) -> Customer:
        async with self.database.transaction() as session:
            customer = await make_customer(session, **fields)
        if started:
            await self.telegram.person(customer.telegram_id).start()
        return customer

    async def tell(self, customer: Customer, *texts: str, kind: str = "news", mail: bool = False) -> None:
        async with self.database.transaction() as session:
            for text in texts:
                await outbox.tell(
                    session, customer, kind, {"text": text}, now=self.clock.now(), mail=mail, dedup=f"test:{text}"
                )

    def got(self, customer: Customer) -> list[str]:
        """What stands in a person's chat, from the bot."""
        person = self.telegram.person(customer.telegram_id)
        return [message.text for message in person.messages if message.from_bot]

    async def notices(self) -> Sequence[Notice]:
        async with self.database.read() as session:
            return (await session.scalars(select(Notice).order_by(Notice.id))).all()

    async def fates(self) -> list[tuple[str, str, str]]:
        return [(row.channel.value, row.status.value, row.error) for row in await self.notices()]

    async def drain(self) -> None:
        async with asyncio.timeout(20):
            await self.deliverer().drain()

    async def later(self, seconds: float) -> None:
        self.clock.move(timedelta(seconds=seconds))
        await self.drain()


@asynccontextmanager
async def open_post(database: Database, clock: ManualClock, folder: Path) -> AsyncIterator[Post]:
    telegram = Telegram()
    box = MailBox(folder / "mail")
    async with telegram.serving() as url, serve_smtp(box) as port:
        request = HTTPXRequest(connection_pool_size=64, read_timeout=1, pool_timeout=10, httpx_kwargs=NO_CERTIFICATES)
        bot: ExtBot[str] = ExtBot(
            telegram.token,
            base_url=f"{url}/bot",
            request=request,
            get_updates_request=HTTPXRequest(httpx_kwargs=NO_CERTIFICATES),
            rate_limiter=Pace(),
        )
        mailer = Mailer(Server.parse(f"smtp://127.0.0.1:{port}"), "Shop <shop@example.com>")
        async with bot:
            await telegram.person(ADMIN, "Olga").start()
            yield Post(database, clock, telegram, bot, box, mailer)


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PTB_TIMEDELTA", "1")
    monkeypatch.setattr("bot.pace._CHAT_SECONDS", 0.01)


@pytest.fixture
async def post(sqlite_database: Database, clock: ManualClock, tmp_path: Path) -> AsyncIterator[Post]:
    async with open_post(sqlite_database, clock, tmp_path) as opened:
        yield opened


@pytest.fixture
async def either_post(database: Database, clock: ManualClock, tmp_path: Path) -> AsyncIterator[Post]:
    async with open_post(database, clock, tmp_path) as opened:
        yield opened


async def test_messages_of_a_chat_arrive_in_order(either_post: Post) -> None:
    """11.1: with two processes at work, and each once."""
    post = either_post
    ann, bob = await post.customer(), await post.customer()
    texts = [f"{number}" for number in range(12)]
    for text in texts:
        await post.tell(ann, text)
        await post.tell(bob, f"b{text}")
    await asyncio.gather(*(post.deliverer().drain() for _ in range(3)))
    await post.drain()
    assert post.got(ann) == texts
    assert post.got(bob) == [f"b{text}" for text in texts]


async def test_who_waits_holds_up_only_their_own_chat(post: Post) -> None:
    """11.1, 11.2: Ann's first message meets a gateway error; her second waits for it, Bob's does not."""
    ann, bob = await post.customer(), await post.customer()
    await post.tell(ann, "first", "second")
    post.telegram.faults.add(Kind.ERROR, "sendMessage", code=502)
    deliverer = post.deliverer()
    await deliverer.step()
    await post.tell(bob, "hello")
    await deliverer.drain()
    assert (post.got(ann), post.got(bob)) == ([], ["hello"])
    assert (await post.notices())[0].error
    await post.later(5)
    assert post.got(ann) == ["first", "second"]


@pytest.mark.parametrize(
    "fault",
    [
        (Kind.ERROR, {"code": 500, "description": "Internal Server Error"}),
        (Kind.ERROR, {"code": 502}),
        (Kind.CLOSE_BEFORE, {}),
        (Kind.HANG, {"seconds": 5.0}),
    ],
    ids=["500", "502", "reset", "hang"],
)
async def test_a_network_error_is_retried_with_growing_waits(post: Post, fault: tuple[Kind, dict[str, Any]]) -> None:
    """11.2: 5, 15, 60 seconds…; why is written down meanwhile."""
    kind, fields = fault
    ann = await post.customer()
    await post.tell(ann, "hello")
    post.telegram.faults.add(kind, "sendMessage", times=3, **fields)
    await post.drain()
    for waits in (5, 15, 60):
        (row,) = await post.notices()
        assert row.status is NoticeStatus.WAITING
        assert row.error
        assert row.send_at - post.clock.now() == timedelta(seconds=waits)
        await post.later(waits)
    (row,) = await post.notices()
    assert (row.status, row.error, row.attempts) == (NoticeStatus.SENT, "", 4)
    assert post.got(ann) == ["hello"]


async def test_a_lost_answer_makes_at_most_one_more(post: Post) -> None:
    """11.1: at least once. Telegram took it, and the answer was lost."""
    ann = await post.customer()
    await post.tell(ann, "hello")
    post.telegram.faults.add(Kind.CLOSE_AFTER, "sendMessage")
    await post.drain()
    await post.later(5)
    assert post.got(ann) == ["hello", "hello"]
    await post.later(3600)
    assert post.got(ann) == ["hello", "hello"]


async def test_a_429_pauses_the_whole_outbox(post: Post) -> None:
    """11.2: waits as told; it was no try."""
    ann, bob = await post.customer(), await post.customer()
    await post.tell(ann, "a")
    post.telegram.faults.add(Kind.TOO_MANY, "sendMessage", retry_after=1)
    deliverer = post.deliverer()
    while await deliverer.step():
        pass
    await post.tell(bob, "b")
    assert not await deliverer.step()
    assert len(post.telegram.called("sendMessage")) == 1
    (first, second) = await post.notices()
    assert (first.attempts, first.error) == (0, "too many requests")
    assert second.attempts == 0
    post.clock.move(timedelta(seconds=1))
    await deliverer.drain()
    assert (post.got(ann), post.got(bob)) == (["a"], ["b"])


async def test_a_blocked_bot_is_written_down_and_mail_goes_instead(post: Post) -> None:
    """11.2: once, also for what goes by mail anyway."""
    ann = await post.customer(email="ann@example.com")
    await post.telegram.person(ann.telegram_id).block()
    await post.tell(ann, "only chat")
    await post.tell(ann, "both", mail=True)
    await post.drain()
    async with post.database.read() as session:
        assert (await session.get_one(Customer, ann.id)).unreachable_at == post.clock.now()
    assert sorted(mail.subject for mail in post.box.messages("ann@example.com")) == ["both", "only chat"]
    refused = [row for row in await post.notices() if row.channel is Channel.CHAT]
    assert {row.status for row in refused} == {NoticeStatus.REFUSED}
    assert all("blocked" in row.error for row in refused)


async def test_without_an_address_it_is_refused_with_the_reason(post: Post) -> None:
    """11.2; and who never began the chat is the same."""
    ann, bob = await post.customer(), await post.customer(started=False)
    await post.telegram.person(ann.telegram_id).block()
    for customer in (ann, bob):
        await post.tell(customer, f"to {customer.id}")
    await post.drain()
    fates = await post.fates()
    assert [(channel, status) for channel, status, _ in fates] == [("chat", "refused")] * 2
    assert all(error for *_, error in fates)


async def test_what_can_never_be_sent_is_parked_and_shown_to_the_operator(post: Post) -> None:
    """11.2: the next message of that chat is not held up."""
    ann = await post.customer()
    await post.tell(ann, "<b>no end")
    await post.tell(ann, "after")
    await post.tell(ann, "x", kind="broken")
    await post.drain()
    rows = await post.notices()
    parked = [row for row in rows if row.status is NoticeStatus.PARKED and row.kind != "notice_parked"]
    assert len(parked) == 2
    assert all(row.error for row in parked)
    assert post.got(ann) == ["after"]
    shown = [row for row in rows if row.kind == "notice_parked"]
    assert {row.recipient for row in shown} == {None, ADMIN}
    assert {row.data["notice"] for row in shown} == {row.id for row in parked}


async def test_after_three_days_of_trying_it_is_parked(post: Post) -> None:
    """11.2: but not because the clock jumped."""
    ann = await post.customer()
    await post.tell(ann, "hello")
    post.telegram.faults.add(Kind.ERROR, "sendMessage", times=0, code=502)
    post.clock.move(timedelta(days=30))
    await post.drain()
    assert (await post.notices())[0].status is NoticeStatus.WAITING
    for _ in range(outgoing._LEAST_TRIES):
        await post.later(3600)
    assert (await post.notices())[0].status is NoticeStatus.PARKED


async def test_what_is_no_longer_so_is_not_said(post: Post) -> None:
    """9.5, 11: it is neither sent nor a proof of anything."""
    ann = await post.customer()
    await post.tell(ann, "x", kind="moot")
    await post.drain()
    assert (post.got(ann), await post.fates()) == ([], [("chat", "moot", "")])


async def test_every_administrator_gets_what_is_for_the_house(post: Post) -> None:
    async with post.database.transaction() as session:
        await outbox.tell_house(session, "news", {"text": "look"}, now=post.clock.now())
    await post.drain()
    olga = post.telegram.person(ADMIN)
    assert [message.text for message in olga.messages if message.from_bot] == ["look"]


async def test_a_process_that_died_is_followed_by_one_more_try(post: Post, monkeypatch: pytest.MonkeyPatch) -> None:
    """11.1: at once when it is known to be dead, else when its lease is over."""
    ann = await post.customer()
    await post.tell(ann, "hello")
    await post.tell(ann, "then")
    async with post.database.transaction() as session:
        await outgoing.take(session, Channel.CHAT, "elsewhere", now=post.clock.now(), besides=[], limit=9)
    await post.drain()
    assert post.got(ann) == []
    await post.later(119)
    assert post.got(ann) == []
    monkeypatch.setattr("billing.leases.is_dead", lambda owner: owner == "elsewhere")
    await post.drain()
    assert post.got(ann) == ["hello", "then"]


async def test_a_lease_ends(post: Post) -> None:
    ann = await post.customer()
    await post.tell(ann, "hello")
    async with post.database.transaction() as session:
        taken = await outgoing.take(session, Channel.CHAT, "elsewhere", now=post.clock.now(), besides=[], limit=9)
    await post.later(120)
    assert post.got(ann) == ["hello"]
    # The one that was thought dead comes back, and finds that it was overtaken.
    async with post.database.transaction() as session:
        late = outgoing.Fate(NoticeStatus.WAITING, "late")
        await outgoing.record(session, taken[0].id, "elsewhere", late, now=post.clock.now())
    assert await post.fates() == [("chat", "sent", "")]


async def test_stopping_ends_what_is_in_hand_and_gives_back_the_rest(
    post: Post, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deliver, "_FINISH", 0.2)
    monkeypatch.setattr(deliver, "_PATIENCE", 0.05)
    ann, bob = await post.customer(), await post.customer()
    post.telegram.faults.add(Kind.HANG, "sendMessage", seconds=0.9)
    await post.tell(ann, "slow")
    deliverer = post.deliverer()
    await deliverer.step()
    await post.tell(bob, "quick")
    await deliverer.step()
    await deliverer.close()
    assert post.got(bob) == ["quick"]
    async with post.database.read() as session:
        assert await session.scalar(select(func.count()).where(Notice.leased_until.is_not(None))) == 0
    await post.drain()
    assert post.got(ann) == ["slow"]


async def test_a_slow_one_holds_nobody_else_up(post: Post) -> None:
    ann, bob = await post.customer(), await post.customer()
    post.telegram.faults.add(Kind.SLOW, "sendMessage", seconds=0.9)
    await post.tell(ann, "slow")
    deliverer = post.deliverer()
    await deliverer.step()
    await post.tell(bob, "quick")
    await deliverer.step()
    assert (post.got(ann), post.got(bob)) == (["slow"], ["quick"])
    sent = {row.data["text"]: row.status for row in await post.notices()}
    assert sent["quick"] is NoticeStatus.SENT
    await deliverer.drain()


# --- mail


async def test_mail_is_accepted_by_a_real_server(post: Post) -> None:
    """9.3, 11: accepted is what counts."""
    ann = await post.customer(email="ann@example.com")
    await post.tell(ann, "<b>Invoice</b> &amp; more\nbody", mail=True)
    await post.drain()
    (mail,) = post.box.messages("ann@example.com")
    assert (mail.subject, mail.text.split()) == ("Invoice & more", ["Invoice", "&", "more", "body"])
    assert {(channel, status) for channel, status, _ in await post.fates()} == {("chat", "sent"), ("mail", "sent")}


async def test_a_mail_server_that_is_away_is_tried_again(post: Post) -> None:
    """11.2: and the chat does not wait for it."""
    ann = await post.customer(email="ann@example.com")
    working, post.mailer = post.mailer, Mailer(Server.parse("smtp://127.0.0.1:1"), "shop@example.com")
    await post.tell(ann, "hello", mail=True)
    await post.drain()
    assert post.got(ann) == ["hello"]
    (mail,) = [row for row in await post.notices() if row.channel is Channel.MAIL]
    assert (mail.status, mail.attempts) == (NoticeStatus.WAITING, 1)
    assert mail.error
    post.mailer = working
    await post.later(5)
    assert [mail.subject for mail in post.box.messages("ann@example.com")] == ["hello"]


@pytest.mark.parametrize("missing", ["server", "address"])
async def test_no_way_by_mail_is_refused_with_the_reason(post: Post, missing: str) -> None:
    ann = await post.customer(email="ann@example.com")
    await post.tell(ann, "hello", mail=True)
    if missing == "server":
        post.mailer = None
    else:
        async with post.database.transaction() as session:
            await session.execute(update(Customer).where(Customer.id == ann.id).values(email=None))
    await post.drain()
    assert ("mail", "refused", "no mail server or no address") in await post.fates()
