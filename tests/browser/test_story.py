"""The visitor's story in a real browser, by clicking: from /start to an invoice, into a machine that really booted."""

import asyncio
import os
import re
import shutil
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import asyncssh
import pytest
from playwright.async_api import BrowserContext, Locator, Page, async_playwright, expect

ROOT = Path(__file__).resolve().parents[2]
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
QUIET = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--disable-background-networking", "--disable-sync"]
ANN, OLGA = "1001", "1002"
SOON, BOOT, MONTH = 30_000, 180_000, 150_000
"""Milliseconds: for an answer, for a machine, for a month of the clock."""

pytestmark = [
    pytest.mark.browser,
    pytest.mark.qemu,
    pytest.mark.skipif(CHROMIUM is None, reason="Chromium is missing: apt-get install chromium"),
]


@asynccontextmanager
async def demo(folder: Path) -> AsyncIterator[str]:
    """`python -m bot demo` in a folder; gives the address it prints, and cleans up what it leaves."""
    images = {"IMAGE_DIR": os.environ.get("VMBOT_TEST_IMAGES", str(Path.home() / ".cache" / "vmbot-tests"))}
    command = [sys.executable, "-m", "bot", "demo", "--folder", str(folder)]
    process = await asyncio.create_subprocess_exec(
        *command, cwd=ROOT, env={**os.environ, **images}, stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    try:
        async with asyncio.timeout(180):
            while not (found := re.search(rb"Open (http://\S+)", await process.stdout.readline())):
                assert process.returncode is None
        yield found[1].decode()
    finally:
        if process.returncode is None:
            process.terminate()
        await process.communicate()
        clean = await asyncio.create_subprocess_exec(*command, "--clean", cwd=ROOT, env={**os.environ, **images})
        await clean.wait()


class Visitor:
    """Somebody who sits before the page."""

    def __init__(self, page: Page, pictures: Path, person: str = ANN) -> None:
        self.page = page
        self.column = page.get_by_test_id("column").and_(page.locator(f'[data-person="{person}"]'))
        self._pictures = pictures
        self._shots = 0

    async def types(self, text: str) -> None:
        await self.column.get_by_test_id("input").fill(text)
        await self.column.get_by_test_id("send").click()

    async def taps(self, button: str) -> None:
        await self.button(button).click(timeout=SOON)

    def button(self, text: str) -> Locator:
        return self.column.get_by_test_id("button").filter(has_text=text).last

    async def reads(self, *parts: str, within: int = SOON) -> str:
        """The newest message with all of this, as soon as it is there."""
        message = self.column.get_by_test_id("message")
        for part in parts:
            message = message.filter(has_text=part)
        await expect(message.last).to_be_visible(timeout=within)
        return await message.last.inner_text()

    async def picture(self, name: str) -> None:
        self._shots += 1
        await self.page.wait_for_timeout(400)  # what slides in has arrived
        await self.page.screenshot(path=self._pictures / f"{self._shots:02d}-{name}.png")


@pytest.fixture
async def context() -> AsyncIterator[BrowserContext]:
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=QUIET)
        opened = await browser.new_context(viewport={"width": 1280, "height": 860}, accept_downloads=True)
        yield opened
        await browser.close()


def kept_in(folder: Path) -> Path:
    """Where pictures go: `SCREENSHOTS` keeps them."""
    pictures = Path(os.environ.get("SCREENSHOTS", folder / "pictures"))
    pictures.mkdir(parents=True, exist_ok=True)
    return pictures


async def pays_on_the_page(context: BrowserContext, ann: Visitor) -> None:
    """Open the payment page in its new tab, type a test card, and come back."""
    async with context.expect_page() as opened:
        await ann.taps("Open the payment page")
    page = await opened.value
    await page.get_by_test_id("number").fill("4242 4242 4242 4242")
    await page.get_by_test_id("expiry").fill("12 / 34")
    await page.get_by_test_id("cvc").fill("123")
    if await page.get_by_test_id("name").is_visible():
        await page.get_by_test_id("name").fill("Ann Example")
    if await page.get_by_test_id("email").is_editable():
        await page.get_by_test_id("email").fill("ann@example.com")
    await page.get_by_test_id("submit").click()
    await expect(page.get_by_test_id("back-to-chat")).to_be_visible(timeout=SOON)
    await page.close()


