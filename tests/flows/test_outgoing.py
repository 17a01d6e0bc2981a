"""Whom the program talks to: those whom its settings name, and nobody whom a person named."""

import asyncio
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from sqlalchemy import select

from billing.clock import ManualClock
from billing.models import Customer
from bot.demo.mail import MailBox, serve_smtp
from tests.flows.test_order import with_card
from tests.flows.test_settings import tap
from tests.flows.world import KEY, open_world

_heard: list[Any] = []
_listening = False


def _note(event: str, arguments: tuple[object, ...]) -> None:
    if _listening and event in {"socket.connect", "socket.sendto", "socket.getaddrinfo"}:
        _heard.append(arguments[1] if event != "socket.getaddrinfo" else (arguments[0], arguments[1]))


@pytest.fixture
def listening() -> Iterator[None]:
    """Connections of this process are noted while the test runs."""
    global _listening  # noqa: PLW0603 an audit hook stays for good
    _heard.clear()
    sys.addaudithook(_note)
    _listening = True
    yield
    _listening = False


def heard() -> set[int | None]:
    return {int(address[1]) for address in _heard if isinstance(address, tuple) and address[1] is not None}


@pytest.mark.usefixtures("listening")
async def test_no_address_that_a_person_names_is_asked(tmp_path: Path, sqlite_url: str, clock: ManualClock) -> None:
    """Someone writes an address of ours wherever a text can be written; nobody ever connects to it."""
    visits: list[str] = []

    async def visited(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        visits.append("somebody came")
        writer.close()

    bait = await asyncio.start_server(visited, "127.0.0.1", 0)
    port = int(bait.sockets[0].getsockname()[1])
    url = f"http://127.0.0.1:{port}/x"
    async with serve_smtp(MailBox(tmp_path / "mail")) as smtp_port:
        smtp: dict[str, Any] = {"smtp_url": f"smtp://127.0.0.1:{smtp_port}", "mail_from": "Shop <shop@example.com>"}
        async with open_world(tmp_path, sqlite_url, clock, **smtp) as world:
            ann = await with_card(world, world.person(1, url, username="ann"))
            for text in (
                f"/email ann@[127.0.0.1]:{port}",
                "/email ann@localhost.localdomain",
                f"/sshkey {KEY} {url}",
                f"/support please look at {url}",
                f"/voucher {url}",
                f"/deploy {url}",
                f"/start {url}",
                f"/topup {url}",
                url,
            ):
                await ann.send(text)
            for field in ("Name", "Address", "Tax id"):
                await ann.send("/settings")
                await tap(ann, "Billing details")
                await tap(ann, f"✏️ {field}")
                await ann.wait_for_text("stand on your invoices")
                await ann.send(f"{url} {field}")
                await ann.wait_for_text("Billing details")
            await world.settled()
            async with world.app.database.read() as session:
                customer = (await session.scalars(select(Customer).where(Customer.telegram_id == ann.id))).one()
            assert url in customer.billing_name
            settings = world.app.settings
            known = {urlsplit(address).port for address in (settings.telegram_api_url, settings.stripe_api_url)}
    bait.close()
    await bait.wait_closed()
    assert visits == []
    assert port not in heard()
    assert known <= heard() <= known | {settings.listen.port, smtp_port}
