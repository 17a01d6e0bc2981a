"""The whole world on one computer: `python -m bot demo`.

One process serves Telegram with its chat page, Stripe with its payment page, the mail box and the clock; the
unchanged product runs beside it as a child process that knows no more of them than their addresses.
"""

import asyncio
import json
import os
import shutil
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from bot.demo import host
from bot.demo.child import Child, environment
from bot.demo.clock import MovableClock
from bot.demo.mail import MailBox, serve_smtp
from bot.demo.mail_pages import mail_pages
from bot.demo.steps import Mover, Product
from bot.demo.stripe import StripeStandIn
from bot.demo.stripe.server import TEST_KEY
from bot.demo.telegram import Telegram
from bot.demo.telegram.serving import serving
from bot.demo.world_routes import application
from bot.settings import Settings
from cloud.drivers.files import read_json, try_lock, write_atomic

DEFAULT_PORT = 8090
CUSTOMER, ADMINISTRATOR = (1001, "Ann"), (1002, "Olga")
_SHOP = "VM Shop"
_WEBHOOK_SECRET = "whsec_demo"  # noqa: S105 - the stand-in's and nobody else's
_TERMS = ("CURRENCY", "TAX_PERCENT", "CREDIT_LIMIT", "GRACE_MONTHS", "REMINDER_DAYS", "PROVISION_MINUTES")
"""Settings that may be tried out in the demo; all others are the demo's own."""
_START_SECONDS = 60.0
_TELEGRAM_RETRY_S = 0.25


class CannotStart(Exception):
    """The demo cannot start; one line says why."""


def main(*, folder: Path, port: int | None = None, clean: bool = False) -> int:
    """Run the demo until Ctrl-C or SIGTERM, or remove all that it left; the exit code.

    Args:
        folder: everything is kept in it, and found again by a second start.
        port: where the chat page is, the next free one if it is taken; 8090, or the one of the last start, if None.
        clean: delete the demo's machines and its folder instead.
    """
    folder = folder.resolve()
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    lock = try_lock(folder / "lock")
    if lock is None:
        last = read_json(folder / "ports.json") or {}
        _say(f"The demo runs already, at http://127.0.0.1:{last.get('chat', DEFAULT_PORT)}")
        return 1
    try:
        asyncio.run(_clean(folder) if clean else World(folder, port).run())
    except CannotStart as error:
        _say(str(error))
        return 1
    finally:
        os.close(lock)
    return 0


def _say(line: str) -> None:
    print(line, flush=True)  # noqa: T201 - what a person at a terminal reads


def _images(folder: Path) -> Path:
    """Where images are kept: beside the demo, since building one again takes a while."""
    return Path(os.environ.get("IMAGE_DIR") or folder.parent / "images").resolve()


async def _clean(folder: Path) -> None:
    removed = await host.remove(folder, _images(folder))
    shutil.rmtree(folder)
    machines = f"{removed} machine{'' if removed == 1 else 's'} and " if removed else ""
    _say(f"Removed {machines}everything in {folder}")


