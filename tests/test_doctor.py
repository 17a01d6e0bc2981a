"""`doctor` finds what a stranger's set-up has wrong, and says how to mend it: one broken set-up a test."""

import asyncio
import re
import shutil
import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
from telegram import Bot

from billing import administrators, ledger
from billing.clock import ManualClock
from billing.db import Database
from billing.models import AccountKind
from bot import doctor
from bot.app import App
from bot.demo.mail import MailBox, serve_smtp
from bot.demo.stripe import StripeStandIn
from bot.demo.stripe.server import TEST_KEY
from bot.demo.telegram import Telegram
from bot.demo.telegram.serving import serving
from bot.settings import Settings
from tests.billing.builders import make_customer

PUBLIC = "https://bot.example.com"
NOBODY = "http://127.0.0.1:9"
"""An address at which nothing listens."""
NAMES = ["folder", "database", "currency", "clock", "telegram", "administrators", "support", "stripe", "webhooks",
         "listen", "machines", "mail"]  # fmt: skip


@dataclass
class Patient:
    """A set-up that is well until a test changes a setting."""

    telegram: Telegram
    stripe: StripeStandIn
    settings: dict[str, Any]
    capsys: pytest.CaptureFixture[str]
    code: int = -1
    said: dict[str, tuple[str, str]] = field(default_factory=dict)

    async def examine(self, **changes: Any) -> None:
        """Let doctor look at it with these settings changed."""
        app = App(Settings(_env_file=None, **self.settings | changes))
        try:
            self.code = await doctor.examine(app)
        finally:
            await app.close()
        lines = re.findall(r"^(ok|FAIL) +(\w+): (.*)$", self.capsys.readouterr().out, flags=re.MULTILINE)
        self.said = {name: (verdict, words) for verdict, name, words in lines}
        assert list(self.said) == NAMES  # each is looked at, whatever is wrong with another

    async def fails(self, name: str, *words: str, **changes: Any) -> None:
        """Expect that one thing is found wrong, in these words, and nothing else."""
        await self.examine(**changes)
        assert self.code == 1
        assert {each: said for each, said in self.said.items() if said[0] == "FAIL"}.keys() == {name}, self.said
        for part in words:
            assert part in self.said[name][1]


@pytest.fixture
async def patient(tmp_path: Path, sqlite_url: str, capsys: pytest.CaptureFixture[str]) -> AsyncIterator[Patient]:
    """Stand-ins for Telegram and Stripe on the wall's clock, simulated machines, and an SQLite database."""
    telegram, stripe = Telegram(), StripeStandIn()
    async with telegram.serving() as telegram_url, serving(stripe.app, before_stop=None) as stripe_url:
        settings = {
            "bot_token": telegram.token,
            "telegram_api_url": telegram_url,
            "stripe_api_key": TEST_KEY,
            "stripe_api_url": stripe_url,
            "listen": f"127.0.0.1:{await free_port()}",
            "database_url": sqlite_url,
            "data_dir": tmp_path / "data",
            "admin_ids": "1002",
            "compute": "simulated",
        }
        yield Patient(telegram, stripe, settings, capsys)


async def free_port() -> int:
    server = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0)
    port: int = server.sockets[0].getsockname()[1]
    server.close()
    await server.wait_closed()
    return port


async def test_all_is_well(patient: Patient) -> None:
    await patient.examine()
    assert patient.code == 0
    assert {verdict for verdict, _ in patient.said.values()} == {"ok"}
    assert patient.said["database"][1] == "sqlite, schema current"
    assert patient.said["administrators"][1] == "1 by ADMIN_IDS, 0 made in the chat"


async def test_it_changes_nothing(patient: Patient, tmp_path: Path) -> None:
    """A fresh SQLite database is left to the first start, and no fault."""
    await patient.examine(database_url=f"sqlite:///{tmp_path}/fresh.sqlite3")
    assert patient.code == 0
    assert patient.said["database"][1] == "sqlite, migrated by the next start"
    with closing(sqlite3.connect(tmp_path / "fresh.sqlite3")) as database:
        assert database.execute("SELECT count(*) FROM sqlite_master").fetchone() == (0,)


