"""Refunds, disputes and write-offs as people see them, through the real application (rules.md 10)."""

import asyncio
import shutil
import subprocess
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import select

from billing.models import Invoice, Payment
from bot.demo.telegram import Person
from tests.flows.test_order import with_card
from tests.flows.world import VISA, World


async def invoiced(world: World, card: str = VISA) -> tuple[Person, Invoice, Payment]:
    """A machine ran until the end of the month, and the card paid for it: $3.84."""
    ann = await with_card(world, world.person(), card)
    await ann.send("/deploy vm small web")
    await ann.wait_for_text("held until")
    await ann.press("Deploy web")
    await ann.wait_for_text("success")
    await world.move(timedelta(days=21, hours=12, minutes=11))
    await ann.wait_for_text("INV-2026-000001", "is paid")
    async with world.app.database.read() as session:
        invoice = (await session.scalars(select(Invoice))).one()
        payment = (await session.scalars(select(Payment))).one()
    return ann, invoice, payment


async def due(world: World) -> int:
    async with world.app.database.read() as session:
        return (await session.scalars(select(Invoice))).one().due


async def test_an_administrator_refunds_with_the_effect_shown_first(world: World, tmp_path: Path) -> None:
    """A part, then the rest; a button of an older draft does nothing; the customer gets the document."""
    ann, _, _ = await invoiced(world)
    olga = world.admin
    await olga.start()
    await olga.send("/refund")
    await olga.wait_for_text("Type the number", "/writeoff")
    await olga.send("/refund INV-2026-000999")
    await olga.wait_for_text("There is no invoice INV-2026-000999")
    await olga.send("/refund INV-2026-000001 5.00")
    await olga.wait_for_text("At most $3.84")
    await olga.send("/refund INV-2026-000001 1.00")
    first = await olga.wait_for_text("Credit $1.00", "Ann", "Back to Visa •4242: $1.00")
    await olga.send("/refund INV-2026-000001 2.00")
    await olga.wait_for_text("Credit $2.00")
    await olga.tap(first, "✅ Refund $1.00")
    await olga.press("Refund $2.00")
    await olga.wait_for_text("Credit note CN-2026-000001 over $2.00 is issued")
    told = await ann.wait_for_text("Credit note CN-2026-000001", "$2.00 goes back to Visa •4242")
    assert told.file_name == "CN-2026-000001.pdf"
    text = read_pdf(told.content, tmp_path)
    for part in ("Credit note", "CN-2026-000001", "INV-2026-000001", "$2.00"):
        assert part in text
    await refunded(world, 200)
    await olga.send("/refund INV-2026-000001")
    await olga.wait_for_text("Credit $1.84")
    await olga.press("Refund $1.84")
    await olga.wait_for_text("CN-2026-000002")
    await refunded(world, 384)
    assert await due(world) == 0
    await ann.send("/invoice INV-2026-000001")
    await ann.wait_for_text("credit note CN-2026-000001 $2.00", "credit note CN-2026-000002 $1.84")
    await ann.send("/refund INV-2026-000001")
    await ann.wait_for_text("/help")


async def test_a_dispute_is_told_and_lost_and_written_off(world: World) -> None:
    """Told by nobody (polling), it is found within the hour; both ends hear of it."""
    ann, _, payment = await invoiced(world)
    olga = world.admin
    await olga.start()
    assert payment.provider_id is not None
    opened = world.stripe.control.dispute(payment.provider_id)
    await world.move(timedelta(hours=1))
    await olga.wait_for_text("Ann disputes $3.84", opened["id"])
    await ann.wait_for_text("Your bank took back $3.84")
    await ann.send("/invoice INV-2026-000001")
    await ann.wait_for_text("disputed", "The bank decides about $3.84")
    await ann.send("/deploy vm small more")
    await ann.wait_for_text("dispute")
    world.stripe.control.settle_dispute(opened["id"], won=False)
    await world.move(timedelta(days=1, hours=1))
    await olga.wait_for_text("is lost, and due again")
    await ann.wait_for_text("has kept the disputed $3.84")
    assert await due(world) == 384
    await olga.send("/writeoff INV-2026-000001 gone away")
    await olga.wait_for_text("Give up $3.84", "Ann")
    await olga.press("Write off $3.84")
    await olga.wait_for_text("$3.84 of INV-2026-000001 is written off")
    assert await due(world) == 0
    await olga.send("/writeoff INV-2026-000001 again")
    await olga.wait_for_text("Nothing is due")


def read_pdf(content: bytes, folder: Path) -> str:
    tool = shutil.which("pdftotext")
    if tool is None:
        pytest.skip("pdftotext is missing (Debian package poppler-utils)")
    path = folder / "document.pdf"
    path.write_bytes(content)
    done = subprocess.run([tool, "-layout", path, "-"], check=True, capture_output=True, text=True)  # noqa: S603 ours
    return done.stdout


async def refunded(world: World, amount: int) -> None:
    """Wait until Stripe has given back so much: that is asked for behind the message that tells of it."""
    async with asyncio.timeout(60):
        while [charge["amount_refunded"] for charge in world.stripe.control.charges()] != [amount]:  # noqa: ASYNC110 nobody tells
            await asyncio.sleep(0.05)
    await world.settled()
