"""Messages: making them, changing them, and the checks that every kind of message shares."""

from bot.demo.telegram.html import parse_html
from bot.demo.telegram.markup import checked_markup
from bot.demo.telegram.params import Params
from bot.demo.telegram.spans import Formatted, formatted
from bot.demo.telegram.state import Chat, State, Stored
from bot.demo.telegram.wire import ApiError, Json, bad_request, utf16_length

MOST_TEXT = 4096
MOST_CAPTION = 1024
_REPLY_FIELDS = {
    "message_id", "chat_id", "allow_sending_without_reply", "quote", "quote_parse_mode", "quote_entities",
    "quote_position", "checklist_task_id", "poll_option_id",
}  # fmt: skip
_PREVIEW_FIELDS = {"is_disabled", "url", "prefer_small_media", "prefer_large_media", "show_above_text"}
_ENTITY_FIELDS = {"url", "user", "language", "custom_emoji_id"}
_NOT_MODIFIED = (
    "message is not modified: specified new message content and reply markup are exactly the same"
    " as a current content and reply markup of the message"
)


def read_text(given: Json | Params, name: str, entities: str) -> Formatted:
    """The text and entities out of parameters or an object that holds the same names."""
    if isinstance(given, Params):
        text, mode, spans = given.text(name), given.text("parse_mode"), given.array(entities)
    else:
        text, mode, spans = str(given.get(name) or ""), str(given.get("parse_mode") or ""), given.get(entities)
    if mode.lower() == "html":
        return parse_html(text)
    if mode:
        raise bad_request("unsupported parse_mode")
    return formatted(text, [_entity(span, utf16_length(text)) for span in spans or []])


def read_caption(given: Json | Params) -> Formatted:
    """The caption, at most 1024 characters."""
    caption = read_text(given, "caption", "caption_entities")
    if len(caption.text) > MOST_CAPTION:
        raise bad_request("message caption is too long")
    return caption


def caption_fields(caption: Formatted) -> Json:
    """The caption's fields of a message; none for an empty one."""
    fields: Json = {"caption": caption.text} if caption.text else {}
    return fields | ({"caption_entities": caption.entities} if caption.entities else {})


def text_fields(text: Formatted, preview: Json | None) -> Json:
    """The fields of a text message; 400 if it is empty."""
    if not text.text:
        raise bad_request("message text is empty")
    fields: Json = {"text": text.text}
    if text.entities:
        fields["entities"] = text.entities
    if preview:
        if set(preview) - _PREVIEW_FIELDS:
            raise bad_request(f'unknown field "{min(set(preview) - _PREVIEW_FIELDS)}" in link preview options')
        fields["link_preview_options"] = preview
    return fields


def send(state: State, params: Params, content: Json) -> Json:
    """Post the bot's message with what all sending methods share; returns it as the Bot API writes it."""
    chat = state.chat_to_send(params.chat())
    markup = checked_markup(params.object("reply_markup"))
    content = content | reply_fields(state, chat, params.object("reply_parameters")) | _thread(chat, params)
    if params.flag("protect_content"):
        content["has_protected_content"] = True
    if effect := params.text("message_effect_id"):
        content["effect_id"] = effect
    return post(state, chat, state.bot, content, markup).wire


def post(state: State, chat: Chat, sender: Json, content: Json, markup: Json | None = None) -> Stored:
    """Put a message into a chat; an inline keyboard stays with it, any other goes up in the chat."""
    wire: Json = {
        "message_id": state.next_message_id(chat),
        "from": sender,
        "chat": state.chat_info(chat),
        "date": state.now(),
        **content,
    }
    stored = Stored(wire)
    if markup and "inline_keyboard" in markup:
        wire["reply_markup"] = markup
    elif markup:
        stored.markup = markup
        chat.keyboard = None if markup.get("remove_keyboard") else markup
        state.save_chat(chat)
    state.save_message(chat, stored)
    return stored


def to_change(state: State, params: Params, words: str = "message to edit not found") -> tuple[Chat, Stored]:
    """The message of the bot that an edit names."""
    if "inline_message_id" in params:
        raise bad_request("MESSAGE_ID_INVALID")
    chat = state.chat_to_send(params.chat())
    if "message_id" not in params:
        raise bad_request("message identifier is not specified")
    stored = chat.messages.get(params.integer("message_id"))
    if stored is None:
        raise bad_request(words)
    if stored.wire["from"]["id"] != state.bot["id"] or stored.markup or "invoice" in stored.wire:
        raise bad_request("message can't be edited")
    return chat, stored


def change(state: State, chat: Chat, stored: Stored, content: Json, markup: Json | None) -> Json:
    """Give a message new content fields and an inline keyboard (or none); 400 when nothing changes."""
    replaced = {"text", "entities", "link_preview_options", "caption", "caption_entities", "photo", "document"}
    kept = {
        name: value
        for name, value in stored.wire.items()
        if name not in replaced | {"reply_markup", "show_caption_above_media", "edit_date"}
    }
    wire = kept | content | ({"reply_markup": markup} if markup else {})
    if wire == {name: value for name, value in stored.wire.items() if name != "edit_date"}:
        raise bad_request(_NOT_MODIFIED)
    wire["edit_date"] = state.now()
    state.save_message(chat, Stored(wire, reactions=stored.reactions))
    return wire


def reply_fields(state: State, chat: Chat, reply: Json | None) -> Json:
    """`reply_to_message`, or nothing; 400 if the message is gone and that is not allowed."""
    if not reply:
        return {}
    if set(reply) - _REPLY_FIELDS:
        raise bad_request(f'unknown field "{min(set(reply) - _REPLY_FIELDS)}" in reply parameters')
    where = state.find_chat(reply["chat_id"]) if "chat_id" in reply else chat
    message_id = reply.get("message_id")
    found = where.messages.get(message_id) if isinstance(message_id, int) else None
    if found is None:
        if reply.get("allow_sending_without_reply"):
            return {}
        raise bad_request("message to be replied not found")
    return {"reply_to_message": {name: value for name, value in found.wire.items() if name != "reply_to_message"}}


def _thread(chat: Chat, params: Params) -> Json:
    thread = params.integer("message_thread_id")
    if not thread:
        return {}
    if str(thread) not in chat.topics:
        raise bad_request("message thread not found")
    if chat.topics[str(thread)].get("closed"):
        raise bad_request("TOPIC_CLOSED")
    return {"message_thread_id": thread, "is_topic_message": True}


def _entity(span: object, length: int) -> Json:
    refused: ApiError = bad_request("can't parse MessageEntity")
    if not isinstance(span, dict) or set(span) - {"type", "offset", "length"} - _ENTITY_FIELDS:
        raise refused
    offset, size = span.get("offset"), span.get("length")
    if not isinstance(span.get("type"), str) or not isinstance(offset, int) or not isinstance(size, int):
        raise refused
    if offset < 0 or size <= 0 or offset + size > length:
        raise bad_request("ENTITY_BOUNDS_INVALID")
    return span
