"""The visitor's whole story by clicking in the page, with a machine that really boots where QEMU is to be had."""

import asyncio
import os
import re
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import Browser, BrowserContext, Locator, Page, async_playwright, expect

from cloud.drivers.base import DriverError
from cloud.drivers.qemu import image
from tests.contract.drivers import IMAGES
from tests.demo.outside import ANN, OLGA, Demo, running

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
ARGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--force-color-profile=srgb"]
BOOT_MS = 240_000  # on a busy machine without hardware virtualization; 10 s on an idle one
MOVE_MS = 300_000

pytestmark = [pytest.mark.browser, pytest.mark.skipif(not CHROMIUM, reason="Chromium is not installed")]
expect.set_options(timeout=60_000)  # a busy machine is no reason to fail


def has_qemu() -> bool:
    """Whether real machines can be had here."""
    try:
        image.need_tools("tiny")
        image.prepare("tiny", IMAGES)
    except DriverError:
        return False
    return True


class Visitor:
    """Somebody at the page; looks are kept as pictures in the folder `SCREENSHOTS`, or a temporary one."""

    def __init__(self, page: Page, folder: Path, person: int) -> None:
        self.page = page
        self.column = page.locator(f'[data-testid="column"][data-person="{person}"]')
        self._folder = folder
        self._looks = 0

    async def look(self, name: str, page: Page | None = None) -> Path:
        """Take a picture."""
        self._looks += 1
        path = self._folder / f"{self._looks:02}-{name}.png"
        await (page or self.page).screenshot(path=path, animations="disabled")
        return path

    async def type(self, text: str) -> None:
        await self.column.get_by_test_id("input").fill(text)
        await self.column.get_by_test_id("input").press("Enter")

    async def click(self, button: str) -> None:
        """Click a button of the newest message that has it."""
        await self.column.locator(f'[data-testid="button"][data-text*="{button}"]').last.click()

    def message(self, *parts: str) -> Locator:
        """The newest message that contains every part."""
        found = self.column.get_by_test_id("message")
        for part in parts:
            found = found.filter(has_text=part)
        return found.last

    async def sees(self, *parts: str, timeout_ms: float = 60_000) -> Locator:
        message = self.message(*parts)
        await expect(message).to_be_visible(timeout=timeout_ms)
        return message

    async def open(self, button: str) -> Page:
        """Click a button that opens a page of its own."""
        async with self.page.context.expect_page() as opening:
            await self.click(button)
        opened = await opening.value
        await opened.wait_for_load_state()
        return opened


@pytest_asyncio.fixture
async def demo(tmp_path: Path) -> AsyncIterator[Demo]:
    environment = {"COMPUTE": "qemu", "IMAGE_DIR": str(IMAGES)} if has_qemu() else {}
    async with running(tmp_path / "demo", **environment) as started:
        yield started


@pytest_asyncio.fixture
async def browser() -> AsyncIterator[Browser]:
    async with async_playwright() as playwright:
        launched = await playwright.chromium.launch(executable_path=CHROMIUM, args=ARGS)
        yield launched
        await launched.close()


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    folder = Path(os.environ.get("SCREENSHOTS") or tmp_path / "screenshots")
    folder.mkdir(parents=True, exist_ok=True)
    return folder


async def context_of(browser: Browser) -> BrowserContext:
    permissions = ["clipboard-read", "clipboard-write"]
    return await browser.new_context(viewport={"width": 1360, "height": 980}, permissions=permissions)