async def logs_in(command: str, key: Path) -> str:
    """What the SSH command of the message prints for `hostname`, typed in a terminal of this machine."""
    options = ["-i", str(key), "-o", "StrictHostKeyChecking=no", "-o", f"UserKnownHostsFile={key}.known", "-F", "none"]
    ssh, *rest = command.split()
    process = await asyncio.create_subprocess_exec(
        ssh, *options, *rest, "hostname", stdout=asyncio.subprocess.PIPE, stdin=asyncio.subprocess.DEVNULL
    )
    output, _ = await asyncio.wait_for(process.communicate(), 60)
    return output.decode().strip()


async def orders(ann: Visitor, context: BrowserContext, pair: asyncssh.SSHKey) -> None:
    """From the prices to an offer that can be confirmed, by way of a missing card."""
    await ann.taps("Prices")
    await ann.reads("$5.00", "per started hour")
    await ann.types(f"/sshkey {pair.export_public_key().decode().strip()}")
    await ann.reads("Key added")
    await ann.types("/deploy")
    await ann.taps("Machine")
    await ann.taps("small")
    await ann.taps("No public IP")
    await ann.reads("What shall it be called")
    await ann.types("web-1")
    await ann.reads("cannot be deployed yet", "card is missing")
    await ann.picture("card-is-missing")
    await ann.taps("Add a card")
    await pays_on_the_page(context, ann)
    await ann.reads("Visa •4242", "is saved")
    await ann.taps("Go on with web-1")
    await ann.reads("web-1", "held until")
    await ann.picture("offer")


async def test_the_story_in_a_browser(tmp_path: Path, context: BrowserContext) -> None:
    pictures = kept_in(tmp_path)
    pair = asyncssh.generate_private_key("ssh-ed25519", comment="ann@laptop")
    key = tmp_path / "id_ed25519"
    pair.write_private_key(key)
    key.chmod(0o600)
    async with demo(tmp_path / "demo") as address:
        page = await context.new_page()
        await page.goto(address)
        ann = Visitor(page, pictures)
        await ann.column.get_by_test_id("start").click(timeout=SOON)
        await ann.reads("Hello", "Ann")
        await ann.picture("home")
        olga = Visitor(page, pictures, OLGA)
        await olga.column.get_by_test_id("start").click()
        await olga.reads("Hello", "Olga")
        await olga.types("/admin")
        await olga.reads("Customers")
        await orders(ann, context, pair)
        await ann.taps("Deploy web-1")
        text = await ann.reads("web-1", "success", "ssh ", within=BOOT)
        await ann.picture("success")
        command = re.search(r"^ssh .*$", text, re.MULTILINE)
        assert command is not None, text
        if "simulated" not in text:
            assert await logs_in(command[0].strip(), key) == "web-1"
        await page.get_by_test_id("move-month").click()
        await ann.reads("Invoice INV-", "is paid", "Visa •4242", within=MONTH)
        await ann.picture("invoice")
        async with page.expect_download() as arriving:
            await ann.column.get_by_test_id("document").last.click()
        document = tmp_path / "invoice.pdf"
        await (await arriving.value).save_as(document)
        await shows_the_invoice(document)
        await ann.types("/delete web-1")
        await ann.taps("Delete web-1")
        await ann.reads("web-1", "deleted", within=BOOT)
        await ann.picture("deleted")


async def shows_the_invoice(document: Path) -> None:
    assert await asyncio.to_thread(document.read_bytes), "an empty document"
    if shutil.which("pdftotext") is None:
        return  # the rest is held by tests/test_invoice_pdf.py where poppler is installed
    process = await asyncio.create_subprocess_exec(
        "pdftotext", "-layout", document, "-", stdout=asyncio.subprocess.PIPE
    )
    text = (await process.communicate())[0].decode()
    assert re.search(r"INV-\d{4}-\d{6}", text)
    assert "web-1" in text
    assert "$" in text
