"""Make the pictures of the documents again, from the demo: `make pictures`."""

import asyncio
import base64
import os
import sys
import tempfile
from pathlib import Path

from playwright.async_api import Page, ViewportSize, async_playwright, expect

from tests.browser.test_story import ARGS, BOOT_MS, CHROMIUM, finished, has_qemu
from tests.contract.drivers import IMAGES
from tests.demo.outside import ANN, OLGA, ROOT, Demo, Person, running

LAYLA = 1003
FOLDER = ROOT / "docs" / "pictures"
SIZE: ViewportSize = {"width": 1180, "height": 800}
QUALITY = 80
LARGEST = 150_000
AMERICAN, FRENCH = "4242 4242 4242 4242", "5555 5555 5555 4444"


async def main(folder: Path) -> None:
    """Let two customers and an operator do what the pictures show, and take them."""
    key = folder / "key"
    await finished("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "ann@laptop", "-f", str(key))
    public = await asyncio.to_thread(key.with_suffix(".pub").read_text)
    real = {"COMPUTE": "qemu", "IMAGE_DIR": str(IMAGES)} if has_qemu() else {}
    async with running(folder / "demo", **real) as demo, async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=ARGS)
        page = await browser.new_page(viewport=SIZE)
        await page.goto(demo.url)
        await story(demo, page, public.strip())
        await browser.close()


async def story(demo: Demo, page: Page, key: str) -> None:
    """What happens, picture by picture."""
    ann, olga, layla = demo.person(ANN), demo.person(OLGA), demo.person(LAYLA)
    await demo.post("/telegram/client/people", {"id": LAYLA, "first_name": "ليلى", "language_code": "ar"})
    await set_up(ann, key, AMERICAN, "payment page", "is saved")
    await deploy(ann, "web-1", "Deploy web-1", "success", "Skip")
    await olga.send("/start")
    await olga.sees("Hello")
    await olga.send("/admin")
    await olga.sees("The business now")
    await ann.send("/vms")
    await ann.sees("Your machines")
    await ann.press("web-1")
    await ann.sees("Running since")
    await take(page, "chat")

    await set_up(layla, key, FRENCH, "صفحة الدفع", "حُفظت")
    await deploy(layla, "web-2", "أنشئ web-2", "تعمل", "تخطَّ")
    await demo.move("month")
    await ann.send("/usage")
    await ann.sees("Usage in")
    await olga.send("/allinvoices")
    await olga.sees("All invoices")
    await take(page, "business")

    for text, seen in (("/settings", "Settings"), ("", "Which language")):
        await (olga.send(text) if text else olga.press("Language"))
        await olga.sees(seen)
    await olga.press("العربية")
    await olga.send("/admin")
    await layla.send("/vms")
    await layla.sees("web-2")
    await layla.press("web-2")
    await page.locator(f'[data-testid="column"][data-person="{ANN}"] [data-testid="messages"]').click()
    await page.locator(f'[data-testid="person"][data-person="{LAYLA}"]').click()
    await take(page, "arabic")


async def set_up(person: Person, key: str, card: str, page: str, saved: str) -> None:
    """Add key and card."""
    await person.send("/start")
    await person.send(f"/sshkey {key}")
    await person.send("/addcard")
    await person.pays(await person.sees(page), card)
    await person.sees(saved, seconds=60)


async def deploy(person: Person, name: str, confirm: str, success: str, skip: str) -> None:
    """Order a machine and wait until it runs."""
    await person.send(f"/deploy vm small {name}")
    await person.sees(confirm.split()[1], "$5.00")
    await person.press(confirm)
    await person.sees(name, success, seconds=BOOT_MS / 1000)
    await person.press(skip)


async def take(page: Page, name: str) -> None:
    """Take a picture when the page has come to rest."""
    await expect(page.locator('[data-testid="column"]')).to_have_count(2)
    for column in await page.locator('[data-testid="messages"]').all():
        await column.evaluate("(messages) => { messages.scrollTop = messages.scrollHeight; }")
    await page.mouse.move(0, 0)
    await page.wait_for_timeout(1000)
    session = await page.context.new_cdp_session(page)
    shot = await session.send("Page.captureScreenshot", {"format": "webp", "quality": QUALITY})
    content = base64.b64decode(shot["data"])
    if len(content) > LARGEST:
        sys.exit(f"{name}.webp has {len(content)} bytes: too large for a page")
    await asyncio.to_thread((FOLDER / f"{name}.webp").write_bytes, content)


if __name__ == "__main__":
    if not CHROMIUM:
        sys.exit("Chromium is needed: apt-get install chromium")
    os.umask(0o022)
    with tempfile.TemporaryDirectory() as temporary:
        asyncio.run(main(Path(temporary)))
