"""What people do: write, tap, upload, block, pay. Each act becomes the update that the bot would get."""

import secrets
from dataclasses import dataclass

from bot.demo.telegram.detect import detect
from bot.demo.telegram.methods.chats import set_bot_status
from bot.demo.telegram.methods.media import Media, keep_file, media_fields
from bot.demo.telegram.params import Upload
from bot.demo.telegram.posting import post, reply_fields
from bot.demo.telegram.spans import Formatted
from bot.demo.telegram.state import Chat, Query, State, Stored
from bot.demo.telegram.wire import Json

MOST_TYPED = 4096
_PRE_CHECKOUT_S = 10.0
_BLOCKED = "the bot is blocked: start it again first"


class Refused(Exception):
    """The chat client would not let a person do this."""


@dataclass(frozen=True)
class Paid:
    """What came of paying: done, or the words with which the bot refused."""

    ok: bool
    error: str = ""


def add_person(state: State, person: Json) -> None:
    """A person with an empty chat with the bot; one that is there already gets the new names.

    Args:
        state: where.
        person: a User as the Bot API writes it.
    """
    state.people[person["id"]] = person
    state.keep.put("person", person["id"], person)
    if person["id"] not in state.chats:
        chat = Chat(person["id"], "private", members=[person["id"]])
        state.chats[chat.id] = chat
        state.save_chat(chat)
    state.events.publish("people")


def add_group(state: State, title: str, members: list[int], *, supergroup: bool, forum: bool) -> Chat:
    """A group without the bot; its first member owns it. A forum is a supergroup."""
    kind = "supergroup" if supergroup or forum else "group"
    number = secrets.randbits(31)
    chat_id = -1_000_000_000_000 - number if kind == "supergroup" else -number
    chat = Chat(chat_id, kind, title, members, bot_status="left", is_forum=forum)
    state.chats[chat.id] = chat
    state.save_chat(chat)
    state.events.publish("people")
    return chat


def add_bot(state: State, chat: Chat, by: int, *, administrator: bool) -> None:
    """Add the bot to a group, or change what it is there."""
    chat.started = True
    set_bot_status(state, chat, "administrator" if administrator else "member", state.people[by])


def remove_bot(state: State, chat: Chat, by: int) -> None:
    """Throw the bot out of a group."""
    set_bot_status(state, chat, "kicked", state.people[by])


def start(state: State, person_id: int, payload: str = "") -> Stored:
    """Press Start, or open a deep link; a blocked bot is unblocked by it."""
    chat = state.chats[person_id]
    if chat.bot_status == "kicked":
        unblock(state, person_id)
    return write(state, person_id, chat, f"/start {payload}".strip())


def write(state: State, person_id: int, chat: Chat, text: str, *, reply_to: int = 0, thread: int = 0) -> Stored:
    """Send a text as typed: commands, links and the like in it are found, markup is not.

    `thread` is a forum's topic; a reply goes to the topic of the message it answers.
    """
    text = text.strip()
    if not 1 <= len(text) <= MOST_TYPED:
        raise Refused("a message has 1 to 4096 characters")
    content: Json = {"text": text}
    if found := detect(text, []):
        content["entities"] = found
    return _say(state, person_id, chat, content | _place(state, chat, reply_to, thread))


def upload(
    state: State,
    person_id: int,
    chat: Chat,
    kind: str,
    file: Upload,
    caption: str = "",
    *,
    reply_to: int = 0,
    thread: int = 0,
) -> Stored:
    """Send a `document` or a `photo`, as `write` does; `ApiError` where Telegram would refuse the file."""
    record = keep_file(state, file, kind)
    media = Media(kind, record["file_id"], Formatted(caption, detect(caption, [])), above=False)
    return _say(state, person_id, chat, media_fields(state, media) | _place(state, chat, reply_to, thread))


def _place(state: State, chat: Chat, reply_to: int, thread: int) -> Json:
    """What a message answers, and the topic that it stands in."""
    reply = reply_fields(state, chat, {"message_id": reply_to} if reply_to else None)
    thread = reply.get("reply_to_message", {}).get("message_thread_id", thread)
    return reply | ({"message_thread_id": thread, "is_topic_message": True} if thread else {})


def send_contact(state: State, person_id: int, chat: Chat, phone: str) -> Stored:
    """Share one's own phone number."""
    person = state.people[person_id]
    contact = {"phone_number": phone, "first_name": person["first_name"], "user_id": person_id}
    return _say(state, person_id, chat, {"contact": contact})


