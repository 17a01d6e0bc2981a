"""A screen, and the one way it is shown: by editing the message that was tapped, or by sending a new one."""

from dataclasses import dataclass, replace
from typing import Any

from telegram import (
    CopyTextButton,
    InlineKeyboardButton,
    InlineKeyboardMarkup,
    InputFile,
    LabeledPrice,
    LinkPreviewOptions,
    Message,
)
from telegram.constants import ParseMode
from telegram.error import BadRequest
from telegram.ext import ExtBot

from bot.callbacks import Press
from bot.i18n import directed

_STARS = "XTR"
_NO_PREVIEW = LinkPreviewOptions(is_disabled=True)


@dataclass(frozen=True, slots=True)
class Button:
    """A button under a message: one of a press, a link, or a text to copy."""

    text: str
    press: Press | None = None
    url: str = ""
    copy: str = ""

    def markup(self) -> InlineKeyboardButton:
        """Return the button as Telegram takes it."""
        if self.press is not None:
            return InlineKeyboardButton(self.text, callback_data=self.press.pack())
        if self.url:
            return InlineKeyboardButton(self.text, url=self.url)
        return InlineKeyboardButton(self.text, copy_text=CopyTextButton(self.copy))


Rows = tuple[tuple[Button, ...], ...]


@dataclass(frozen=True, slots=True)
class Attachment:
    """A file, or a picture, that goes with a screen."""

    filename: str
    content: bytes
    picture: bool = False


@dataclass(frozen=True, slots=True)
class StarsInvoice:
    """What the chat itself takes money for, in Telegram Stars; it has a button of its own to pay.

    Attributes:
        title: 1 to 32 characters, `description` 1 to 255: what is sold, plain text.
        payload: comes back with the payment, `name:key`; its name is the route that takes it.
        stars: how many.
    """

    title: str
    description: str
    payload: str
    stars: int


@dataclass(frozen=True, slots=True)
class View:
    """One screen: HTML text of at most 4096 characters (1024 with an attachment) and rows of buttons.

    Attributes:
        text: HTML parse mode.
        rows: buttons, row by row.
        attachment: sent with the text as its caption, always as a new message.
        enclosed: more files, for a mail; in a chat, where each would be a message, buttons bring them.
        toast: a word shown over the chat for a moment when a button was tapped.
        fresh: send a new message even when a button was tapped: what stood there stays.
        invoice: shown in place of text and buttons, always as a new message.
        follows: the deployment, by its id, of which this is the screen: its message is redrawn as that changes.
    """

    text: str
    rows: Rows = ()
    attachment: Attachment | None = None
    enclosed: tuple[Attachment, ...] = ()
    toast: str = ""
    fresh: bool = False
    invoice: StarsInvoice | None = None
    follows: int = 0

    def __post_init__(self) -> None:
        """Let every line run as the language does in which the screen was made."""
        object.__setattr__(self, "text", directed(self.text))

    def markup(self) -> InlineKeyboardMarkup | None:
        """Return the buttons as Telegram takes them."""
        if not self.rows:
            return None
        return InlineKeyboardMarkup([[button.markup() for button in row] for row in self.rows])

    def with_toast(self, toast: str) -> "View":
        """Return the same screen with a word over the chat."""
        return replace(self, toast=toast)


async def send(bot: ExtBot[Any], chat_id: int, view: View, *, pace: str | None = None) -> Message:
    """Send a screen as a new message; `pace` is handed to the rate limiter."""
    if view.invoice is not None:
        return await _send_invoice(bot, chat_id, view.invoice, pace)
    markup = view.markup()
    if view.attachment is None:
        return await bot.send_message(
            chat_id,
            view.text,
            parse_mode=ParseMode.HTML,
            reply_markup=markup,
            link_preview_options=_NO_PREVIEW,
            rate_limit_args=pace,
        )
    file = InputFile(view.attachment.content, filename=view.attachment.filename)
    if view.attachment.picture:
        return await bot.send_photo(
            chat_id, file, caption=view.text, parse_mode=ParseMode.HTML, reply_markup=markup, rate_limit_args=pace
        )
    return await bot.send_document(
        chat_id, file, caption=view.text, parse_mode=ParseMode.HTML, reply_markup=markup, rate_limit_args=pace
    )


async def _send_invoice(bot: ExtBot[Any], chat_id: int, invoice: StarsInvoice, pace: str | None) -> Message:
    return await bot.send_invoice(
        chat_id,
        title=invoice.title,
        description=invoice.description,
        payload=invoice.payload,
        currency=_STARS,
        prices=[LabeledPrice(invoice.title, invoice.stars)],
        rate_limit_args=pace,
    )


async def edit(bot: ExtBot[Any], chat_id: int, message_id: int, view: View) -> bool:
    """Put a screen in the place of an earlier one; false when that message can no longer be edited."""
    try:
        await bot.edit_message_text(
            view.text,
            chat_id=chat_id,
            message_id=message_id,
            parse_mode=ParseMode.HTML,
            reply_markup=view.markup(),
            link_preview_options=_NO_PREVIEW,
        )
    except BadRequest as error:
        # Tapped twice, or redrawn after a restart: it shows this already.
        return "not modified" in str(error).lower()
    return True


def stays_in_place(view: View) -> bool:
    """Return whether a screen can be shown in the message that was tapped."""
    return view.attachment is None and view.invoice is None and not view.fresh


async def show(bot: ExtBot[Any], chat_id: int, message: Message | None, view: View) -> int:
    """Show a screen in place of the tapped message where that can be, else as a new one; return its message id.

    A message with a file or picture cannot become a text message: then the screen comes as a new one.
    """
    if message is None or not message.text or not stays_in_place(view):
        return (await send(bot, chat_id, view)).message_id
    if await edit(bot, chat_id, message.message_id, view):
        return message.message_id
    return (await send(bot, chat_id, view)).message_id
