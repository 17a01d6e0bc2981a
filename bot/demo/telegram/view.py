"""A message as a person sees it: text, buttons, files."""

import html
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from bot.demo.telegram.wire import Json, utf16_length

_TAGS = {
    "bold": "b", "italic": "i", "underline": "u", "strikethrough": "s", "code": "code", "pre": "pre",
    "spoiler": "tg-spoiler", "blockquote": "blockquote", "expandable_blockquote": "blockquote",
}  # fmt: skip


@dataclass(frozen=True)
class Button:
    """A button under a message."""

    wire: Json

    @property
    def text(self) -> str:
        """What stands on it."""
        return str(self.wire["text"])

    @property
    def data(self) -> str:
        """The callback data, empty for other kinds."""
        return str(self.wire.get("callback_data", ""))

    @property
    def url(self) -> str:
        """The address it opens, empty for other kinds."""
        return str(self.wire.get("url", ""))

    @property
    def copied(self) -> str:
        """What it copies, empty for other kinds."""
        return str(self.wire.get("copy_text", {}).get("text", ""))


@dataclass(frozen=True)
class ChatMessage:
    """A message as it was when it was looked at; an edit makes a new one with the same `id`."""

    wire: Json
    """As the Bot API writes it."""
    revision: int = 0
    """Grows with every change in any chat."""
    markup: Json | None = None
    """The reply keyboard or forced reply that it carried."""
    read: Callable[[str], bytes] = field(default=lambda _: b"", repr=False, compare=False)
    """Reads a file by its id."""

    @property
    def id(self) -> int:
        """Its number within the chat."""
        return int(self.wire["message_id"])

    @property
    def from_bot(self) -> bool:
        """Whether the bot sent it."""
        return bool(self.wire["from"]["is_bot"])

    @property
    def text(self) -> str:
        """The text or caption, empty without."""
        return str(self.wire.get("text", self.wire.get("caption", "")))

    @property
    def entities(self) -> list[Json]:
        """The entities of the text or caption."""
        found: list[Json] = self.wire.get("entities") or self.wire.get("caption_entities") or []
        return found

    @property
    def html(self) -> str:
        """The text with its entities as HTML."""
        return render_html(self.text, self.entities)

    @property
    def edited(self) -> bool:
        """Whether it was changed after it was sent."""
        return "edit_date" in self.wire

    @property
    def content(self) -> bytes:
        """The bytes of its document or picture, empty without."""
        photo = self.wire.get("photo", [{}])[-1]
        file_id = self.wire.get("document", photo).get("file_id")
        return self.read(file_id) if file_id else b""

    @property
    def file_name(self) -> str:
        """The name of its document, empty without."""
        return str(self.wire.get("document", {}).get("file_name", ""))

    @property
    def rows(self) -> list[list[Button]]:
        """The buttons under it, row by row."""
        rows = self.wire.get("reply_markup", {}).get("inline_keyboard", [])
        return [[Button(button) for button in row] for row in rows]

    @property
    def buttons(self) -> list[Button]:
        """The buttons under it in one list."""
        return list(self._each())

    def _each(self) -> Iterator[Button]:
        for row in self.rows:
            yield from row

    def button(self, name: str) -> Button:
        """The button with that text or data, else the only one whose text contains it; LookupError if none."""
        for button in self.buttons:
            if name in {button.text, button.data}:
                return button
        like = [button for button in self.buttons if name.lower() in button.text.lower()]
        if len(like) != 1:
            shown = [button.text for button in self.buttons]
            raise LookupError(f"{len(like)} buttons like {name!r} among {shown} under {self.text!r}")
        return like[0]


def render_html(text: str, entities: list[Json]) -> str:
    """The text with its entities as HTML, properly nested; automatic entities stay plain."""
    units = text.encode("utf-16-le")
    starts: dict[int, list[Json]] = {}
    for entity in sorted(entities, key=lambda e: (e["offset"], -e["length"])):
        starts.setdefault(entity["offset"], []).append(entity)
    open_: list[tuple[int, str]] = []
    out: list[str] = []
    end = utf16_length(text)
    marks = {0, end, *starts, *(e["offset"] + e["length"] for e in entities)}
    points = sorted(mark for mark in marks if mark <= end)
    for here, following in zip(points, [*points[1:], end], strict=True):
        while open_ and open_[-1][0] <= here:
            out.append(open_.pop()[1])
        for entity in starts.get(here, []):
            opening, closing = _tags(entity)
            out.append(opening)
            open_.append((entity["offset"] + entity["length"], closing))
        out.append(html.escape(units[here * 2 : following * 2].decode("utf-16-le", "replace"), quote=False))
    out.extend(closing for _, closing in reversed(open_))
    return "".join(out)


def _tags(entity: Json) -> tuple[str, str]:
    kind = entity["type"]
    if kind == "text_link":
        return f'<a href="{html.escape(entity["url"])}">', "</a>"
    if kind == "pre" and entity.get("language"):
        return f'<pre><code class="language-{html.escape(entity["language"])}">', "</code></pre>"
    if kind == "expandable_blockquote":
        return "<blockquote expandable>", "</blockquote>"
    tag = _TAGS.get(kind)
    return (f"<{tag}>", f"</{tag}>") if tag else ("", "")