async def finished(*command: str) -> str:
    """What a command prints; it must succeed."""
    process = await asyncio.create_subprocess_exec(
        *command, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    said, complained = await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode == 0, complained.decode()
    return said.decode()


async def log_in(command: str, key: Path, *then: str) -> str:
    """Type the SSH command of a message into a terminal, with our key; what the machine prints."""
    first, *rest = command.split()
    assert first == "ssh"
    options = ("-i", str(key), "-o", "StrictHostKeyChecking=accept-new", "-o", f"UserKnownHostsFile={key.parent}/known")
    return await finished("ssh", "-F", "none", "-o", "BatchMode=yes", *options, *rest, *then)


async def add_card(visitor: Visitor, number: str) -> None:
    """Type a card on the payment page, and come back to the chat by the page's own link."""
    checkout = await visitor.open("Open the payment page")
    await visitor.look("payment-page", checkout)
    await checkout.get_by_test_id("email").fill("ann@example.com")
    await checkout.get_by_test_id("number").press_sequentially(number)
    await checkout.get_by_test_id("expiry").press_sequentially("1234")
    await checkout.get_by_test_id("cvc").press_sequentially("123")
    await checkout.get_by_test_id("name").fill("Ann Example")
    await visitor.look("payment-page-filled", checkout)
    await checkout.get_by_test_id("submit").click()
    back = checkout.get_by_test_id("back-to-chat")
    await expect(back).to_be_visible()
    await visitor.look("thank-you", checkout)
    await back.click()
    await expect(checkout.get_by_test_id("people")).to_be_visible()
    await checkout.close()


async def download_text(visitor: Visitor, document: Locator, folder: Path) -> str:
    """The words of a PDF that a message carries."""
    async with visitor.page.expect_download() as downloading:
        await document.click()
    downloaded = await downloading.value
    path = folder / downloaded.suggested_filename
    await downloaded.save_as(path)
    return await finished("pdftotext", "-layout", str(path), "-")


async def order(ann: Visitor, key: Path) -> None:
    """Order a machine step by step, and be told what is missing."""
    await ann.click("Prices")
    await ann.sees("small", "$5.00")
    await ann.look("prices")
    await ann.click("Deploy")
    await ann.click("Machine")
    await ann.click("small")
    await ann.click("No public IP")
    await ann.sees("What shall it be called?")
    await ann.type("web-1")
    await ann.sees("web-1", "cannot be deployed yet", "card is missing", "no SSH key")
    await ann.look("not-yet")
    await ann.click("Add an SSH key")
    await ann.sees("Send me your public SSH key")
    await ann.type(await asyncio.to_thread(key.with_suffix(".pub").read_text))
    await ann.sees("Key added", "web-1", "cannot be deployed yet", "card is missing")


async def deploy(ann: Visitor) -> Locator:
    """Confirm the order that waited, and watch the machine start; the message that says so."""
    await ann.sees("Your order can go through now", "web-1", "$5.00", "held until")
    await ann.look("offer")
    await ann.click("Deploy web-1")
    await ann.sees("web-1", "in progress")
    await ann.look("in-progress")
    ready = await ann.sees("web-1", "success", timeout_ms=BOOT_MS)
    await ann.look("success")
    return ready


async def set_price(olga: Visitor) -> None:
    """Raise the price: what runs keeps its own."""
    await olga.click("Administration")
    await olga.sees("The business now")
    await olga.look("administration")
    await olga.type("/setprice vm small 6.00")
    await olga.sees("1 deployment keeps $5.00")
    await olga.click("Set $6.00")
    await olga.sees("vm small is $6.00 a month from now on")


async def bill(ann: Visitor, demo: Demo, folder: Path) -> None:
    """Let a month pass; the invoice, its document and the one charge say the same."""
    world = ann.page.get_by_test_id("world")
    await ann.page.get_by_test_id("move-month").click()
    await expect(world).to_have_attribute("aria-busy", "true")
    await ann.look("the-clock-moves")
    await expect(world).to_have_attribute("aria-busy", "false", timeout=MOVE_MS)
    paid = await (await ann.sees("INV-", "is paid", "Visa •4242")).inner_text()
    issued = await ann.sees("Invoice INV-", "for ")
    await ann.look("invoice")
    words = await download_text(ann, issued.get_by_test_id("document"), folder)
    (charge,) = await demo.charges()
    amount = f"${charge['amount'] / 100:.2f}"
    assert amount in paid
    for expected in (amount, "web-1", "$5.00", *re.findall(r"INV-\d{4}-\d{6}", paid)):
        assert expected in words


async def end(ann: Visitor, demo: Demo) -> None:
    """Delete the machine; nothing of it is left."""
    await ann.type("/delete web-1")
    await ann.sees("Delete", "web-1", "cannot be undone")
    await ann.look("delete")
    await ann.click("Delete web-1")
    await ann.sees("web-1", "deleted")
    await ann.look("deleted")
    machines = demo.folder / "product" / "qemu" / "machines"
    assert list(machines.glob("[!.]*")) == []


@pytest.mark.qemu
async def test_the_visitors_story(demo: Demo, browser: Browser, pictures: Path, tmp_path: Path) -> None:
    """From `/start` to an invoice and the machine's end, as issue 2 tells it."""
    key = tmp_path / "key"
    await finished("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "ann@laptop", "-f", str(key))
    page = await (await context_of(browser)).new_page()
    wrong: list[str] = []
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("console", lambda said: wrong.append(said.text) if said.type == "error" else None)
    await page.goto(demo.url)
    ann, olga = Visitor(page, pictures, ANN), Visitor(page, pictures, OLGA)
    await expect(ann.column).to_be_visible()
    await ann.look("first-look")
    for person, name in ((ann, "Ann"), (olga, "Olga")):
        await person.column.get_by_test_id("start").click()
        await person.sees(f"Hello {name}")

    await order(ann, key)
    await ann.click("Add a card")
    await ann.sees("payment page")
    await ann.look("add-a-card")
    await add_card(ann, "4242424242424242")
    await ann.sees("Visa •4242", "is saved")
    ready = await deploy(ann)
    if "Machines are real" in demo.said:
        command = await ready.locator("code", has_text="ssh ").first.inner_text()
        assert await log_in(command, key, "hostname") == "web-1\n"
    else:
        await ann.sees("This machine is simulated")
    await set_price(olga)
    await bill(ann, demo, tmp_path)
    await end(ann, demo)
    assert wrong == []
