"""The chat page in headless Chromium: what a person sees and clicks."""

import asyncio
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page, async_playwright, expect
from playwright.async_api import Route as AsyncRoute
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Mount, Route
from telegram import (
    Bot,
    BotCommand,
    CopyTextButton,
    InlineKeyboardButton,
    InlineKeyboardMarkup,
    LabeledPrice,
    ReplyKeyboardMarkup,
)

from bot.demo.telegram import Telegram
from bot.demo.telegram.page_routes import page_routes
from bot.demo.telegram.serving import serving
from tests.demo.telegram_library import KEYBOARD, bot_at, png

CHROMIUM = shutil.which("chromium")
ARGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]

expect.set_options(timeout=20_000)  # a busy machine is no reason to fail

pytestmark = [pytest.mark.browser, pytest.mark.skipif(not CHROMIUM, reason="Chromium is not installed")]


class World:
    """A stand-in within a bigger world, as the demo serves it: under a prefix, with a clock above the chat."""

    def __init__(self) -> None:
        self.telegram = Telegram()
        self.now = "2026-01-31T10:00:00Z"
        self.moved: list[str] = []
        self.app = Starlette(
            routes=[
                Mount("/telegram", app=self.telegram.app),
                Route("/world", self._show),
                Route("/world/move", self._move, methods=["POST"]),
                *page_routes("/telegram"),
            ]
        )

    async def _show(self, _: Request) -> Response:
        links = [{"title": "Mail box", "url": "/mail/"}]
        moves = ["hour", "day", "month"]
        return JSONResponse({"now": self.now, "links": links, "notes": ["Machines are real"], "moves": moves})

    async def _move(self, request: Request) -> Response:
        self.moved.append((await request.json())["by"])
        self.now = "2026-02-28T10:00:00Z"
        return JSONResponse({})


@pytest_asyncio.fixture
async def world() -> World:
    return World()


@pytest_asyncio.fixture
async def url(world: World) -> AsyncIterator[str]:
    await world.telegram.start()
    async with serving(world.app, before_stop=world.telegram.end_streams) as address:
        yield address
    await world.telegram.stop()


@pytest_asyncio.fixture
async def bot(world: World, url: str) -> AsyncIterator[Bot]:
    async with bot_at(f"{url}/telegram", world.telegram.token) as served:
        yield served


@pytest_asyncio.fixture
async def browser() -> AsyncIterator[Browser]:
    async with async_playwright() as playwright:
        launched = await playwright.chromium.launch(executable_path=CHROMIUM, args=ARGS)
        yield launched
        await launched.close()


@asynccontextmanager
async def opened(browser: Browser, url: str, **options: Any) -> AsyncIterator[Page]:
    """The page, which must log no error while it is open."""
    context = await browser.new_context(**options)
    page = await context.new_page()
    wrong: list[str] = []
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("console", lambda said: wrong.append(said.text) if said.type == "error" else None)
    await page.goto(url)
    yield page
    assert wrong == []
    await context.close()


async def test_start_tap_answer_and_edit(world: World, bot: Bot, browser: Browser, url: str) -> None:
    world.telegram.person(1001, "Ann")
    async with opened(browser, url) as page:
        await page.get_by_test_id("start").click()
        await expect(page.get_by_test_id("text")).to_have_text("/start")
        markup = "<b>Hi</b>\n<pre>ssh root@x</pre>"
        sent = await bot.send_message(1001, markup, "HTML", reply_markup=KEYBOARD)
        button = page.get_by_test_id("button")
        await button.click()
        await expect(button).to_have_attribute("aria-busy", "true")
        query = (await bot.get_updates())[-1].callback_query
        assert query
        await query.answer("No card yet", show_alert=True)
        await expect(page.get_by_role("alertdialog")).to_contain_text("No card yet")
        await expect(button).to_have_attribute("aria-busy", "false")
        await page.get_by_role("button", name="OK").click()
        await bot.edit_message_text("Done", 1001, sent.message_id)
        message = page.locator(f'[data-id="{sent.message_id}"]')
        await expect(message.get_by_test_id("text")).to_have_text("Done")
        await expect(message.get_by_test_id("edited")).to_be_visible()
        await expect(page.get_by_test_id("button")).to_have_count(0)
        await bot.delete_message(1001, sent.message_id)
        await expect(message).to_have_count(0)


async def test_commands_are_completed_and_reply_keys_pressed(
    world: World, bot: Bot, browser: Browser, url: str
) -> None:
    ann = world.telegram.person(1001, "Ann")
    await ann.start()
    await bot.set_my_commands([BotCommand("deploy", "Deploy a machine"), BotCommand("vms", "Mine")])
    async with opened(browser, url) as page:
        await page.get_by_test_id("input").fill("/v")
        await expect(page.get_by_test_id("command")).to_have_text(["/vmsMine"])
        await page.get_by_test_id("input").press("ArrowDown")
        await page.keyboard.press("Enter")
        await expect(page.get_by_test_id("text").last).to_have_text("/vms")
        await bot.send_message(1001, "Sure?", reply_markup=ReplyKeyboardMarkup([["Yes", "No"]], one_time_keyboard=True))
        await page.get_by_test_id("reply-keyboard").get_by_text("Yes").click()
        await expect(page.get_by_test_id("text").last).to_have_text("Yes")
        await expect(page.get_by_test_id("reply-keyboard")).to_be_hidden()
        await bot.send_chat_action(1001, "typing")
        await expect(page.get_by_test_id("status")).to_contain_text("typing")


