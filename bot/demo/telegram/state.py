"""Everything that the stand-in knows: the bot, the people, their chats and messages, files and queries."""

import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from bot.demo.telegram.events import Events
from bot.demo.telegram.keep import Keep
from bot.demo.telegram.updates import Updates
from bot.demo.telegram.wire import Json, bad_request, forbidden


@dataclass
class Stored:
    """A message and what of it the Bot API does not write."""

    wire: Json
    """As the Bot API writes it."""
    revision: int = 0
    """When it last changed."""
    markup: Json | None = None
    """The reply keyboard or forced reply that it carried."""
    reactions: list[Json] = field(default_factory=list)
    """The bot's reaction."""
    payload: str = ""
    """What the bot wrote into an invoice for itself."""

    @property
    def id(self) -> int:
        """Its number within the chat."""
        return int(self.wire["message_id"])


@dataclass
class Chat:
    """A chat as seen from the server."""

    id: int
    kind: str
    """`private`, `group` or `supergroup`."""
    title: str = ""
    members: list[int] = field(default_factory=list)
    """Ids of the people in it."""
    started: bool = False
    refusal: str = ""
    """Why the bot cannot write there, in Telegram's words; empty when it can."""
    bot_status: str = "member"
    is_forum: bool = False
    last_message_id: int = 0
    keyboard: Json | None = None
    """The reply keyboard that is up."""
    pinned: list[int] = field(default_factory=list)
    topics: dict[str, Json] = field(default_factory=dict)
    messages: dict[int, Stored] = field(default_factory=dict, repr=False)


@dataclass
class Query:
    """A tap on a button that waits for its answer."""

    id: str
    person_id: int
    chat_id: int
    message_id: int
    data: str
    asked_at: float
    answer: Json | None = None


class State:
    """The whole of it; changes are written through to `Keep` and told to `Events`.

    Args:
        token: the bot's token, `id:secret`.
        directory: where to keep everything, or nothing to forget it at the end.
        now: seconds, for dates that people see.
        name: the bot's first name.
        username: the bot's name in links.
        query_s: how long a tap waits for its answer, in real seconds.
    """

    def __init__(
        self,
        token: str,
        directory: Path | None = None,
        *,
        now: Callable[[], int],
        name: str,
        username: str,
        query_s: float,
    ) -> None:
        self.token = token
        self.now = now
        self.query_s = query_s
        self.keep = Keep(directory)
        self.events = Events()
        self.updates = Updates(self.keep)
        self.bot: Json = {
            "id": int(token.partition(":")[0]),
            "is_bot": True,
            "first_name": name,
            "username": username,
        }
        self.people: dict[int, Json] = {}
        self.chats: dict[int, Chat] = {}
        self.files: dict[str, Json] = {}
        self.queries: dict[str, Query] = {}
        self.answered: list[Query] = []
        """Queries in the order in which the bot answered them."""
        self.orders: dict[str, Json] = {}
        """Pre-checkout queries that wait for an answer."""
        self.charges: dict[str, Json] = {}
        """Payments in Stars."""
        self.profile: dict[str, Any] = {}
        """Commands, names, descriptions and menu buttons, by scope and language."""
        self._last_message_id = 0
        self._load()

    def _load(self) -> None:
        for person_id, person in self.keep.all("person"):
            self.people[int(person_id)] = person
        known = {entry.name for entry in fields(Chat)}
        for chat_id, kept in self.keep.all("chat"):
            self.chats[int(chat_id)] = Chat(**{name: kept[name] for name in kept if name in known})
        for _, kept in sorted(self.keep.all("message"), key=lambda row: row[1]["wire"]["message_id"]):
            stored = Stored(**kept)
            self.chats[stored.wire["chat"]["id"]].messages[stored.id] = stored
        self.files = dict(self.keep.all("file"))
        self.charges = dict(self.keep.all("charge"))
        self.profile = dict(self.keep.all("profile"))
        self._last_message_id = self.keep.one("setting", "last_message_id") or 0

    def save_chat(self, chat: Chat) -> None:
        """Write a chat without its messages, and tell that it changed."""
        kept = {entry.name: getattr(chat, entry.name) for entry in fields(chat) if entry.name != "messages"}
        self.keep.put("chat", chat.id, kept)
        self.events.publish("chat", chat_id=chat.id)

    def save_message(self, chat: Chat, stored: Stored) -> None:
        """Put a new or changed message into its chat, and tell it."""
        chat.messages[stored.id] = stored
        kept = {name: value for name, value in vars(stored).items() if name != "revision"}
        self.keep.put("message", f"{chat.id}/{stored.id}", kept)
        stored.revision = self.events.revision + 1
        self.events.publish("message", chat_id=chat.id, message_id=stored.id)

    def remove_message(self, chat: Chat, message_id: int) -> None:
        """Take a message out of its chat, and tell it."""
        del chat.messages[message_id]
        self.keep.drop("message", f"{chat.id}/{message_id}")
        self.events.publish("deleted", chat_id=chat.id, message_id=message_id)

    def next_message_id(self, chat: Chat) -> int:
        """The next number: counted per supergroup, and over all other chats together."""
        if chat.kind == "supergroup":
            chat.last_message_id += 1
            self.save_chat(chat)
            return chat.last_message_id
        self._last_message_id += 1
        self.keep.put("setting", "last_message_id", self._last_message_id)
        return self._last_message_id

    def set_profile(self, key: str, value: Any) -> None:  # noqa: ANN401 - whatever JSON can hold
        """Remember something of the bot's profile; nothing forgets it."""
        if value is None:
            self.profile.pop(key, None)
            self.keep.drop("profile", key)
        else:
            self.profile[key] = value
            self.keep.put("profile", key, value)
        self.events.publish("profile")

    def find_chat(self, chat: int | str) -> Chat:
        """A chat the bot has seen, 400 `chat not found` otherwise.

        `@name` finds none: it is for public groups and channels, and there are none here.
        """
        found = self.chats.get(chat) if isinstance(chat, int) else None
        if found is None or not found.started:
            raise bad_request("chat not found")
        return found

    def chat_to_send(self, chat: int | str) -> Chat:
        """A chat the bot may write to; 403 with Telegram's words if it may not."""
        found = self.find_chat(chat)
        if found.refusal:
            raise forbidden(found.refusal)
        return found

    def chat_info(self, chat: Chat) -> Json:
        """The chat as messages carry it."""
        if chat.kind == "private":
            person = self.people[chat.id]
            names = ("first_name", "last_name", "username")
            return {"id": chat.id, **{n: person[n] for n in names if n in person}, "type": "private"}
        info: Json = {"id": chat.id, "title": chat.title, "type": chat.kind}
        return info | ({"is_forum": True} if chat.is_forum else {})

    def ask(self, person_id: int, chat: Chat, message_id: int, data: str) -> Query:
        """A new query, waiting from now on."""
        query = Query(str(secrets.randbits(62)), person_id, chat.id, message_id, data, asked_at=time.monotonic())
        self.queries[query.id] = query
        return query

    def spinning(self, chat: Chat, message_id: int) -> list[str]:
        """Data of the buttons under a message that wait for their answer."""
        oldest = time.monotonic() - self.query_s
        return [
            query.data
            for query in self.queries.values()
            if (query.chat_id, query.message_id) == (chat.id, message_id)
            and query.answer is None
            and query.asked_at >= oldest
        ]

    def close(self) -> None:
        """End waits and streams, and close the file."""
        self.events.close()
        self.updates.close()
        self.keep.close()
