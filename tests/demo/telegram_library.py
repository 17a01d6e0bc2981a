"""What the tests of the Telegram stand-in share: the official client library pointed at it."""

import struct
import zlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from telegram import Bot, InlineKeyboardButton, InlineKeyboardMarkup
from telegram.request import HTTPXRequest

# Reading the certificates of the world takes longer than a test; nothing here is encrypted.
NO_CERTIFICATES = {"verify": False}
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
    request = HTTPXRequest(connection_pool_size=8, read_timeout=timeout_s, httpx_kwargs=NO_CERTIFICATES)
    polling = HTTPXRequest(read_timeout=timeout_s, httpx_kwargs=NO_CERTIFICATES)
    bot = Bot(
        token,
        base_url=f"{url}/bot",
        base_file_url=f"{url}/file/bot",
        request=request,
        get_updates_request=polling,
    )
    async with bot:
        yield bot
