"""The composition root: the only place that builds everything and ties it together."""

import asyncio
import logging
import signal
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from types import TracebackType
from typing import Self

from starlette.applications import Starlette
from telegram import Update
from telegram.ext import TypeHandler

from billing import books, catalog, payments
from billing.cashier import Cashier
from billing.checkouts import Checkouts
from billing.clock import Clock, SystemClock
from billing.corrector import Corrector
from billing.db import Database
from billing.inbox import Inbox
from billing.models import EventKind
from billing.stars import StarsDesk
from billing.stripe_gateway import StripeGateway
from bot import apart, chores, compute, connection, menu, schema, switches
from bot.context import Services
from bot.deliver import Deliverer
from bot.dispatch import Dispatcher
from bot.everything import FEATURES
from bot.floods import Gate
from bot.jobs import CADENCE, Clockwork
from bot.mail import Mailer, Server
from bot.notices import Writer
from bot.progress import Progress, Stands
from bot.replicas import BEAT_SECONDS, Membership
from bot.router import Routes
from bot.server import WebServer
from bot.settings import CannotStart, Settings
from bot.stars import TelegramStars
from bot.updates import InOrderPerUser, UpdateStore
from bot.web.health import Health
from bot.web.pages import CheckoutPages
from bot.web.routes import application
from bot.web.stripe import StripeHook
from bot.web.telegram import TelegramHook
from bot.workers import Worker, finish
from cloud.cluster import SshDoor
from cloud.k3s import Release
from cloud.overdue import Overdue
from cloud.product_key import ProductKey
from cloud.reconcile import Reconciler
from cloud.specs import SpecMaker

log = logging.getLogger(__name__)

_STOP_SECONDS = 4.0
"""How long what is in hand may take when we stop: with the last messages ten seconds at most."""
_UPDATES_EVERY = 0.5
_MACHINES_EVERY = 1.0
_MONEY_EVERY = 2.0
_MESSAGES_EVERY = 1.0
"""Seconds between looks when nobody calls a worker."""


