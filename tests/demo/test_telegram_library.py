"""The official client library against the stand-in, over HTTP."""

import asyncio
import inspect
import struct
import zlib
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import pytest
import pytest_asyncio
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from telegram import (
    Bot,
    BotCommand,
    BotCommandScopeChat,
    CallbackQuery,
    CopyTextButton,
    ForceReply,
    InlineKeyboardButton,
    InlineKeyboardMarkup,
    InputMediaDocument,
    InputMediaPhoto,
    LabeledPrice,
    LinkPreviewOptions,
    Message,
    ReplyKeyboardMarkup,
    ReplyParameters,
    Update,
)
from telegram.constants import ParseMode
from telegram.error import BadRequest, Conflict, Forbidden, InvalidToken, NetworkError, RetryAfter, TimedOut
from telegram.ext import Application, ApplicationBuilder, CallbackQueryHandler, CommandHandler, ContextTypes
from telegram.request import HTTPXRequest

from bot.demo.telegram import Kind, Pace, Person, Telegram
from bot.demo.telegram.registry import METHODS
from bot.demo.telegram.serving import serving

# Ours alone to the library: how long to wait, and older spellings that it turns into the published ones.
LIBRARYS_OWN = {
    "read_timeout", "write_timeout", "connect_timeout", "pool_timeout", "api_kwargs", "filename",
    "allow_sending_without_reply", "reply_to_message_id", "disable_web_page_preview",
}  # fmt: skip
KEYBOARD = InlineKeyboardMarkup([[InlineKeyboardButton("Deploy", callback_data="d:1")]])


def png(width: int = 3, height: int = 2) -> bytes:
    """A real picture."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    rows = b"".join(b"\0" + b"\x30\x80\xf0" * width for _ in range(height))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


@asynccontextmanager
async def bot_at(url: str, token: str, timeout_s: float = 5) -> AsyncIterator[Bot]:
    request = HTTPXRequest(connection_pool_size=8, read_timeout=timeout_s)
    polling = HTTPXRequest(read_timeout=timeout_s)
    bot = Bot(
        token,
        base_url=f"{url}/bot",
        base_file_url=f"{url}/file/bot",
        request=request,
        get_updates_request=polling,
    )
    async with bot:
        yield bot


@pytest_asyncio.fixture
async def telegram() -> AsyncIterator[Telegram]:
    yield Telegram(retry_s=0.02)


@pytest_asyncio.fixture
async def url(telegram: Telegram) -> AsyncIterator[str]:
    async with telegram.serving() as address:
        yield address


@pytest_asyncio.fixture
async def bot(telegram: Telegram, url: str) -> AsyncIterator[Bot]:
    async with bot_at(url, telegram.token) as served:
        yield served


@pytest_asyncio.fixture
async def ann(telegram: Telegram) -> Person:
    person = telegram.person(1001, "Ann")
    await person.start()
    return person


async def test_a_person_starts_and_the_bot_answers_with_buttons(bot: Bot, ann: Person) -> None:
    (update,) = await bot.get_updates()
    assert update.message
    assert (update.message.text, update.message.from_user and update.message.from_user.id) == ("/start", 1001)
    assert [entity.type for entity in update.message.entities] == ["bot_command"]
    sent = await bot.send_message(1001, "<b>Hi</b> 😀 <i>Ann</i>", ParseMode.HTML, reply_markup=KEYBOARD)
    assert sent.text_html == "<b>Hi</b> 😀 <i>Ann</i>"
    shown = await ann.wait_for_text("Hi")
    assert shown.html == "<b>Hi</b> 😀 <i>Ann</i>"
    assert [[button.data for button in row] for row in shown.rows] == [["d:1"]]


async def test_a_tap_spins_until_it_is_answered(bot: Bot, ann: Person) -> None:
    await bot.send_message(1001, "Deploy?", reply_markup=KEYBOARD)
    tap = await ann.tap(ann.last, "Deploy")
    assert ann.spinning == ["d:1"]
    update = (await bot.get_updates())[-1]
    assert isinstance(update.callback_query, CallbackQuery)
    assert update.callback_query.data == "d:1"
    assert await bot.answer_callback_query(update.callback_query.id, "Working", show_alert=True)
    assert await tap.answered() == {"text": "Working", "show_alert": True, "url": ""}
    assert (ann.spinning, ann.toasts) == ([], ["Working"])
    with pytest.raises(BadRequest, match="Query is too old"):
        await bot.answer_callback_query(update.callback_query.id)


async def test_an_edit_changes_in_place_and_refuses_no_change(bot: Bot, ann: Person) -> None:
    sent = await bot.send_message(1001, "in progress", reply_markup=KEYBOARD)
    edited = await bot.edit_message_text("success", 1001, sent.message_id)
    assert isinstance(edited, Message)
    assert edited.edit_date
    assert (ann.last.text, ann.last.buttons, ann.last.id) == ("success", [], sent.message_id)
    with pytest.raises(BadRequest, match="Message is not modified"):
        await bot.edit_message_text("success", 1001, sent.message_id)
    await bot.edit_message_reply_markup(1001, sent.message_id, reply_markup=KEYBOARD)
    assert [button.text for button in ann.last.buttons] == ["Deploy"]
    with pytest.raises(BadRequest, match="Message to edit not found"):
        await bot.edit_message_text("x", 1001, 99)
    with pytest.raises(BadRequest, match="There is no caption"):
        await bot.edit_message_caption(1001, sent.message_id, caption="x")


async def test_documents_and_pictures_go_both_ways(bot: Bot, ann: Person) -> None:
    sent = await bot.send_document(1001, b"%PDF-1.7", filename="INV-2026-000001.pdf", caption="<b>Invoice</b>",
                                   parse_mode="HTML")  # fmt: skip
    assert sent.document
    assert (sent.document.file_name, sent.document.mime_type) == ("INV-2026-000001.pdf", "application/pdf")
    assert (ann.last.content, ann.last.html) == (b"%PDF-1.7", "<b>Invoice</b>")
    picture = await bot.send_photo(1001, png(30, 20))
    assert (picture.photo[-1].width, picture.photo[-1].height) == (30, 20)
    again = await bot.send_photo(1001, picture.photo[-1].file_id)
    assert again.photo[-1].file_id == picture.photo[-1].file_id
    await ann.send_document("key.pub", b"ssh-ed25519 AAAA", caption="mine")
    update = (await bot.get_updates())[-1]
    assert update.message
    assert update.message.document
    file = await update.message.document.get_file()
    assert bytes(await file.download_as_bytearray()) == b"ssh-ed25519 AAAA"
