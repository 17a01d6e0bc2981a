"""The official client library against the stand-in, over HTTP."""

import asyncio
import inspect
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
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
from telegram.error import BadRequest, EndPointNotFound, Forbidden, InvalidToken
from telegram.request import HTTPXRequest

from bot.demo.telegram import Paid, Person, Telegram
from bot.demo.telegram.registry import METHODS
from tests.demo.telegram_library import KEYBOARD, bot_at, png

# Ours alone to the library: how long to wait, and older spellings that it turns into the published ones.
LIBRARYS_OWN = {
    "read_timeout", "write_timeout", "connect_timeout", "pool_timeout", "api_kwargs", "filename",
    "allow_sending_without_reply", "reply_to_message_id", "disable_web_page_preview",
}  # fmt: skip


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


async def test_an_album_and_other_content_in_place(bot: Bot, ann: Person) -> None:
    album = await bot.send_media_group(1001, [InputMediaPhoto(png()), InputMediaPhoto(png(5, 5), caption="two")])
    assert len({message.media_group_id for message in album}) == 1
    edited = await bot.edit_message_media(
        InputMediaDocument(b"a,b\n", filename="usage.csv"), 1001, album[0].message_id, reply_markup=KEYBOARD
    )
    assert isinstance(edited, Message)
    assert edited.document
    assert edited.document.mime_type == "text/csv"
    captioned = await bot.edit_message_caption(1001, album[0].message_id, caption="hours")
    assert isinstance(captioned, Message)
    assert (captioned.caption, captioned.document and captioned.document.file_name) == ("hours", "usage.csv")
    assert len(ann.messages) == 3


@pytest.mark.parametrize(
    ("text", "fields", "words"),
    [
        ("", {}, "Message text is empty"),
        ("  \n ", {}, "Message text is empty"),
        ("<b></b>", {"parse_mode": "HTML"}, "Message text is empty"),
        ("x" * 4097, {}, "Message is too long"),
        ("<b>x", {"parse_mode": "HTML"}, "Can't parse entities: can't find end tag"),
        ("x", {"parse_mode": "Word"}, "Unsupported parse_mode"),
        ("x", {"reply_parameters": ReplyParameters(99)}, "Message to be replied not found"),
        ("x", {"message_thread_id": 5}, "Message thread not found"),
        ("x", {"api_kwargs": {"colour": "red"}}, 'Unknown parameter "colour"'),
    ],
)
async def test_refusals_come_in_telegrams_words(
    bot: Bot, ann: Person, text: str, fields: dict[str, Any], words: str
) -> None:
    with pytest.raises(BadRequest) as refused:
        await bot.send_message(ann.id, text, **fields)
    assert words.lower() in refused.value.message.lower()
    assert [message.text for message in ann.messages] == ["/start"]


@pytest.mark.parametrize(
    ("button", "words"),
    [
        (InlineKeyboardButton("x", callback_data="ü" * 33), "Button_data_invalid"),
        (InlineKeyboardButton("x", callback_data=""), "Button_data_invalid"),
        (InlineKeyboardButton(" ", callback_data="x"), "Button_text_invalid"),
        (InlineKeyboardButton("x"), "text buttons are unallowed"),
        (InlineKeyboardButton("x", callback_data="x", url="https://a.b"), "exactly one"),
        (InlineKeyboardButton("x", url="http://localhost/pay"), "wrong http url"),
        (InlineKeyboardButton("x", copy_text=CopyTextButton("x" * 257)), "Button_copy_text_invalid"),
        (InlineKeyboardButton("x", callback_data="x", style="gold"), "Button_style_invalid"),
    ],
)
async def test_buttons_are_checked(bot: Bot, ann: Person, button: InlineKeyboardButton, words: str) -> None:
    with pytest.raises(BadRequest, match=words):
        await bot.send_message(ann.id, "x", reply_markup=InlineKeyboardMarkup([[button]]))


async def test_the_largest_that_fits_is_taken(bot: Bot, ann: Person) -> None:
    rows = [[InlineKeyboardButton("x", callback_data="y" * 64)] * 4] * 25
    sent = await bot.send_message(ann.id, "<b>" + "x" * 4096 + "</b>", "HTML", reply_markup=InlineKeyboardMarkup(rows))
    assert len(sent.text or "") == 4096
    rows.append([InlineKeyboardButton("x", callback_data="y")])
    with pytest.raises(BadRequest, match="Reply markup is too long"):
        await bot.send_message(ann.id, "x", reply_markup=InlineKeyboardMarkup(rows))