class App:
    """Everything that is built from one set of settings; an async context that opens and closes it."""

    def __init__(self, settings: Settings, clock: Clock | None = None) -> None:
        """Build it, by the machine's clock or another one; nothing is opened or called yet.

        Raises:
            CannotStart: there is no folder for the database, and none can be made.
        """
        self.settings = settings
        self.terms = settings.terms()
        self.clock = clock or SystemClock(settings.clock_file)
        self.database = _database(settings)
        self.driver = compute.make_driver(settings)
        self.gateway = _gateway(settings)
        self.mailer = _mailer(settings)
        self.membership = Membership(self.database)
        self.store = UpdateStore(self.database, self.clock, self.membership.name)
        self.gate = Gate(self.store, self.database)
        self.processor = InOrderPerUser(self.store)
        self.telegram = connection.build(settings, self.store, self.processor)
        product_key = ProductKey(settings.data_dir / "cluster_key")
        self.reconciler = Reconciler(
            self.database,
            self.driver,
            self.clock,
            specs=SpecMaker(
                (settings.admin_ssh_key,) if settings.admin_ssh_key else (),
                release=Release(settings.k3s_version, settings.k3s_mirror),
                product_key=product_key,
            ),
            door=SshDoor(product_key),
        )

    async def __aenter__(self) -> Self:
        """Bring the database up to date.

        Raises:
            CannotStart: something that the operator must change first; one line.
        """
        if not await schema.is_current(self.database):
            await schema.make_current(self.database)
        async with self.database.transaction() as session:
            await switches.keep_currency(session, self.terms.currency.code, self.clock.now())
            await catalog.ensure_defaults(session, self.terms.currency)
            username = await switches.bot_username(session)
        self._build(username)
        return self

    def _build(self, username: str) -> None:
        """Build what needs the way into the chat."""
        self.chat_url = f"{self.settings.telegram_link_url}/{username}"
        public = self.settings.public_url
        webhook = bool(public and self.settings.stripe_webhook_secret)
        self.checkouts = Checkouts(
            self.database, self.gateway, self.clock, public_url=public, done_url=self.chat_url, webhook=webhook
        )
        self.cashier = Cashier(
            self.database,
            self.gateway,
            self.clock,
            terms=self.terms,
            return_url=f"{public}/checkout/done" if public else self.chat_url,
            closed=switches.maintenance,
        )
        self.overdue = Overdue(self.database, self.clock, terms=self.terms, cancel_waiting=self.cashier.cancel_waiting)
        self.star_payments = TelegramStars(self.telegram.bot)
        self.stars = StarsDesk(self.database, self.star_payments, self.clock)
        self.corrector = Corrector(
            self.database, self.gateway, self.clock, terms=self.terms, notice_charge=self.cashier.notice
        )
        self.inbox = Inbox(
            self.database,
            self.clock,
            {
                EventKind.DISPUTE: self.corrector.notice_dispute,
                EventKind.REFUND: self.corrector.notice_refund,
                EventKind.PAGE: self.checkouts.notice,
                EventKind.CHARGE: self.cashier.notice,
                EventKind.CARD: self.cashier.notice_card,
            },
        )

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Hand back what is in hand, and close everything; machines go on."""
        await self.reconciler.close()
        await self.close()

    async def close(self) -> None:
        """Let go of every connection; enough for an app that was not opened."""
        apart.close()
        await self.gateway.close()
        await self.driver.close()
        await self.database.close()

    # --- commands

    async def job(self, name: str) -> int:
        """Run one job once, to its end; return the exit code."""
        return await chores.to_the_end(self, name)

    async def export(self, path: Path) -> int:
        """Write the ledger into a file, as its ending says; return the exit code."""
        write = books.write_csv if path.suffix == ".csv" else books.write_beancount
        out = await asyncio.to_thread(path.open, "w", encoding="utf-8", newline="")
        with out:
            async with self.database.read() as session:
                count = await write(session, out, self.terms.currency)
        log.info("%s transfers written to %s", count, path)
        return 0

    async def run(self) -> int:
        """Run bot, web endpoints, workers and clockwork until SIGTERM or SIGINT; return the exit code."""
        stopping = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, stopping.set)
        await self.run_until(stopping)
        return 0

    async def run_until(self, stopping: asyncio.Event) -> None:
        """Run everything until told to stop, then finish what is in hand.

        Raises:
            CannotStart: Telegram does not answer, or somebody else listens where we should.
        """
        async with self._in_the_chat():
            services = await self.services()
            self.reconciler.on_change = Progress(services)
            outbox = self.deliverer(real=services.real)
            workers = self._workers(services, outbox)
            services.wakers.update({worker.name: worker.wake for worker in workers})
            self.store.on_room = services.wakers["updates"]
            await self._listen(services, workers, stopping)
            await outbox.close()

    async def services(self) -> Services:
        """Return what handlers get."""
        return Services(
            settings=self.settings,
            terms=self.terms,
            clock=self.clock,
            database=self.database,
            gateway=self.gateway,
            driver=self.driver,
            cashier=self.cashier,
            checkouts=self.checkouts,
            stars=self.stars,
            bot=self.telegram.bot,
            chat_url=self.chat_url,
            able=await self.driver.capabilities(),
            mailer=self.mailer,
            overdue=self.overdue,
        )

    def deliverer(self, *, real: bool) -> Deliverer:
        """Return who drains the outbox."""
        return Deliverer(
            database=self.database,
            clock=self.clock,
            bot=self.telegram.bot,
            mailer=self.mailer,
            write=Writer(database=self.database, clock=self.clock, terms=self.terms, real=real, chat_url=self.chat_url),
            administrators=self.settings.admin_ids,
            told=Stands(self.database, self.telegram.bot),
        )

    @property
    def scheduled(self) -> Mapping[str, chores.Chore]:
        """The jobs that the clockwork runs, by name."""
        return {name: job for name, job in chores.jobs(self).items() if name in CADENCE}

    # --- running

    @asynccontextmanager
    async def _in_the_chat(self) -> AsyncIterator[None]:
        """Open the bot; on the way out finish the updates that are in hand."""
        await connection.open_bot(self.telegram)
        username = self.telegram.bot.username
        async with self.database.transaction() as session:
            await switches.remember_username(session, username, self.clock.now())
        self._build(username)
        try:
            yield
        finally:
            await self.telegram.shutdown()

    async def _listen(self, services: Services, workers: list[Worker], stopping: asyncio.Event) -> None:
        """Take updates and do what is due until told to stop; then finish what is in hand."""
        dispatcher = Dispatcher(services, Routes.of(route for feature in FEATURES for route in feature.handlers()))
        self.telegram.add_handler(TypeHandler(Update, dispatcher.handle))
        server = WebServer(self._web(services), self.settings.listen)
        await self.membership.beat()
        await self.telegram.start()
        await self.store.forget()
        await self.store.take(self.telegram.bot)
        clockwork = Clockwork(self.database, self.clock, self.scheduled)
        running = [asyncio.create_task(worker.run(), name=worker.name) for worker in workers]
        running.append(asyncio.create_task(clockwork.run(), name="clockwork"))
        serving = asyncio.create_task(server.run_until_stopped(), name="web")
        updates = asyncio.create_task(
            connection.receive(
                self.telegram,
                self.gate,
                leads=self.membership.leads,
                public_url=self.settings.public_url,
                secret=self.settings.webhook_secret,
            ),
            name="updates",
        )
        greeting = asyncio.create_task(
            menu.publish(self.telegram.bot, self.settings.admin_ids, clusters=services.able.clusters), name="menu"
        )
        preparing = asyncio.create_task(compute.prepare(self.driver), name="preparing")
        log.info("running as @%s, listening on %s:%s", self.telegram.bot.username, *self.settings.listen)
        await _first_of(stopping, serving)
        log.info("stopping")
        updates.cancel()
        greeting.cancel()
        preparing.cancel()
        server.stop()
        self.store.stop()
        clockwork.stop()
        for worker in workers:
            worker.stop()
        await asyncio.gather(self._finish_updates(), finish(running, _STOP_SECONDS))
        await asyncio.gather(serving, updates, greeting, preparing, return_exceptions=True)
        await self.gate.close()
        await clockwork.give_back()
        await self.store.give_back()
        await self.membership.leave()

    async def _finish_updates(self) -> None:
        """Let updates that have begun end; what takes longer is broken off, and begun again by another process."""
        stopping = asyncio.create_task(self.telegram.stop())
        _, late = await asyncio.wait([stopping], timeout=_STOP_SECONDS)
        if late:
            self.processor.cut_off()
        await stopping

    def _web(self, services: Services) -> Starlette:
        async def look(session_id: str) -> None:
            await self.checkouts.notice(session_id)
            services.wake("money")

        async def confirmed(charge_id: str) -> None:
            # Whoever opens the page chose this id: only one that waits for its bank is asked for.
            async with self.database.read() as session:
                waits = await payments.waits_for_bank(session, charge_id)
            if waits:
                await self.cashier.notice(charge_id)
                services.wake("money")

        return application(
            telegram=TelegramHook(self.settings.webhook_secret, self.gate, self.telegram.bot)
            if self.settings.public_url
            else None,
            stripe=StripeHook(
                gateway=self.gateway, database=self.database, clock=self.clock, wake=lambda: services.wake("money")
            )
            if self.settings.stripe_webhook_secret
            else None,
            pages=CheckoutPages(self.chat_url, look, confirmed),
            health=Health(self.database, self.telegram.bot, self.clock),
        )

    def _workers(self, services: Services, outbox: Deliverer) -> list[Worker]:
        async def money() -> bool:
            await chores.look_after_money(self)
            services.wake("messages")
            return False

        async def machines_() -> bool:
            more = await self.reconciler.tick()
            services.wake("messages")
            return more

        async def messages() -> bool:
            return await chores.send_messages(self, outbox)

        async def updates() -> bool:
            await self.store.take(self.telegram.bot)
            return False

        async def living() -> bool:
            if not await self.membership.beat():
                self.store.lost()
            return False

        return [
            Worker("replicas", living, every=BEAT_SECONDS),
            Worker("updates", updates, every=_UPDATES_EVERY),
            Worker("machines", machines_, every=_MACHINES_EVERY),
            Worker("money", money, every=_MONEY_EVERY),
            Worker("messages", messages, every=_MESSAGES_EVERY),
        ]


async def _first_of(stopping: asyncio.Event, serving: asyncio.Task[None]) -> None:
    """Wait until told to stop, or until the web server has ended by itself."""
    told = asyncio.create_task(stopping.wait())
    await asyncio.wait((told, serving), return_when=asyncio.FIRST_COMPLETED)
    told.cancel()


def _database(settings: Settings) -> Database:
    try:
        return Database(settings.database)
    except OSError as error:
        raise CannotStart(f"DATABASE_URL: its folder cannot be made: {error.strerror}") from None


def _gateway(settings: Settings) -> StripeGateway:
    secret = settings.stripe_webhook_secret
    return StripeGateway(
        api_key=settings.stripe_api_key.get_secret_value(),
        currency=settings.terms().currency,
        webhook_secret=secret.get_secret_value() if secret else "",
        api_url=settings.stripe_api_url,
    )


def _mailer(settings: Settings) -> Mailer | None:
    if settings.smtp_url is None:
        return None
    return Mailer(Server.parse(settings.smtp_url.get_secret_value()), settings.mail_from)