def _say(state: State, person_id: int, chat: Chat, content: Json) -> Stored:
    if chat.kind == "private" and chat.refusal:
        raise Refused(_BLOCKED)
    if person_id not in chat.members:
        raise Refused("not a member of this chat")
    if chat.kind == "private" and not chat.started:
        chat.started = True
        state.save_chat(chat)
    stored = post(state, chat, state.people[person_id], content)
    if chat.keyboard and chat.keyboard.get("one_time_keyboard"):
        chat.keyboard = None
        state.save_chat(chat)
    if _bot_sees(state, chat, stored.wire):
        state.updates.push("message", stored.wire, chat.id)
    return stored


def _bot_sees(state: State, chat: Chat, wire: Json) -> bool:
    """In a group a bot that is no administrator sees commands, mentions of it and replies to it only."""
    if chat.kind == "private" or chat.bot_status == "administrator":
        return True
    if chat.bot_status != "member":
        return False
    mention = f"@{state.bot['username']}".lower()
    to_bot = wire.get("reply_to_message", {}).get("from") == state.bot
    text = str(wire.get("text") or wire.get("caption") or "")
    return to_bot or text.startswith("/") or mention in text.lower()


def edit(state: State, person_id: int, chat: Chat, message_id: int, text: str) -> Stored:
    """Change one's own text."""
    stored = chat.messages.get(message_id)
    if stored is None or stored.wire["from"]["id"] != person_id or "text" not in stored.wire:
        raise Refused("only one's own text can be edited")
    wire = {name: value for name, value in stored.wire.items() if name != "entities"}
    found = detect(text, [])
    wire |= {"text": text, "edit_date": state.now()} | ({"entities": found} if found else {})
    changed = Stored(wire)
    state.save_message(chat, changed)
    if _bot_sees(state, chat, wire):
        state.updates.push("edited_message", wire, chat.id)
    return changed


def tap(state: State, person_id: int, chat: Chat, message_id: int, data: str) -> Query:
    """Tap a callback button; the query spins until it is answered or too old."""
    if chat.kind == "private" and chat.refusal:
        raise Refused(_BLOCKED)
    query = state.ask(person_id, chat, message_id, data)
    stored = chat.messages.get(message_id)
    if stored is None:
        message: Json = {"chat": state.chat_info(chat), "message_id": message_id, "date": 0}
    else:
        message = stored.wire
        state.events.publish("tapped", chat_id=chat.id, message_id=message_id)
    body = {
        "id": query.id,
        "from": state.people[person_id],
        "message": message,
        "chat_instance": str(abs(chat.id) * 7919),
        "data": data,
    }
    state.updates.push("callback_query", body, chat.id)
    return query


def block(state: State, person_id: int) -> None:
    """Stop the bot."""
    chat = state.chats[person_id]
    if chat.started and chat.bot_status != "kicked":
        set_bot_status(state, chat, "kicked", state.people[person_id])


def unblock(state: State, person_id: int) -> None:
    """Let a stopped bot write again."""
    chat = state.chats[person_id]
    if chat.bot_status == "kicked":
        set_bot_status(state, chat, "member", state.people[person_id])


async def pay(state: State, person_id: int, chat: Chat, message_id: int) -> Paid:
    """Pay an invoice in Stars: asks the bot first, as Telegram does, and gives it ten seconds."""
    stored = chat.messages.get(message_id)
    if stored is None or "invoice" not in stored.wire:
        raise Refused("there is nothing to pay")
    price = {name: stored.wire["invoice"][name] for name in ("currency", "total_amount")}
    order: Json = {
        "id": str(secrets.randbits(62)),
        "from": state.people[person_id],
        **price,
        "invoice_payload": stored.payload,
    }
    state.orders[order["id"]] = order
    state.updates.push("pre_checkout_query", dict(order), chat.id)
    answered = await state.events.until(lambda: "ok" in order, _PRE_CHECKOUT_S)
    del state.orders[order["id"]]
    if not answered:
        return Paid(ok=False, error="The bot didn't answer in time.")
    if not order["ok"]:
        return Paid(ok=False, error=order["error_message"])
    _paid(state, person_id, chat, order)
    return Paid(ok=True)


def _paid(state: State, person_id: int, chat: Chat, order: Json) -> None:
    charge_id = f"st{secrets.token_urlsafe(24)}"
    payment = {
        "currency": order["currency"],
        "total_amount": order["total_amount"],
        "invoice_payload": order["invoice_payload"],
        "telegram_payment_charge_id": charge_id,
        "provider_payment_charge_id": f"{person_id}_{len(state.charges)}",
    }
    charge = {"person_id": person_id, "payment": payment, "paid_at": state.now()}
    state.charges[charge_id] = charge
    state.keep.put("charge", charge_id, charge)
    stored = post(state, chat, state.people[person_id], {"successful_payment": payment})
    state.updates.push("message", stored.wire, chat.id)