class World:
    """All of it, from one folder."""

    def __init__(self, folder: Path, port: int | None) -> None:
        """Choose the ports and open what was kept; nothing is served yet."""
        self._folder = folder
        self._port, self._product_port = _ports(folder, port)
        self._clock = MovableClock(folder / "clock")
        self._mail = MailBox(folder / "mail")

    async def run(self) -> None:
        """Serve until SIGINT or SIGTERM, then stop everything but the machines.

        Raises:
            CannotStart: the product does not start.
        """
        stopping = asyncio.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, stopping.set)
        machines = await host.machines(self._folder, _images(self._folder), _say)
        async with self._stand_ins(machines) as url, self._product(url, machines, stopping):
            if not stopping.is_set():
                _greet(url, machines, self._folder)
            await stopping.wait()
            _say("\nStopping …")
        await self._farewell(machines)

    async def _farewell(self, machines: host.Machines) -> None:
        """Say what goes on."""
        if machines.settings["COMPUTE"] == "qemu" and (left := await host.count(self._folder, _images(self._folder))):
            running = "1 machine keeps" if left == 1 else f"{left} machines keep"
            _say(f"Stopped. {running} running until the next start; `make demo-clean` removes everything.")
        else:
            _say("Stopped. The next start goes on from here; `make demo-clean` removes everything.")

    @asynccontextmanager
    async def _stand_ins(self, machines: host.Machines) -> AsyncIterator[str]:
        """Serve everything but the product; gives the address."""

        def seconds() -> int:
            return int(self._clock.now().timestamp())

        url = f"http://127.0.0.1:{self._port}"
        telegram = Telegram(directory=self._folder / "telegram", now=seconds, name=_SHOP, retry_s=_TELEGRAM_RETRY_S)
        for person_id, name in (CUSTOMER, ADMINISTRATOR):
            telegram.person(person_id, name)
        stripe = StripeStandIn(f"{url}/stripe", now=seconds, directory=self._folder / "stripe", merchant=_SHOP)
        stripe.control.add_webhook(f"{self._product_url}/stripe", _WEBHOOK_SECRET)
        self._asked = Product(self._product_url)
        mover = Mover(self._clock, self._asked, halted=stripe.control.tick)
        app = application(
            telegram=telegram.app,
            stripe=stripe.app,
            mail=mail_pages(self._mail),
            clock=self._clock,
            mover=mover,
            notes=[machines.note, "Nothing here costs money."],
        )
        async with serving(app, port=self._port, before_stop=telegram.end_streams):
            await telegram.start()
            await stripe.start()
            try:
                yield url
            finally:
                await mover.stop()
                await self._asked.close()
                await stripe.close()
                telegram.end_streams()
        await telegram.stop()

    @property
    def _product_url(self) -> str:
        return f"http://127.0.0.1:{self._product_port}"

    @asynccontextmanager
    async def _product(self, url: str, machines: host.Machines, stopping: asyncio.Event) -> AsyncIterator[None]:
        """Run the product, with a mail server, while the context lasts; it answers when the context begins."""
        async with serve_smtp(self._mail) as smtp:
            child = Child(
                environment(self._settings(url, smtp, machines), _known_settings()),
                self._folder,
                self._folder / "log" / "product.log",
                _say,
            )
            running = asyncio.create_task(child.run(), name="product")
            try:
                await self._first_answer(child, stopping)
                yield
            finally:
                await child.stop()
                running.cancel()
                await asyncio.gather(running, return_exceptions=True)
                child.close()

    async def _first_answer(self, child: Child, stopping: asyncio.Event) -> None:
        try:
            async with asyncio.timeout(_START_SECONDS):
                while not (await self._asked.answers() or stopping.is_set()):
                    if child.refusal:
                        raise CannotStart(f"The product does not start: {child.refusal}")
                    await asyncio.sleep(0.05)
        except TimeoutError:
            raise CannotStart(f"The product does not answer; its log is in {self._folder / 'log'}") from None

    def _settings(self, url: str, smtp: int, machines: host.Machines) -> dict[str, str]:
        """What the product is told; only addresses differ from an installation of one's own."""
        token = Telegram().token
        return {
            **{name: os.environ[name] for name in _TERMS if os.environ.get(name)},
            "BOT_TOKEN": token,
            "TELEGRAM_API_URL": f"{url}/telegram",
            "TELEGRAM_LINK_URL": f"{url}/t.me",
            "ADMIN_IDS": str(ADMINISTRATOR[0]),
            "PUBLIC_URL": self._product_url,
            "LISTEN": f"127.0.0.1:{self._product_port}",
            "STRIPE_API_URL": f"{url}/stripe",
            "STRIPE_API_KEY": TEST_KEY,
            "STRIPE_WEBHOOK_SECRET": _WEBHOOK_SECRET,
            "SMTP_URL": f"smtp://127.0.0.1:{smtp}",
            "MAIL_FROM": f"{_SHOP} <billing@vmshop.example>",
            "SELLER_NAME": _SHOP,
            "SELLER_ADDRESS": "12 Harbour Street, Exampleton",
            "DATA_DIR": str(self._folder / "product"),
            "CLOCK_FILE": str(self._folder / "clock"),
            **machines.settings,
        }


def _known_settings() -> frozenset[str]:
    return frozenset(name.upper() for name in Settings.model_fields)


def _ports(folder: Path, port: int | None) -> tuple[int, int]:
    """The ports of chat and product: those of the last start if they are free, since links in messages name them."""
    kept = folder / "ports.json"
    last = read_json(kept) or {}
    chat = host.free_port(port or last.get("chat", DEFAULT_PORT))
    product = host.free_port(last.get("product", chat + 1))
    if product == chat:
        product = host.free_port(chat + 1)
    write_atomic(kept, json.dumps({"chat": chat, "product": product}))
    return chat, product


def _greet(url: str, machines: host.Machines, folder: Path) -> None:
    """Say where to look, what is real, and how to stop."""
    _say(f"\n  Open {url} and press Start. {CUSTOMER[1]} is a customer, {ADMINISTRATOR[1]} runs the shop.\n")
    _say(f"  {machines.note} {machines.how_to}".rstrip())
    _say("  Telegram, Stripe and mail are stand-ins on this computer: no account, no money.")
    _say(f"  Everything is kept in {folder}. Stop with Ctrl-C.\n")
