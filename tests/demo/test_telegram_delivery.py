"""How updates reach the bot, what goes wrong on order, and what a second start finds."""

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import httpx
import pytest
import pytest_asyncio
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from telegram import Bot, Update
from telegram.error import Conflict, NetworkError, RetryAfter, TimedOut
from telegram.ext import (
    ApplicationBuilder,
    CallbackQueryHandler,
    CommandHandler,
    ContextTypes,
)

from bot.demo.telegram import Kind, Pace, Telegram
from bot.demo.telegram.serving import serving
from tests.demo.telegram_library import KEYBOARD, bot_at


class Hook:
    """The bot's side of a webhook: remembers what came, answers as told."""

    def __init__(self) -> None:
        self.came: list[dict[str, object]] = []
        self.secrets: set[str | None] = set()
        self.answers: list[Response] = []
        self._more = asyncio.Event()
        self.app = Starlette(routes=[Route("/hook", self._take, methods=["POST"])])

    async def _take(self, request: Request) -> Response:
        self.came.append(await request.json())
        self._more.set()
        self.secrets.add(request.headers.get("x-telegram-bot-api-secret-token"))
        return self.answers.pop(0) if self.answers else Response()

    async def wait(self, count: int) -> None:
        async with asyncio.timeout(5):
            while len(self.came) < count:
                self._more.clear()
                await self._more.wait()


@pytest.fixture(autouse=True)
def _times_as_timedelta(monkeypatch: pytest.MonkeyPatch) -> None:
    """The library's next type of `retry_after`; without it, it warns."""
    monkeypatch.setenv("PTB_TIMEDELTA", "1")


@pytest_asyncio.fixture
async def telegram() -> Telegram:
    return Telegram(retry_s=0.02)


@pytest_asyncio.fixture
async def url(telegram: Telegram) -> AsyncIterator[str]:
    async with telegram.serving() as address:
        yield address


@pytest_asyncio.fixture
async def bot(telegram: Telegram, url: str) -> AsyncIterator[Bot]:
    async with bot_at(url, telegram.token) as served:
        yield served


@pytest_asyncio.fixture
async def hook(bot: Bot) -> AsyncIterator[Hook]:
    """A webhook, already set."""
    made = Hook()
    async with serving(made.app) as address:
        await bot.set_webhook(f"{address}/hook", secret_token="s3cret", allowed_updates=Update.ALL_TYPES)
        yield made


async def test_the_librarys_own_application_polls(telegram: Telegram, url: str) -> None:
    async def start(update: Update, _: ContextTypes.DEFAULT_TYPE) -> None:
        assert update.message
        await update.message.reply_html("<b>Hello</b>", reply_markup=KEYBOARD)

    async def tapped(update: Update, _: ContextTypes.DEFAULT_TYPE) -> None:
        assert update.callback_query
        await update.callback_query.answer("On it")
        await update.callback_query.edit_message_text("Done")

    builder = ApplicationBuilder().token(telegram.token).base_url(f"{url}/bot").base_file_url(f"{url}/file/bot")
    application = builder.job_queue(None).build()
    application.add_handler(CommandHandler("start", start))
    application.add_handler(CallbackQueryHandler(tapped))
    ann = telegram.person(1001, "Ann")
    async with application:
        await application.start()
        assert application.updater
        await application.updater.start_polling(timeout=5)
        await ann.start()
        shown = await ann.wait_for_text("Hello")
        tap = await ann.tap(shown, "Deploy")
        assert (await tap.answered())["text"] == "On it"
        done = await ann.wait_for_text("Done")
        assert done.id == shown.id
        await application.updater.stop()
        await application.stop()


async def test_an_update_stays_until_a_later_offset_confirms_it(telegram: Telegram, bot: Bot) -> None:
    await telegram.person(1).start()
    await telegram.person(2).start()
    first, second = await bot.get_updates()
    assert second.update_id == first.update_id + 1
    assert [update.update_id for update in await bot.get_updates(limit=1)] == [first.update_id]
    assert [update.update_id for update in await bot.get_updates(second.update_id)] == [second.update_id]
    assert [update.update_id for update in await bot.get_updates(-1)] == [second.update_id]
    assert await bot.get_updates(second.update_id + 1) == ()


async def test_a_long_poll_ends_with_the_first_update(telegram: Telegram, bot: Bot) -> None:
    polling = asyncio.create_task(bot.get_updates(timeout=30))
    await asyncio.sleep(0.05)
    assert not polling.done()
    await telegram.person(1).start()
    async with asyncio.timeout(2):
        assert len(await polling) == 1


async def test_of_two_polls_the_older_one_ends(bot: Bot) -> None:
    older = asyncio.create_task(bot.get_updates(timeout=30))
    await asyncio.sleep(0.05)
    await bot.get_updates()
    with pytest.raises(Conflict, match="terminated by other getUpdates request"):
        await older


