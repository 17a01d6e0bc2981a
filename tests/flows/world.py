"""The real application between stand-ins, all over HTTP: what flow tests drive."""

import asyncio
import re
import socket
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
from sqlalchemy import func, select

from billing import checks
from billing.clock import Clock, ManualClock
from billing.db import Database
from billing.models import JobRun, Notice, NoticeStatus, ProviderEvent, SettlementWish
from bot.app import App
from bot.demo.mail import MailBox, serve_smtp
from bot.demo.stripe import StripeStandIn
from bot.demo.stripe.server import TEST_KEY
from bot.demo.telegram import ChatMessage, Person, Telegram
from bot.demo.telegram.serving import serving
from bot.jobs import CADENCE, due_at
from bot.models import ChatUpdate
from bot.settings import Settings
from cloud.models import Deployment

ADMIN = 9000
WEBHOOK_SECRET = "whsec_of_a_test"
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGl0F3H5gpDYqm5VYcKkGnbQSvMXAVfQjZ3SQFJbk4vX ann@laptop"
VISA, DECLINED, DECLINES_LATER = "4242424242424242", "4000000000000002", "4000000000000341"


async def is_quiet(database: Database, jobs: Iterable[str], *, now: datetime) -> bool:
    """Whether the clockwork has run what is due of some jobs, and nothing is left to do or to say."""
    async with database.read() as session:
        runs = {run.name: run for run in await session.scalars(select(JobRun))}
        waiting = [
            await session.scalar(select(func.count()).select_from(table).where(*where))
            for table, where in (
                (Notice, (Notice.status == NoticeStatus.WAITING, Notice.send_at <= now)),
                (ProviderEvent, (ProviderEvent.handled_at.is_(None), ProviderEvent.retry_at <= now)),
                (SettlementWish, (SettlementWish.wanted_at <= now,)),
                (Deployment, (Deployment.reconcile_at <= now,)),
                (ChatUpdate, (ChatUpdate.handled_at.is_(None),)),
            )
        ]
    ran = all(
        name in runs and runs[name].leased_until is None and due_at(CADENCE[name], runs[name].tick_at, now) is None
        for name in jobs
    )
    return ran and not any(waiting)


@dataclass
class World:
    """A running application with its surroundings."""

    app: App
    telegram: Telegram
    stripe: StripeStandIn
    clock: ManualClock
    url: str

    def person(self, person_id: int = 1, name: str = "Ann", **more: Any) -> Person:
        return self.telegram.person(person_id, name, **more)

    @property
    def admin(self) -> Person:
        return self.telegram.person(ADMIN, "Olga")

    async def pay_page(self, message: ChatMessage, card: str = VISA) -> None:
        """Type a card on the payment page that a message links to."""
        self.stripe.control.pay(session_of(message), card=card)
        if not self.app.settings.public_url:
            # Nobody tells us: the page is asked for a few seconds later.
            await self.move(timedelta(seconds=6))

    async def move(self, by: timedelta) -> None:
        """Move the clock and let every job that has become due run."""
        self.clock.move(by)
        self.stripe.control.tick()
        await self.settled()

    async def move_to(self, instant: datetime) -> None:
        await self.move(instant - self.clock.now())

    async def settled(self, timeout_s: float = 120) -> None:
        """Wait until the clockwork has looked at the present instant and nothing is left to do or to say."""
        async with asyncio.timeout(timeout_s):
            while True:
                if await is_quiet(self.app.database, self.app.scheduled, now=self.clock.now()):
                    return
                await asyncio.sleep(0.05)

    async def check(self) -> None:
        """What must always be true of the books (rules.md 2.6) is true."""
        async with self.app.database.read() as session:
            found = await checks.differences(session, currency=self.app.terms.currency)
            found += await checks.usage_differences(session)
        assert not found, found


def session_of(message: ChatMessage) -> str:
    """The Checkout session that a message links to."""
    url = next(button.url for row in message.rows for button in row if button.url)
    match = re.search(r"cs_\w+", url)
    assert match is not None, url
    return match[0]


