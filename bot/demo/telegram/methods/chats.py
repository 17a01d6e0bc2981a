"""Chats and their members, and topics of forums."""

from bot.demo.telegram.params import Params
from bot.demo.telegram.posting import post
from bot.demo.telegram.registry import method
from bot.demo.telegram.state import Chat, State
from bot.demo.telegram.wire import Json, bad_request

_MOST_TOPIC_NAME = 128
_TOPIC_COLOR = 0x6FB9F0


@method("getChat", "chat_id:chat")
def get_chat(state: State, params: Params) -> Json:
    """The chat with everything known of it."""
    chat = state.find_chat(params.chat())
    full = state.chat_info(chat) | {"accent_color_id": 0, "max_reaction_count": 11}
    full["accepted_gift_types"] = {
        "unlimited_gifts": False,
        "limited_gifts": False,
        "unique_gifts": False,
        "premium_subscription": False,
        "gifts_from_channels": False,
    }
    if chat.pinned and chat.pinned[-1] in chat.messages:
        full["pinned_message"] = chat.messages[chat.pinned[-1]].wire
    return full


@method("getChatMember", "chat_id:chat user_id:int")
def get_chat_member(state: State, params: Params) -> Json:
    """What a person, or the bot, is in a chat."""
    chat = state.find_chat(params.chat())
    user_id = params.integer("user_id")
    if user_id == state.bot["id"]:
        return member(state.bot, chat.bot_status)
    if user_id not in state.people:
        raise bad_request("invalid user_id specified" if user_id <= 0 else "user not found")
    person = state.people[user_id]
    if chat.kind != "private" and chat.members[:1] == [user_id]:
        return member(person, "creator")
    return member(person, "member" if user_id in chat.members or chat.id == user_id else "left")


@method("getChatMemberCount", "chat_id:chat")
def get_chat_member_count(state: State, params: Params) -> int:
    """People in the chat, the bot counted."""
    chat = state.find_chat(params.chat())
    return len(chat.members) + 1 if chat.kind != "private" else 2


@method("leaveChat", "chat_id:chat")
def leave_chat(state: State, params: Params) -> bool:
    """Leave a group."""
    chat = state.chat_to_send(params.chat())
    if chat.kind == "private":
        raise bad_request("chat member status can't be changed in private chats")
    set_bot_status(state, chat, "left", state.bot)
    return True


def set_bot_status(state: State, chat: Chat, status: str, by: Json) -> None:
    """Change what the bot is in a chat, and tell it (`my_chat_member`)."""
    before = member(state.bot, chat.bot_status)
    chat.bot_status = status
    where = f"{chat.kind} chat" if chat.kind == "supergroup" else "group chat"
    chat.refusal = {
        "left": f"bot is not a member of the {where}",
        "kicked": f"bot was kicked from the {where}",
    }.get(status, "")
    if chat.kind == "private" and status == "kicked":
        chat.refusal = "bot was blocked by the user"
    state.save_chat(chat)
    body = {
        "chat": state.chat_info(chat),
        "from": by,
        "date": state.now(),
        "old_chat_member": before,
        "new_chat_member": member(state.bot, status),
    }
    state.updates.push("my_chat_member", body, chat.id)


def member(user: Json, status: str) -> Json:
    """A ChatMember with every field that its status requires."""
    entry: Json = {"user": user, "status": status}
    if status == "kicked":
        entry["until_date"] = 0
    if status == "creator":
        entry["is_anonymous"] = False
    if status == "administrator":
        rights = (
            "can_manage_chat", "can_delete_messages", "can_manage_video_chats", "can_restrict_members",
            "can_promote_members", "can_change_info", "can_invite_users", "can_post_stories",
            "can_edit_stories", "can_delete_stories",
        )  # fmt: skip
        entry |= dict.fromkeys(rights, True) | {"can_be_edited": False, "is_anonymous": False}
        entry |= {"can_pin_messages": True, "can_manage_topics": True}
    return entry


@method("createForumTopic", "chat_id:chat name icon_color:int icon_custom_emoji_id")
def create_forum_topic(state: State, params: Params) -> Json:
    """A new topic in a forum where the bot is an administrator."""
    chat = _forum(state, params)
    topic: Json = {"name": _topic_name(params), "icon_color": params.integer("icon_color", _TOPIC_COLOR)}
    if icon := params.text("icon_custom_emoji_id"):
        topic["icon_custom_emoji_id"] = icon
    stored = post(state, chat, state.bot, {"forum_topic_created": topic, "is_topic_message": True})
    stored.wire["message_thread_id"] = stored.id
    state.save_message(chat, stored)
    chat.topics[str(stored.id)] = topic
    state.save_chat(chat)
    return {"message_thread_id": stored.id, **topic}


@method("editForumTopic", "chat_id:chat message_thread_id:int name icon_custom_emoji_id")
def edit_forum_topic(state: State, params: Params) -> bool:
    """Another name for a topic."""
    chat = _forum(state, params)
    _topic(chat, params)["name"] = _topic_name(params)
    state.save_chat(chat)
    return True


@method("closeForumTopic", "chat_id:chat message_thread_id:int")
def close_forum_topic(state: State, params: Params) -> bool:
    """No more messages into a topic."""
    return _set_closed(state, params, closed=True)


@method("reopenForumTopic", "chat_id:chat message_thread_id:int")
def reopen_forum_topic(state: State, params: Params) -> bool:
    """Messages into a topic again."""
    return _set_closed(state, params, closed=False)


def _set_closed(state: State, params: Params, *, closed: bool) -> bool:
    chat = _forum(state, params)
    topic = _topic(chat, params)
    if bool(topic.get("closed")) == closed:
        raise bad_request("TOPIC_NOT_MODIFIED")
    topic["closed"] = closed
    state.save_chat(chat)
    return True


def _forum(state: State, params: Params) -> Chat:
    chat = state.chat_to_send(params.chat())
    if not chat.is_forum:
        raise bad_request("the chat is not a forum")
    if chat.bot_status != "administrator":
        raise bad_request("not enough rights to create a topic")
    return chat


def _topic(chat: Chat, params: Params) -> Json:
    topic = chat.topics.get(str(params.integer("message_thread_id")))
    if topic is None:
        raise bad_request("message thread not found")
    return topic


def _topic_name(params: Params) -> str:
    name = params.text("name").strip()
    if not 1 <= len(name) <= _MOST_TOPIC_NAME:
        raise bad_request("TOPIC_TITLE_EMPTY" if not name else "TOPIC_TITLE_INVALID")
    return name