async def test_no_poll_beside_a_webhook(bot: Bot, hook: Hook) -> None:
    with pytest.raises(Conflict, match="webhook is active"):
        await bot.get_updates()
    assert (await bot.get_webhook_info()).url.endswith("/hook")
    await bot.delete_webhook()
    assert await bot.get_updates() == ()
    assert hook.came == []


async def test_only_the_kinds_asked_for_come(telegram: Telegram, bot: Bot) -> None:
    await bot.get_updates(allowed_updates=["message"])
    ann = telegram.person(1)
    await ann.start()
    await ann.block()
    assert [update.my_chat_member for update in await bot.get_updates()] == [None]


async def test_a_webhook_gets_updates_in_order_with_the_secret(telegram: Telegram, hook: Hook) -> None:
    ann = telegram.person(1)
    for number in range(20):
        await ann.send(f"{number}")
    await hook.wait(20)
    texts = [Update.de_json(update, None).message.text for update in hook.came]  # type: ignore[union-attr]
    assert texts == [str(number) for number in range(20)]
    assert hook.secrets == {"s3cret"}


async def test_a_failed_delivery_comes_again_and_nothing_overtakes_it(telegram: Telegram, bot: Bot, hook: Hook) -> None:
    hook.answers = [Response(status_code=500), Response(status_code=503)]
    ann = telegram.person(1)
    await ann.send("first")
    await ann.send("second")
    await hook.wait(4)
    ids = [update["update_id"] for update in hook.came]
    assert ids == [ids[0]] * 3 + [ids[3]]
    info = await bot.get_webhook_info()
    assert (info.last_error_message, info.pending_update_count) == (
        "Wrong response from the webhook: 503 Service Unavailable",
        0,
    )


async def test_people_do_not_wait_for_one_another(telegram: Telegram, hook: Hook) -> None:
    hook.answers = [Response(status_code=500)]
    await telegram.person(1).start()
    await hook.wait(1)
    await telegram.person(2).start()
    await hook.wait(3)
    assert [json.dumps(update).count('"id": 1,') > 0 for update in hook.came] == [True, False, True]


async def test_one_connection_is_enough_for_many_people(telegram: Telegram, bot: Bot, hook: Hook) -> None:
    url = (await bot.get_webhook_info()).url
    await bot.set_webhook(url, max_connections=1)
    for number in range(1, 9):
        await telegram.person(number).start()
    await hook.wait(8)
    assert len({update["update_id"] for update in hook.came}) == 8


async def test_a_webhook_may_answer_with_a_call(telegram: Telegram, hook: Hook) -> None:
    hook.answers = [JSONResponse({"method": "sendMessage", "chat_id": 1, "text": "by answer"})]
    ann = telegram.person(1)
    await ann.start()
    assert (await ann.wait()).text == "by answer"


async def test_a_webhook_must_be_https_beyond_this_machine(bot: Bot) -> None:
    with pytest.raises(Exception, match="https url must be provided"):
        await bot.set_webhook("http://example.org/hook")


async def test_updates_can_come_twice(telegram: Telegram, bot: Bot) -> None:
    telegram.duplicate_updates(1)
    await telegram.person(1).start()
    (once,) = await bot.get_updates()
    (again,) = await bot.get_updates(once.update_id + 1)
    assert again.update_id == once.update_id
    assert await bot.get_updates(once.update_id + 1) == ()


async def test_webhook_updates_can_come_twice(telegram: Telegram, hook: Hook) -> None:
    telegram.duplicate_updates(1)
    await telegram.person(1).start()
    await hook.wait(2)
    assert hook.came[0] == hook.came[1]


async def test_ordered_faults_strike_the_call_they_name(telegram: Telegram, bot: Bot) -> None:
    ann = telegram.person(1)
    await ann.start()
    telegram.faults.add(Kind.TOO_MANY, "sendMessage", nth=2, retry_after=7)
    await bot.send_message(1, "one")
    with pytest.raises(RetryAfter) as refused:
        await bot.send_message(1, "two")
    assert refused.value.retry_after == timedelta(seconds=7)
    await bot.send_message(1, "three")
    telegram.faults.add(Kind.ERROR, "sendMessage", code=500, description="Internal Server Error", times=2)
    for _ in range(2):
        with pytest.raises(NetworkError, match="Internal Server Error"):
            await bot.send_message(1, "four")
    await bot.send_message(1, "five")
    assert [message.text for message in ann.messages] == ["/start", "one", "three", "five"]


