"""People and groups as tests use them: `person.send("/start")`, `person.tap(message, "Deploy")`."""

from collections.abc import Callable
from dataclasses import dataclass

from bot.demo.telegram import acts
from bot.demo.telegram.methods.profile import commands_for
from bot.demo.telegram.params import Upload
from bot.demo.telegram.state import Chat, Query, State, Stored
from bot.demo.telegram.view import ChatMessage
from bot.demo.telegram.wire import Json

DEFAULT_WAIT_S = 10.0


@dataclass(frozen=True)
class Tap:
    """A tapped button."""

    state: State
    query: Query

    async def answered(self, timeout_s: float = DEFAULT_WAIT_S) -> Json:
        """The bot's answer, `{"text", "show_alert", "url"}`; TimeoutError if none comes."""
        if not await self.state.events.until(lambda: self.query.answer is not None, timeout_s, self.query.chat_id):
            raise TimeoutError(f"no answer to the tap on {self.query.data!r}")
        return self.query.answer or {}


def seen(state: State, stored: Stored) -> ChatMessage:
    """A stored message as a person sees it now."""
    return ChatMessage(dict(stored.wire), stored.revision, stored.markup, state.keep.read_file)


class Person:
    """A person in one chat: their own with the bot, or, by `at(group)`, a group.

    `wait()` looks at what came or changed since the person's last act, so the answer to an earlier act is
    not taken for the answer to this one.
    """

    def __init__(self, state: State, person_id: int, chat: Chat) -> None:
        self._state = state
        self._chat = chat
        self._acted = state.events.revision
        self.id = person_id

    @property
    def name(self) -> str:
        """First name."""
        return str(self._state.people[self.id]["first_name"])

    def at(self, group: "Group") -> "Person":
        """The same person, writing in a group."""
        return Person(self._state, self.id, group.chat)

    @property
    def messages(self) -> list[ChatMessage]:
        """Every message of the chat, oldest first."""
        return [seen(self._state, stored) for _, stored in sorted(self._chat.messages.items())]

    @property
    def last(self) -> ChatMessage:
        """The newest message of the bot; LookupError if there is none."""
        for message in reversed(self.messages):
            if message.from_bot:
                return message
        raise LookupError("the bot has not written")

    def message(self, message_id: int) -> ChatMessage:
        """A message as it is now; KeyError if it is deleted."""
        return seen(self._state, self._chat.messages[message_id])

    @property
    def toasts(self) -> list[str]:
        """Texts with which the bot answered this person's taps, oldest first."""
        answers = [query.answer for query in self._state.answered if query.person_id == self.id]
        return [answer["text"] for answer in answers if answer and answer["text"]]

    @property
    def spinning(self) -> list[str]:
        """Data of the buttons in the chat that wait for an answer."""
        return [data for number in self._chat.messages for data in self._state.spinning(self._chat, number)]

    @property
    def keyboard(self) -> list[str]:
        """Texts of the reply keyboard that is up."""
        rows = (self._chat.keyboard or {}).get("keyboard", [])
        return [key["text"] for row in rows for key in row]

    @property
    def commands(self) -> list[str]:
        """Commands that the menu shows this person here."""
        language = self._state.people[self.id].get("language_code", "")
        return [c["command"] for c in commands_for(self._state, self._chat.id, self.id, language)]

    async def start(self, payload: str = "") -> ChatMessage:
        """Press Start, or open a link `t.me/bot?start=payload`."""
        self._act()
        return seen(self._state, acts.start(self._state, self.id, payload))

    async def send(self, text: str, *, reply_to: ChatMessage | None = None, thread: int = 0) -> ChatMessage:
        """Send a text or command; `thread` is a forum's topic."""
        self._act()
        where = {"reply_to": reply_to.id if reply_to else 0, "thread": thread}
        return seen(self._state, acts.write(self._state, self.id, self._chat, text, **where))

    async def edit(self, message: ChatMessage, text: str) -> ChatMessage:
        """Change one's own text."""
        self._act()
        return seen(self._state, acts.edit(self._state, self.id, self._chat, message.id, text))

    async def send_document(
        self, name: str, content: bytes, *, mime: str = "", caption: str = "", reply_to: ChatMessage | None = None
    ) -> ChatMessage:
        """Send a file."""
        return self._upload("document", Upload(name, mime, content), caption, reply_to)

    async def send_photo(self, content: bytes, *, caption: str = "") -> ChatMessage:
        """Send a picture."""
        return self._upload("photo", Upload("photo.png", "", content), caption)

    async def send_contact(self, phone: str) -> ChatMessage:
        """Share one's own phone number."""
        self._act()
        return seen(self._state, acts.send_contact(self._state, self.id, self._chat, phone))

    async def tap(self, message: ChatMessage, button: str) -> Tap:
        """Tap a button by its text or data, as it was on the message given; LookupError if it is not there.

        The message may be an old look at one that has changed since: a real client can be late, too.
        """
        found = message.button(button)
        if not found.data:
            raise LookupError(f"{found.text!r} calls nothing back: {found.wire}")
        self._act()
        return Tap(self._state, acts.tap(self._state, self.id, self._chat, message.id, found.data))

    async def press(self, button: str) -> Tap:
        """Tap a button on the newest message that has it."""
        for message in reversed(self.messages):
            try:
                message.button(button)
            except LookupError:
                continue
            return await self.tap(message, button)
        raise LookupError(f"no message with a button like {button!r}")

    async def open(self, message: ChatMessage, button: str) -> str:
        """The address that a button opens."""
        found = message.button(button)
        if not found.url:
            raise LookupError(f"{found.text!r} opens nothing: {found.wire}")
        return found.url

    async def copy(self, message: ChatMessage, button: str) -> str:
        """What a button copies."""
        found = message.button(button)
        if not found.copied:
            raise LookupError(f"{found.text!r} copies nothing: {found.wire}")
        return found.copied

    async def pay(self, message: ChatMessage) -> acts.Paid:
        """Pay an invoice in Stars."""
        self._act()
        return await acts.pay(self._state, self.id, self._chat, message.id)

    async def block(self) -> None:
        """Stop the bot."""
        self._act()
        acts.block(self._state, self.id)

    async def unblock(self) -> None:
        """Let the bot write again."""
        self._act()
        acts.unblock(self._state, self.id)

    async def wait(
        self,
        wanted: Callable[[ChatMessage], object] = lambda _: True,
        timeout_s: float = DEFAULT_WAIT_S,
        *,
        since: int | None = None,
    ) -> ChatMessage:
        """The newest message of the bot that is wanted, sent or edited since the last act.

        Args:
            wanted: says whether a message is the one; any by default.
            timeout_s: TimeoutError after it, showing what there is.
            since: look at what came after this revision instead; 0 for everything.
        """
        after = self._acted if since is None else since
        found: list[ChatMessage] = []

        def look() -> bool:
            fresh = (stored for stored in self._chat.messages.values() if stored.revision >= after)
            shown = (seen(self._state, stored) for stored in fresh)
            found[:] = [message for message in shown if message.from_bot and wanted(message)]
            return bool(found)

        if not await self._state.events.until(look, timeout_s, self._chat.id):
            shown = [(message.text, message.revision) for message in self.messages[-5:]]
            raise TimeoutError(f"{self.name} got no such message since {after}; the last ones: {shown}")
        return max(found, key=lambda message: message.revision)

    async def wait_for_text(self, *parts: str, timeout_s: float = DEFAULT_WAIT_S) -> ChatMessage:
        """The newest message of the bot since the last act that contains every part."""
        return await self.wait(lambda message: all(part in message.text for part in parts), timeout_s)

    async def wait_for_toast(self, part: str, timeout_s: float = DEFAULT_WAIT_S) -> str:
        """The newest answer to a tap that contains the part; TimeoutError if none comes."""
        if not await self._state.events.until(lambda: any(part in t for t in self.toasts), timeout_s):
            raise TimeoutError(f"{self.name} got no toast with {part!r}: {self.toasts}")
        return next(toast for toast in reversed(self.toasts) if part in toast)

    def _act(self) -> None:
        self._acted = self._state.events.revision + 1

    def _upload(self, kind: str, file: Upload, caption: str, reply_to: ChatMessage | None = None) -> ChatMessage:
        self._act()
        answered = reply_to.id if reply_to else 0
        return seen(self._state, acts.upload(self._state, self.id, self._chat, kind, file, caption, reply_to=answered))


class Group:
    """A group chat."""

    def __init__(self, state: State, chat: Chat) -> None:
        self._state = state
        self.chat = chat
        self.id = chat.id

    @property
    def messages(self) -> list[ChatMessage]:
        """Every message, oldest first."""
        return [seen(self._state, stored) for _, stored in sorted(self.chat.messages.items())]

    async def add_bot(self, by: Person, *, administrator: bool = False) -> None:
        """Add the bot, or change what it is."""
        acts.add_bot(self._state, self.chat, by.id, administrator=administrator)

    async def remove_bot(self, by: Person) -> None:
        """Throw the bot out."""
        acts.remove_bot(self._state, self.chat, by.id)