# --- Telegram


async def test_a_token_that_was_revoked(patient: Patient) -> None:
    await patient.fails("telegram", "BOT_TOKEN is refused", "/token", bot_token="123456:revoked_token_of_old")


async def test_telegram_out_of_reach(patient: Patient) -> None:
    await patient.fails("telegram", "TELEGRAM_API_URL does not answer", "network", telegram_api_url=NOBODY)


async def test_a_support_chat_without_the_bot(patient: Patient) -> None:
    await patient.fails("support", "SUPPORT_CHAT_ID", "add the bot to the group", support_chat_id=-100123)


async def test_a_forum_in_which_the_bot_may_not_manage_topics(patient: Patient) -> None:
    staff = patient.telegram.person(1, "Sam")
    forum = patient.telegram.group("Support", staff, forum=True)
    await patient.fails("support", "administrator", "manage topics", support_chat_id=forum.id)
    good = patient.telegram.group("Support", staff, forum=True, administrator=True)
    await patient.examine(support_chat_id=good.id)
    assert patient.said["support"] == ("ok", "Support")


async def test_a_clock_that_is_wrong(patient: Patient, tmp_path: Path) -> None:
    (tmp_path / "clock").write_text("86400")
    await patient.fails("clock", "s fast", "timedatectl set-ntp true", clock_file=tmp_path / "clock")


# --- Stripe and webhooks


async def test_a_key_that_stripe_refuses(patient: Patient) -> None:
    await patient.fails("stripe", "STRIPE_API_KEY is refused", "API keys", stripe_api_key="sk_test_rolled")


async def test_stripe_out_of_reach(patient: Patient) -> None:
    await patient.fails("stripe", "STRIPE_API_URL does not answer", stripe_api_url=NOBODY)


async def test_webhooks_without_their_secret(patient: Patient) -> None:
    await patient.fails("webhooks", "STRIPE_WEBHOOK_SECRET is missing", f"{PUBLIC}/stripe", public_url=PUBLIC)


@pytest.mark.parametrize(
    ("endpoint", "words"),
    [
        ({}, "Stripe has no endpoint for"),
        ({"disabled": "true"}, "is disabled"),
        ({"enabled_events[0]": "payment_intent.succeeded"}, "is not told of checkout.session.completed"),
    ],
    ids=["none", "disabled", "half deaf"],
)
async def test_an_endpoint_at_stripe_that_does_not_tell(patient: Patient, endpoint: dict[str, Any], words: str) -> None:
    hooks = {"public_url": PUBLIC, "stripe_webhook_secret": "whsec_x"}
    if endpoint:
        made = patient.stripe.control.add_webhook(f"{PUBLIC}/stripe", "whsec_x")
        url = f"{patient.settings['stripe_api_url']}/v1/webhook_endpoints/{made['id']}"
        async with httpx.AsyncClient(auth=(TEST_KEY, "")) as client:
            (await client.post(url, data=endpoint)).raise_for_status()
    await patient.fails("webhooks", words, "Developers → Webhooks", **hooks)


async def test_webhooks_that_are_well(patient: Patient) -> None:
    patient.stripe.control.add_webhook(f"{PUBLIC}/stripe", "whsec_x")
    await patient.examine(public_url=PUBLIC, stripe_webhook_secret="whsec_x")
    assert patient.said["webhooks"] == ("ok", f"{PUBLIC}/telegram and /stripe, told of all events")


async def test_an_address_at_which_telegram_finds_nobody(patient: Patient) -> None:
    dead = f"http://127.0.0.1:{await free_port()}"
    bot = Bot(patient.telegram.token, base_url=f"{patient.settings['telegram_api_url']}/bot")
    async with bot:
        await bot.set_webhook(f"{dead}/telegram")
        await patient.telegram.person(1, "Ann").start()
        while not (await bot.get_webhook_info()).last_error_message:  # noqa: ASYNC110 another side of a wire
            await asyncio.sleep(0.05)
    hooks = {"public_url": dead, "stripe_webhook_secret": "whsec_x"}
    await patient.fails("webhooks", f"Telegram cannot reach {dead}/telegram", "proxy", **hooks)


