"""Text messages, forwards and copies, chat actions, reactions."""

from bot.demo.telegram.params import Params
from bot.demo.telegram.posting import MOST_TEXT, post, read_caption, read_text, send, text_fields
from bot.demo.telegram.posting import caption_fields as fields_of_caption
from bot.demo.telegram.registry import ABOVE, BUSINESS, CAPTION, FORMAT, SENDING, method
from bot.demo.telegram.state import State, Stored
from bot.demo.telegram.wire import Json, bad_request

_ACTIONS = {
    "typing", "upload_photo", "record_video", "upload_video", "record_voice", "upload_voice",
    "upload_document", "choose_sticker", "find_location", "record_video_note", "upload_video_note",
}  # fmt: skip
_CONTENT = (
    "text", "entities", "link_preview_options", "caption", "caption_entities", "photo", "document", "contact",
)  # fmt: skip
_REACTIONS = {"emoji", "custom_emoji", "paid"}


@method("sendMessage", f"text {FORMAT} link_preview_options:object {SENDING} {BUSINESS}", sends=True)
def send_message(state: State, params: Params) -> Json:
    """A text of 1 to 4096 characters after its entities are parsed."""
    state.chat_to_send(params.chat())
    text = read_text(params, "text", "entities")
    if len(text.text) > MOST_TEXT:
        raise bad_request("message is too long")
    return send(state, params, text_fields(text, params.object("link_preview_options")))


@method(
    "forwardMessage",
    "chat_id:chat from_chat_id:chat message_id:int disable_notification:bool protect_content:bool"
    " message_thread_id:int video_start_timestamp:int message_effect_id direct_messages_topic_id:int"
    " suggested_post_parameters:object",
    sends=True,
)
def forward_message(state: State, params: Params) -> Json:
    """The same message again, saying where it comes from."""
    stored = _source(state, params, "forward")
    wire = stored.wire
    origin = wire.get("forward_origin") or {
        "type": "user",
        "sender_user": wire["from"],
        "date": wire["date"],
    }
    content = {name: wire[name] for name in _CONTENT if name in wire}
    if not content:
        raise bad_request("message can't be forwarded")
    return send(state, params, content | {"forward_origin": origin})


@method(
    "copyMessage",
    f"from_chat_id:chat message_id:int {CAPTION} {ABOVE} video_start_timestamp:int {SENDING}",
    sends=True,
)
def copy_message(state: State, params: Params) -> Json:
    """The same content as a new message; returns only its number."""
    stored = _source(state, params, "copy")
    content = {name: stored.wire[name] for name in _CONTENT if name in stored.wire}
    if not content:
        raise bad_request("message can't be copied")
    if "caption" in params and "text" not in content:
        content = {name: value for name, value in content.items() if not name.startswith("caption")}
        content |= fields_of_caption(read_caption(params))
    return {"message_id": send(state, params, content)["message_id"]}


def _source(state: State, params: Params, verb: str) -> Stored:
    source = state.find_chat(params.chat("from_chat_id"))
    stored = source.messages.get(params.integer("message_id"))
    if stored is None:
        raise bad_request(f"message to {verb} not found")
    if stored.wire.get("has_protected_content"):
        raise bad_request(f"message can't be {'forwarded' if verb == 'forward' else 'copied'}")
    return stored


@method("sendChatAction", "chat_id:chat action message_thread_id:int business_connection_id")
def send_chat_action(state: State, params: Params) -> bool:
    """`typing ...` under the chat's title for some seconds."""
    chat = state.chat_to_send(params.chat())
    action = params.text("action")
    if action not in _ACTIONS:
        raise bad_request("wrong parameter action in request")
    state.events.publish("action", chat_id=chat.id, action=action)
    return True


@method("setMessageReaction", "chat_id:chat message_id:int reaction:array is_big:bool")
def set_message_reaction(state: State, params: Params) -> bool:
    """The bot's one reaction on a message; an empty list takes it away."""
    chat = state.chat_to_send(params.chat())
    stored = chat.messages.get(params.integer("message_id"))
    if stored is None:
        raise bad_request("message to react not found")
    reactions = params.array("reaction") or []
    if len(reactions) > 1:
        raise bad_request("REACTIONS_TOO_MANY")
    for reaction in reactions:
        if not isinstance(reaction, dict) or reaction.get("type") not in _REACTIONS:
            raise bad_request("REACTION_INVALID")
    stored.reactions = reactions
    state.save_message(chat, stored)
    return True


@method("pinChatMessage", "chat_id:chat message_id:int disable_notification:bool business_connection_id")
def pin_chat_message(state: State, params: Params) -> bool:
    """Pin a message; the chat says so in a message of its own."""
    chat = state.chat_to_send(params.chat())
    stored = chat.messages.get(params.integer("message_id"))
    if stored is None:
        raise bad_request("message to pin not found")
    if stored.id not in chat.pinned:
        chat.pinned.append(stored.id)
        state.save_chat(chat)
        service = post(state, chat, state.bot, {"pinned_message": stored.wire})
        state.updates.push("message", service.wire, chat.id)
    return True


@method("unpinChatMessage", "chat_id:chat message_id:int business_connection_id")
def unpin_chat_message(state: State, params: Params) -> bool:
    """Unpin a message, the newest pinned one by default."""
    chat = state.chat_to_send(params.chat())
    message_id = params.integer("message_id", chat.pinned[-1] if chat.pinned else 0)
    if message_id not in chat.pinned:
        raise bad_request("message to unpin not found")
    chat.pinned.remove(message_id)
    state.save_chat(chat)
    return True
