"""Requests by aiohttp: the same on the wire as the library's own, the same errors, files too."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from telegram import Bot, InputFile
from telegram.error import BadRequest, NetworkError, TimedOut

from bot.demo.telegram import Telegram
from bot.transport import AiohttpRequest


@pytest.fixture
async def telegram() -> AsyncIterator[tuple[Telegram, Bot]]:
    stand_in = Telegram()
    async with stand_in.serving() as url:
        await stand_in.person(1, "Ann").send("/start")
        bot = Bot(stand_in.token, base_url=f"{url}/bot", request=AiohttpRequest(at_once=2, pool_seconds=5))
        async with bot:
            yield stand_in, bot


async def test_a_message_arrives_with_its_words_and_buttons(telegram: tuple[Telegram, Bot]) -> None:
    stand_in, bot = telegram
    sent = await bot.send_message(1, "Grüße & <b>mehr</b>", parse_mode="HTML")
    assert sent.text == "Grüße & mehr"
    assert stand_in.calls[-1].ok


async def test_a_file_arrives_whole(telegram: tuple[Telegram, Bot]) -> None:
    stand_in, bot = telegram
    content = bytes(range(256)) * 400
    sent = await bot.send_document(1, InputFile(content, filename="größe.bin"), caption="here")
    assert sent.document is not None
    assert (sent.document.file_name, sent.document.file_size) == ("größe.bin", len(content))
    assert stand_in.calls[-1].ok


async def test_refusals_are_told_as_the_library_tells_them(telegram: tuple[Telegram, Bot]) -> None:
    _, bot = telegram
    with pytest.raises(BadRequest):
        await bot.send_message(1, "<b>open", parse_mode="HTML")


async def test_many_at_once_wait_for_their_place(telegram: tuple[Telegram, Bot]) -> None:
    _, bot = telegram
    sent = await asyncio.gather(*(bot.send_message(1, str(number)) for number in range(20)))
    assert len({message.message_id for message in sent}) == 20


async def test_nobody_there_is_an_error_of_the_network() -> None:
    async with AiohttpRequest() as request:
        with pytest.raises(NetworkError, match="Connect"):
            await request.do_request("http://127.0.0.1:9/", "POST")


async def test_no_answer_is_a_time_out() -> None:
    over = asyncio.Event()

    async def hang(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await over.wait()
        writer.close()
        await writer.wait_closed()

    async with await asyncio.start_server(hang, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        async with AiohttpRequest() as request:
            with pytest.raises(TimedOut):
                await request.do_request(f"http://127.0.0.1:{port}/", "POST", read_timeout=0.05)
        over.set()
        await asyncio.sleep(0)