async def test_whom_the_bot_cannot_write_to(bot: Bot, telegram: Telegram, ann: Person) -> None:
    telegram.person(1002, "Never started")
    for stranger in (1002, 4711):
        with pytest.raises(BadRequest, match="Chat not found"):
            await bot.send_message(stranger, "x")
    await ann.block()
    with pytest.raises(Forbidden, match="bot was blocked by the user"):
        await bot.send_message(ann.id, "x")
    await ann.start()
    await bot.send_message(ann.id, "again")
    kinds = [
        update.my_chat_member.new_chat_member.status for update in await bot.get_updates() if update.my_chat_member
    ]
    assert kinds == ["kicked", "member"]


async def test_a_wrong_token_and_an_unknown_method(bot: Bot, url: str) -> None:
    request = HTTPXRequest()
    with pytest.raises(InvalidToken):
        await Bot("1:wrong", base_url=f"{url}/bot", request=request).initialize()
    await request.shutdown()
    with pytest.raises(EndPointNotFound):
        await bot.do_api_request("sendHologram")


async def test_messages_are_deleted_within_two_days_only(ann: Person, telegram: Telegram, bot: Bot) -> None:
    old = await bot.send_message(ann.id, "old")
    telegram.state.now = lambda: int(old.date.timestamp()) + 48 * 3600
    with pytest.raises(BadRequest, match="Message can't be deleted for everyone"):
        await bot.delete_message(ann.id, old.message_id)
    fresh = await bot.send_message(ann.id, "fresh")
    assert await bot.delete_messages(ann.id, [old.message_id, fresh.message_id])
    assert [message.text for message in ann.messages] == ["/start", "old"]
    with pytest.raises(BadRequest, match="Message to delete not found"):
        await bot.delete_message(ann.id, fresh.message_id)


async def test_a_tap_on_a_deleted_or_changed_message_still_arrives(bot: Bot, ann: Person) -> None:
    """A real client may be late; the bot must cope with buttons of yesterday's screen."""
    sent = await bot.send_message(ann.id, "Deploy?", reply_markup=KEYBOARD)
    before = ann.last
    await bot.edit_message_text("gone", ann.id, sent.message_id)
    await ann.tap(before, "Deploy")
    await bot.delete_message(ann.id, sent.message_id)
    await ann.tap(before, "Deploy")
    late, later = (update.callback_query for update in (await bot.get_updates())[-2:])
    assert late
    assert later
    assert (late.message and late.message.is_accessible, later.message and later.message.is_accessible) == (True, False)


async def test_a_query_grows_too_old(ann: Person, telegram: Telegram, bot: Bot) -> None:
    await bot.send_message(ann.id, "Deploy?", reply_markup=KEYBOARD)
    await ann.press("Deploy")
    telegram.state.query_s = -1
    assert ann.spinning == []
    query = (await bot.get_updates())[-1].callback_query
    assert query
    with pytest.raises(BadRequest, match="Query is too old"):
        await query.answer()


async def test_keyboards_below_the_text_field(bot: Bot, ann: Person) -> None:
    keyboard = ReplyKeyboardMarkup([["Yes", "No"]], one_time_keyboard=True)
    sent = await bot.send_message(ann.id, "Sure?", reply_markup=keyboard)
    assert ann.keyboard == ["Yes", "No"]
    with pytest.raises(BadRequest, match="Message can't be edited"):
        await bot.edit_message_text("Really?", ann.id, sent.message_id)
    await ann.send("Yes")
    assert ann.keyboard == []
    await bot.send_message(ann.id, "Name?", reply_markup=ForceReply(input_field_placeholder="web-1"))
    assert (ann.last.markup or {})["input_field_placeholder"] == "web-1"


async def test_commands_by_scope_and_language(bot: Bot, ann: Person, telegram: Telegram) -> None:
    await bot.set_my_commands([BotCommand("start", "Home")])
    await bot.set_my_commands([BotCommand("start", "Anfang")], language_code="de")
    root = telegram.person(7, "Root")
    await root.start()
    await bot.set_my_commands([BotCommand("admin", "Panel")], BotCommandScopeChat(7))
    assert (ann.commands, root.commands) == (["start"], ["admin"])
    assert [c.description for c in await bot.get_my_commands(language_code="de")] == ["Anfang"]
    await bot.delete_my_commands(BotCommandScopeChat(7))
    assert root.commands == ["start"]
    with pytest.raises(BadRequest, match="Chat not found"):
        await bot.set_my_commands([BotCommand("admin", "Panel")], BotCommandScopeChat(4711))
    with pytest.raises(BadRequest, match="Bot_command_invalid"):
        await bot.set_my_commands([BotCommand("Admin!", "Panel")])


async def test_the_bots_face(bot: Bot) -> None:
    await bot.set_my_description("Machines by the hour")
    await bot.set_my_short_description("Machines")
    await bot.set_my_name("Shop")
    assert (await bot.get_my_description()).description == "Machines by the hour"
    assert (await bot.get_my_name(language_code="de")).name == "Shop"
    await bot.set_chat_menu_button()
    assert (await bot.get_chat_menu_button()).type == "default"
    assert (await bot.get_me()).first_name == "Shop"