@asynccontextmanager
async def open_world(
    tmp_path: Path,
    database_url: str,
    clock: ManualClock,
    *,
    webhook: bool = False,
    prepare: Callable[[Telegram], dict[str, Any]] = lambda _: {},
    **more: Any,
) -> AsyncIterator[World]:
    """A world on a database; with webhooks, or polling both Telegram and Stripe.

    `prepare` makes what must be there before the application starts, and returns settings; so are `more`.
    """
    async with surroundings(clock) as around:
        settings = around.settings(tmp_path, database_url, webhook=webhook, **more, **prepare(around.telegram))
        async with around.inhabited(settings, clock) as world:
            yield world


@asynccontextmanager
async def open_mailing_world(
    tmp_path: Path, database_url: str, clock: ManualClock, box: MailBox
) -> AsyncIterator[World]:
    """A world that sends mail, over SMTP, into a box; its books are checked at the end."""
    async with (
        serve_smtp(box) as port,
        open_world(
            tmp_path, database_url, clock, smtp_url=f"smtp://127.0.0.1:{port}", mail_from="Shop <shop@example.com>"
        ) as world,
    ):
        yield world
        await world.check()


@dataclass
class Surroundings:
    """Telegram and Stripe, which outlive the application between them."""

    telegram: Telegram
    stripe: StripeStandIn
    telegram_url: str

    def settings(self, tmp_path: Path, database_url: str, *, webhook: bool = False, **more: Any) -> Settings:
        """The settings of an application here."""
        listen = _free_port()
        values = dict(
            bot_token=self.telegram.token,
            telegram_api_url=self.telegram_url,
            stripe_api_key=TEST_KEY,
            stripe_api_url=self.stripe.base_url,
            listen=f"127.0.0.1:{listen}",
            database_url=database_url,
            data_dir=tmp_path / "data",
            admin_ids=str(ADMIN),
            compute="simulated",
            seller_name="VM Shop",
            **more,
        )
        if webhook:
            public = f"http://127.0.0.1:{listen}"
            values |= {"public_url": public, "stripe_webhook_secret": WEBHOOK_SECRET}
            self.stripe.control.add_webhook(f"{public}/stripe", WEBHOOK_SECRET)
        return Settings(_env_file=None, **values)

    @asynccontextmanager
    async def inhabited(self, settings: Settings, clock: ManualClock) -> AsyncIterator[World]:
        """A running application; it may be followed by another one."""
        async with running(settings, clock) as app:
            url = f"http://{settings.listen.host}:{settings.listen.port}"
            yield World(app, self.telegram, self.stripe, clock, url)


@asynccontextmanager
async def surroundings(clock: Clock) -> AsyncIterator[Surroundings]:
    """Stand-ins for Telegram and Stripe, on this clock."""
    telegram = Telegram(now=lambda: int(clock.now().timestamp()), retry_s=0.05)
    stripe = StripeStandIn(now=lambda: int(clock.now().timestamp()))
    async with telegram.serving() as telegram_url, serving(stripe.app, before_stop=None) as stripe_url:
        stripe.base_url = stripe_url
        await stripe.start()
        try:
            yield Surroundings(telegram, stripe, telegram_url)
        finally:
            await stripe.close()


@asynccontextmanager
async def running(settings: Settings, clock: ManualClock) -> AsyncIterator[App]:
    """The application, started and stopped as the command line does it."""
    stopping = asyncio.Event()
    async with App(settings, clock) as app:
        task = asyncio.create_task(app.run_until(stopping))
        try:
            await _until(lambda: _alive(settings), task)
            yield app
        finally:
            stopping.set()
            await task


async def _alive(settings: Settings) -> bool:
    async with httpx.AsyncClient(trust_env=False, verify=False) as client:  # noqa: S501 plain http to loopback
        try:
            answer = await client.get(f"http://{settings.listen.host}:{settings.listen.port}/healthz")
        except httpx.TransportError:
            return False
    return answer.status_code == 200


async def _until(ready: Callable[[], Any], task: asyncio.Task[None]) -> None:
    async with asyncio.timeout(20):
        while not await ready():
            if task.done():
                task.result()
            await asyncio.sleep(0.02)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
