"""Changing and deleting messages."""

from bot.demo.telegram.markup import checked_markup
from bot.demo.telegram.methods.media import media_fields, read_media
from bot.demo.telegram.params import Params
from bot.demo.telegram.posting import (
    MOST_TEXT,
    caption_fields,
    change,
    read_caption,
    read_text,
    text_fields,
    to_change,
)
from bot.demo.telegram.registry import ABOVE, CAPTION, FORMAT, TARGET, method
from bot.demo.telegram.state import Chat, State
from bot.demo.telegram.wire import Json, bad_request

_TWO_DAYS_S = 48 * 3600
_MOST_DELETED = 100
_CONTENT = ("text", "entities", "link_preview_options", "caption", "caption_entities", "photo", "document")
_ABOVE_FIELD = "show_caption_above_media"


@method(
    "editMessageText",
    f"text {TARGET} {FORMAT} link_preview_options:object reply_markup:object",
    sends=True,
)
def edit_message_text(state: State, params: Params) -> Json:
    """A new text for a text message; without `reply_markup` its buttons go."""
    chat, stored = to_change(state, params)
    if "text" not in stored.wire:
        raise bad_request("there is no text in the message to edit")
    text = read_text(params, "text", "entities")
    if len(text.text) > MOST_TEXT:
        raise bad_request("MESSAGE_TOO_LONG")
    content = text_fields(text, params.object("link_preview_options"))
    markup = checked_markup(params.object("reply_markup"), inline_only=True)
    return change(state, chat, stored, content, markup)


@method("editMessageCaption", f"{TARGET} {CAPTION} {ABOVE} reply_markup:object", sends=True)
def edit_message_caption(state: State, params: Params) -> Json:
    """A new caption for a document or picture."""
    chat, stored = to_change(state, params)
    media = {name: stored.wire[name] for name in ("photo", "document") if name in stored.wire}
    if not media:
        raise bad_request("there is no caption in the message to edit")
    content = media | caption_fields(read_caption(params))
    if params.flag(_ABOVE_FIELD):
        content[_ABOVE_FIELD] = True
    markup = checked_markup(params.object("reply_markup"), inline_only=True)
    return change(state, chat, stored, content, markup)


@method("editMessageMedia", f"media:object {TARGET} reply_markup:object", sends=True)
def edit_message_media(state: State, params: Params) -> Json:
    """Another document or picture in place of a message's content."""
    chat, stored = to_change(state, params)
    media = params.object("media")
    if media is None:
        raise bad_request("input media is not specified")
    content = media_fields(state, read_media(media, params))
    markup = checked_markup(params.object("reply_markup"), inline_only=True)
    return change(state, chat, stored, content, markup)


@method("editMessageReplyMarkup", f"{TARGET} reply_markup:object", sends=True)
def edit_message_reply_markup(state: State, params: Params) -> Json:
    """Other buttons under a message, or none."""
    chat, stored = to_change(state, params)
    content = {name: stored.wire[name] for name in (*_CONTENT, _ABOVE_FIELD) if name in stored.wire}
    markup = checked_markup(params.object("reply_markup"), inline_only=True)
    return change(state, chat, stored, content, markup)


@method("deleteMessage", "chat_id:chat message_id:int")
def delete_message(state: State, params: Params) -> bool:
    """Delete a message that is less than two days old."""
    chat = state.chat_to_send(params.chat())
    message_id = params.integer("message_id")
    if message_id not in chat.messages:
        raise bad_request("message to delete not found")
    if not _may_delete(state, chat, message_id):
        raise bad_request("message can't be deleted for everyone")
    state.remove_message(chat, message_id)
    return True


@method("deleteMessages", "chat_id:chat message_ids:array")
def delete_messages(state: State, params: Params) -> bool:
    """Delete up to a hundred messages; those that cannot be are skipped."""
    chat = state.chat_to_send(params.chat())
    message_ids = params.array("message_ids") or []
    if not message_ids:
        raise bad_request("message identifiers are not specified")
    if len(message_ids) > _MOST_DELETED:
        raise bad_request("too many message identifiers specified")
    for message_id in message_ids:
        if message_id in chat.messages and _may_delete(state, chat, message_id):
            state.remove_message(chat, message_id)
    return True


def _may_delete(state: State, chat: Chat, message_id: int) -> bool:
    wire = chat.messages[message_id].wire
    own = wire["from"]["id"] == state.bot["id"]
    allowed = own or chat.kind == "private" or chat.bot_status == "administrator"
    return allowed and state.now() - wire["date"] < _TWO_DAYS_S