async def test_somebody_else_on_the_port(patient: Patient) -> None:
    server = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0)
    taken = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
    await patient.fails("listen", f"LISTEN: {taken} cannot be had", "another port", listen=taken)
    server.close()
    await server.wait_closed()


# --- the database and its folder


async def test_a_server_that_is_away(patient: Patient) -> None:
    url = "postgresql+asyncpg://me:secret@127.0.0.1:1/shop"
    await patient.fails("database", "DATABASE_URL", "cannot be reached", database_url=url)
    assert "secret" not in patient.said["database"][1]


async def test_a_server_that_was_not_migrated(patient: Patient, empty_postgres_url: str) -> None:
    await patient.fails("database", "run: python -m bot migrate", database_url=empty_postgres_url)


async def test_a_database_of_a_newer_program(patient: Patient, tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "vmbot.sqlite3", isolation_level=None)) as database:
        database.execute("UPDATE alembic_version SET version_num = '9999'")
    await patient.fails("database", "newer than this program", "start the version that made it")


async def test_another_currency_than_that_of_the_books(patient: Patient, sqlite_url: str, clock: ManualClock) -> None:
    database = Database(sqlite_url)
    async with App(Settings(_env_file=None, **patient.settings), clock):
        pass  # the first start writes the currency down
    async with database.transaction() as session:
        customer = await make_customer(session)
        await ledger.transfer(
            session,
            operation="test",
            debit=ledger.Side(AccountKind.CORRECTIONS),
            credit=ledger.Side(AccountKind.BALANCE, customer.id),
            amount=100,
            about=ledger.About("correction"),
            now=clock.now(),
        )
    await database.close()
    await patient.fails("currency", "CURRENCY", "usd", currency="eur")


async def test_a_folder_that_cannot_be_written(patient: Patient, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    folder = tmp_path / "file" / "data"
    await patient.examine(data_dir=folder)
    assert {name for name, (verdict, _) in patient.said.items() if verdict == "FAIL"} == {"folder", "machines"}
    assert "cannot be written (Not a directory); give it to the user that runs this" in patient.said["folder"][1]


async def test_a_disk_that_is_full(patient: Patient, monkeypatch: pytest.MonkeyPatch) -> None:
    full = shutil.disk_usage("/")._replace(free=1024)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: full)  # a disk that is really full needs root and a mount
    await patient.fails("folder", "DATA_DIR: 0 MiB are free", "make room")


async def test_nobody_who_runs_the_business_is_said(patient: Patient, sqlite_url: str, clock: ManualClock) -> None:
    await patient.examine(admin_ids="")
    assert patient.said["administrators"] == (
        "ok",
        "none: ADMIN_IDS is empty, nobody can run the business from the chat",
    )
    database = Database(sqlite_url)
    async with database.transaction() as session:
        await administrators.grant(session, 7, actor=1, now=clock.now())
    await database.close()
    await patient.examine(admin_ids="")
    assert patient.said["administrators"] == ("ok", "0 by ADMIN_IDS, 1 made in the chat")


# --- machines and mail


async def test_a_host_without_qemu(patient: Patient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    await patient.fails("machines", "apt-get install", "qemu-system-x86", compute="qemu", image="tiny")


async def test_a_mail_server_that_is_away(patient: Patient) -> None:
    mail = {"smtp_url": "smtp://127.0.0.1:9", "mail_from": "billing@vmshop.example"}
    await patient.fails("mail", "SMTP_URL", **mail)


async def test_a_mail_server_that_refuses_the_password(patient: Patient, tmp_path: Path) -> None:
    async with serve_smtp(MailBox(tmp_path / "mail")) as port:
        mail = {"mail_from": "billing@vmshop.example"}
        await patient.examine(smtp_url=f"smtp://127.0.0.1:{port}", **mail)
        assert patient.said["mail"] == ("ok", "the server takes mail")
        await patient.fails("mail", "SMTP_URL", smtp_url=f"smtp://ann:wrong@127.0.0.1:{port}?starttls=never", **mail)