@pytest.mark.parametrize(("kind", "arrived"), [(Kind.CLOSE_BEFORE, False), (Kind.CLOSE_AFTER, True)])
async def test_a_closed_connection_says_nothing_of_what_was_done(
    telegram: Telegram, bot: Bot, kind: Kind, arrived: bool
) -> None:
    ann = telegram.person(1)
    await ann.start()
    telegram.faults.add(kind, "sendMessage")
    with pytest.raises(NetworkError):
        await bot.send_message(1, "hello")
    assert any(message.text == "hello" for message in ann.messages) is arrived
    await bot.send_message(1, "works again")


async def test_a_call_can_hang(telegram: Telegram, url: str) -> None:
    await telegram.person(1).start()
    telegram.faults.add(Kind.HANG, "sendMessage")
    telegram.faults.add(Kind.SLOW, "getMe", nth=2, seconds=0.05)
    async with bot_at(url, telegram.token, timeout_s=0.3) as hasty:
        with pytest.raises(TimedOut):
            await hasty.send_message(1, "x")
        assert (await hasty.get_me()).is_bot


async def test_the_pace_that_telegram_allows(telegram: Telegram, bot: Bot) -> None:
    seconds = [0.0]
    telegram.pace = Pace(chat_burst=3, overall_per_s=5, clock=lambda: seconds[0])
    for number in range(1, 4):
        await telegram.person(number).start()
    for _ in range(3):
        await bot.send_message(1, "x")
    with pytest.raises(RetryAfter) as refused:
        await bot.send_message(1, "x")
    assert refused.value.retry_after == timedelta(seconds=3)
    await bot.send_message(2, "x")
    await bot.send_message(3, "x")
    with pytest.raises(RetryAfter):
        await bot.send_message(3, "x")
    seconds[0] = 1.0
    await bot.send_message(1, "x")


async def test_a_second_start_finds_everything(tmp_path: Path) -> None:
    first = Telegram(directory=tmp_path)
    async with first.serving() as url, bot_at(url, first.token) as bot:
        ann = first.person(1001, "Ann")
        await ann.start()
        (before,) = await bot.get_updates()
        await bot.send_document(1001, b"%PDF", filename="invoice.pdf", reply_markup=KEYBOARD)
        await bot.set_my_description("Machines")
    second = Telegram(directory=tmp_path)
    async with second.serving() as url, bot_at(url, second.token) as bot:
        ann = second.person(1001, "Ann")
        assert [(message.text, message.content) for message in ann.messages] == [("/start", b""), ("", b"%PDF")]
        await ann.press("Deploy")
        kept, fresh = await bot.get_updates()
        assert (kept.update_id, fresh.update_id) == (before.update_id, before.update_id + 1)
        assert (await bot.get_my_description()).description == "Machines"
        assert (await bot.send_message(1001, "x")).message_id == 3


async def test_people_act_over_http_and_see_it_live(bot: Bot, url: str) -> None:
    async with httpx.AsyncClient(base_url=f"{url}/client") as page:
        person = (await page.post("/people", json={"first_name": "Zoë", "language_code": "de"})).json()
        number = person["id"]
        async with page.stream("GET", "/events", params={"since": 0}) as stream:
            await page.post(f"/people/{number}/start", json={"payload": "v_CODE"})
            sent = await bot.send_message(number, "Deploy?", reply_markup=KEYBOARD)
            tapped = {"message_id": sent.message_id, "data": "d:1"}
            await page.post(f"/people/{number}/tap", json=tapped)
            kinds = []
            async for line in stream.aiter_lines():
                kinds += [json.loads(line[6:])["type"]] if line.startswith("data: ") else []
                if kinds and kinds[-1] == "tapped":
                    break
        assert kinds.count("message") == 2
        chat = (await page.get(f"/chats/{number}", params={"person": number})).json()
        assert [(view["message"]["text"], view["spinning"]) for view in chat["messages"]] == [
            ("/start v_CODE", []),
            ("Deploy?", ["d:1"]),
        ]
        uploaded = await page.post(f"/people/{number}/upload", files={"file": ("a.txt", b"hello")})
        file_id = uploaded.json()["message"]["document"]["file_id"]
        assert (await page.get(f"/files/{file_id}")).content == b"hello"
        calls = (await page.get("/calls", params={"method": "sendMessage"})).json()
        assert [call["params"]["text"] for call in calls] == ["Deploy?"]
        foreign = await page.post(f"/people/{number}/start", json={}, headers={"origin": "http://evil.example"})
        assert foreign.status_code == 403
        assert (await page.post(f"/people/{number}/fly", json={})).status_code == 404
        assert (await page.post("/people/4711/start", json={})).status_code == 404
        assert (await page.post(f"/people/{number}/send", json={"text": " "})).status_code == 400
        ordered = await page.post("/faults", json={"kind": "too_many", "method": "getMe", "retry_after": 1})
        assert ordered.json()[0]["method"] == "getme"
        with pytest.raises(RetryAfter):
            await bot.get_me()