async def test_a_group_shows_the_bot_what_is_meant_for_it(bot: Bot, ann: Person, telegram: Telegram) -> None:
    group = telegram.group("Support", ann)
    here = ann.at(group)
    await here.send("just between us")
    await here.send("/help")
    sent = await bot.send_message(group.id, "Yes?")
    await here.send("my question", reply_to=group.messages[-1])
    texts = [update.message.text for update in await bot.get_updates() if update.message]
    assert texts == ["/start", "/help", "my question"]
    assert (await bot.get_chat_member(group.id, ann.id)).status == "creator"
    await bot.set_message_reaction(group.id, sent.message_id, "👍")
    await group.remove_bot(ann)
    with pytest.raises(Forbidden, match="bot was kicked from the group chat"):
        await bot.send_message(group.id, "x")


async def test_a_forum_has_topics(bot: Bot, ann: Person, telegram: Telegram) -> None:
    forum = telegram.group("Desk", ann, forum=True, administrator=True)
    topic = await bot.create_forum_topic(forum.id, "Ann 1001")
    copied = await bot.copy_message(forum.id, ann.id, ann.messages[0].id, message_thread_id=topic.message_thread_id)
    await ann.at(forum).send("answer", reply_to=ann.at(forum).message(copied.message_id))
    update = (await bot.get_updates())[-1]
    assert update.message
    assert (update.message.message_thread_id, update.message.is_topic_message) == (topic.message_thread_id, True)
    await bot.close_forum_topic(forum.id, topic.message_thread_id)
    with pytest.raises(BadRequest, match="Topic_closed"):
        await bot.send_message(forum.id, "x", message_thread_id=topic.message_thread_id)


async def test_stars_are_paid_refused_and_given_back(bot: Bot, ann: Person) -> None:
    await bot.send_invoice(ann.id, "Top up", "$5.00", "pay-1", "XTR", [LabeledPrice("Top up", 250)])
    invoice = ann.last

    async def answer(ok: bool, words: str | None = None) -> Update:
        while True:
            for update in await bot.get_updates(timeout=5):
                offset = update.update_id + 1
                await bot.get_updates(offset)
                if update.pre_checkout_query:
                    await update.pre_checkout_query.answer(ok, words)
                    return update

    paying = asyncio.create_task(ann.pay(invoice))
    await answer(ok=False, words="Not today")
    assert await paying == Paid(ok=False, error="Not today")
    paying = asyncio.create_task(ann.pay(invoice))
    await answer(ok=True)
    assert (await paying).ok
    update = (await bot.get_updates())[-1]
    assert update.message
    assert update.message.successful_payment
    payment = update.message.successful_payment
    assert (payment.total_amount, payment.invoice_payload) == (250, "pay-1")
    assert (await bot.get_my_star_balance()).amount == 250
    assert await bot.refund_star_payment(ann.id, payment.telegram_payment_charge_id)
    with pytest.raises(BadRequest, match="Charge_already_refunded"):
        await bot.refund_star_payment(ann.id, payment.telegram_payment_charge_id)
    assert (await bot.get_my_star_balance()).amount == 0
    assert [t.amount for t in (await bot.get_star_transactions()).transactions] == [250, 250]


async def test_links_previews_pins_and_contacts(bot: Bot, ann: Person) -> None:
    preview = LinkPreviewOptions(is_disabled=True)
    sent = await bot.send_message(ann.id, "see https://example.org/a.", link_preview_options=preview)
    assert sent.parse_entities() == {sent.entities[0]: "https://example.org/a"}
    await bot.pin_chat_message(ann.id, sent.message_id)
    chat = await bot.get_chat(ann.id)
    assert chat.pinned_message
    assert chat.pinned_message.message_id == sent.message_id
    await ann.send_contact("+15550100")
    update = (await bot.get_updates())[-1]
    assert update.message
    assert update.message.contact
    assert update.message.contact.user_id == ann.id
    forwarded = await bot.forward_message(ann.id, ann.id, sent.message_id)
    assert forwarded.forward_origin
    await bot.send_chat_action(ann.id, "typing")


def test_every_method_knows_the_parameters_that_the_library_sends() -> None:
    for method in METHODS.values():
        snake = "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in method.name)
        sent = set(inspect.signature(getattr(Bot, snake)).parameters) - LIBRARYS_OWN - {"self"}
        if method.name == "sendMediaGroup":
            # The library writes these into the first entry of `media`.
            sent -= {"caption", "parse_mode", "caption_entities"}
        assert sent - {"business_connection_id"} == set(method.known) - {"business_connection_id"}, method.name