async def test_links_files_and_copying(world: World, bot: Bot, browser: Browser, url: str) -> None:
    ann = world.telegram.person(1001, "Ann")
    await ann.start()
    rows = [
        [InlineKeyboardButton("Pay", url=f"{url}/world")],
        [InlineKeyboardButton("Voucher", url=f"https://t.me/{world.telegram.username}?start=v_CODE")],
        [InlineKeyboardButton("Copy", copy_text=CopyTextButton("CODE"))],
    ]
    await bot.send_message(1001, "Ways", reply_markup=InlineKeyboardMarkup(rows))
    await bot.send_document(1001, b"%PDF-1.7", filename="INV-2026-000001.pdf")
    await bot.send_photo(1001, png(), caption="Cost by day")
    async with opened(browser, url, permissions=["clipboard-read", "clipboard-write"]) as page:
        async with page.context.expect_page() as opening:
            await page.get_by_role("link", name="Pay").click()
        assert (await opening.value).url == f"{url}/world"
        await page.get_by_role("link", name="Voucher").click()
        await expect(page.get_by_test_id("text").last).to_have_text("/start v_CODE")
        await page.get_by_role("button", name="Copy", exact=True).click()
        await expect(page.get_by_test_id("toast")).to_have_text("Copied.")
        assert await page.evaluate("navigator.clipboard.readText()") == "CODE"
        async with page.expect_download() as downloading:
            await page.get_by_test_id("document").click()
        assert (await downloading.value).suggested_filename == "INV-2026-000001.pdf"
        await expect(page.get_by_test_id("photo")).to_have_js_property("naturalWidth", 3)
        uploaded = {"name": "key.pub", "mimeType": "text/plain", "buffer": b"ssh-ed25519 AAAA"}
        await page.get_by_test_id("file").set_input_files(uploaded)  # type: ignore[arg-type]
        await expect(page.get_by_test_id("document").last).to_contain_text("key.pub")
    assert ann.messages[-1].content == b"ssh-ed25519 AAAA"


async def test_two_people_side_by_side_and_the_clock_above(world: World, bot: Bot, browser: Browser, url: str) -> None:
    await world.telegram.person(1001, "Ann").start()
    await world.telegram.person(7, "Root").start()
    async with opened(browser, url) as page:
        ann, root = page.get_by_test_id("column").nth(0), page.get_by_test_id("column").nth(1)
        await bot.send_message(1001, "for Ann")
        await bot.send_message(7, "لوحة الإدارة")
        await expect(ann.get_by_test_id("text").last).to_have_text("for Ann")
        await expect(root.get_by_test_id("text").last).to_have_text("لوحة الإدارة")
        assert await root.get_by_test_id("text").last.evaluate("e => getComputedStyle(e).direction") == "rtl"
        await page.get_by_test_id("add-person").click()
        await page.get_by_label("First name").fill("Zoë")
        await page.get_by_test_id("person-save").click()
        await expect(page.get_by_role("region", name="Chat of Zoë").get_by_test_id("start")).to_be_visible()
        await expect(page.get_by_test_id("world-now")).to_contain_text("Jan 31")
        await page.get_by_test_id("move-month").click()
        await expect(page.get_by_test_id("world-now")).to_contain_text("Feb")
    assert world.moved == ["month"]


async def test_a_payment_in_stars_and_a_blocked_bot(world: World, bot: Bot, browser: Browser, url: str) -> None:
    ann = world.telegram.person(1001, "Ann")
    await ann.start()
    await bot.send_invoice(1001, "Top up", "$5.00", "pay-1", "XTR", [LabeledPrice("Top up", 250)])
    async with opened(browser, url, viewport={"width": 390, "height": 780}) as page:
        await page.get_by_test_id("button").click()
        await page.get_by_role("button", name="Pay", exact=True).click()
        (update,) = await bot.get_updates(-1, timeout=5)
        while not update.pre_checkout_query:
            (update,) = await bot.get_updates(update.update_id + 1, timeout=5)
        await update.pre_checkout_query.answer(ok=True)
        await expect(page.get_by_test_id("service")).to_have_text("⭐ 250 paid")
        await page.get_by_role("button", name="More").click()
        await page.get_by_role("menuitem", name="Block the bot").click()
        await expect(page.get_by_test_id("start")).to_have_text("Unblock and restart")
        await page.get_by_test_id("start").click()
        await expect(page.get_by_test_id("text").last).to_have_text("/start")


async def test_messages_stand_in_order_whichever_event_comes_first(
    world: World, bot: Bot, browser: Browser, url: str
) -> None:
    """An answer that overtook a newer one on its way neither hides it nor stands below it."""
    ann = world.telegram.person(1001, "Ann")
    await ann.start()

    async with opened(browser, url) as page:
        await expect(page.get_by_test_id("text")).to_have_text("/start")
        chat = "**/client/chats/1001?person=1001"
        async with page.expect_request(chat):
            await page.route(chat, lambda route: asyncio.ensure_future(late(route, bot)))
            await page.evaluate("location.reload()")
        await expect(page.get_by_test_id("text")).to_have_text(["/start", "one", "two"])


async def late(route: AsyncRoute, bot: Bot) -> None:
    """Let two messages arrive as events before an older look at the chat does."""
    response = await route.fetch()
    await bot.send_message(1001, "one")
    await bot.send_message(1001, "two")
    await asyncio.sleep(0.3)
    await route.fulfill(response=response)
    await route.request.frame.page.unroute_all()
