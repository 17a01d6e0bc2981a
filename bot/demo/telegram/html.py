"""HTML parse mode, read the way Telegram reads it: tags become entities with UTF-16 offsets.

The grammar is Telegram's own small one, not a browser's: few tags, attributes in quotes or as bare
tokens, four named character references and numeric ones. Errors name byte offsets as the real server does.
"""

from dataclasses import dataclass

from bot.demo.telegram.detect import link_of
from bot.demo.telegram.spans import Formatted, formatted
from bot.demo.telegram.wire import ApiError, Json, bad_request, utf16_length

_STYLES = {
    "b": "bold", "strong": "bold",
    "i": "italic", "em": "italic",
    "u": "underline", "ins": "underline",
    "s": "strikethrough", "strike": "strikethrough", "del": "strikethrough",
    "span": "spoiler", "tg-spoiler": "spoiler",
    "a": "text_link", "code": "code", "pre": "pre",
    "blockquote": "blockquote", "tg-emoji": "custom_emoji",
}  # fmt: skip
_REFERENCES = {"lt": "<", "gt": ">", "amp": "&", "quot": '"'}
_HIGHEST = 0x10FFFF
_SURROGATES = range(0xD800, 0xE000)
_LONGEST_REFERENCE = 10
_SPACE = " \t\n\r\v\f\0"
_BARE = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-"
_HEX = "0123456789abcdefABCDEF"


@dataclass(frozen=True)
class _Open:
    """A start tag whose end was not seen yet."""

    tag: str
    argument: str
    offset: int
    """Where its text begins, in UTF-16 units."""
    pieces: int
    """How many pieces of text were out before it."""


def parse_html(markup: str) -> Formatted:
    """The text without tags, and its entities sorted by offset; 400 `can't parse entities: ...` otherwise."""
    return _Parser(markup.replace("\r", "")).parse()


class _Parser:
    def __init__(self, markup: str) -> None:
        self.markup = markup
        self.at = 0
        self.out: list[str] = []
        self.units = 0
        self.open: list[_Open] = []
        self.entities: list[Json] = []

    def parse(self) -> Formatted:
        while self.at < len(self.markup):
            letter = self.markup[self.at]
            if letter == "<":
                self._tag()
            elif letter == "&":
                self._emit(self._reference() or self._next())
            else:
                self._emit(self._next())
        if self.open:
            raise _refused(f'Can\'t find end tag corresponding to start tag "{self.open[-1].tag}"')
        return formatted("".join(self.out), self.entities)

    def _emit(self, letter: str) -> None:
        self.out.append(letter)
        self.units += utf16_length(letter)

    def _peek(self) -> str:
        return self.markup[self.at] if self.at < len(self.markup) else ""

    def _next(self) -> str:
        letter = self._peek()
        self.at += 1
        return letter

    def _take(self, *, until: str = "", of: str = "") -> str:
        """Letters up to one of `until`, or as long as they are among `of`."""
        begin = self.at
        while (letter := self._peek()) and (letter in of if of else letter not in until):
            self.at += 1
        return self.markup[begin : self.at]

    def _bytes(self, at: int) -> int:
        return len(self.markup[:at].encode())

    def _reference(self) -> str:
        """The letter that a reference at `&` stands for, consumed; empty, nothing consumed, if it is none."""
        begin = self.at
        self.at += 1
        letter = self._numeric(begin) if self._peek() == "#" else self._named()
        if not letter:
            self.at = begin
        elif self._peek() == ";":
            self.at += 1
        return letter

    def _named(self) -> str:
        begin = self.at
        while (letter := self._peek()) and letter.isascii() and letter.isalpha():
            self.at += 1
        return _REFERENCES.get(self.markup[begin : self.at], "")

    def _numeric(self, begin: int) -> str:
        self.at += 1
        base = 10
        if self._peek() == "x":
            self.at += 1
            base = 16
        digits = self._take(of=_HEX if base > 10 else "0123456789")  # noqa: PLR2004 - hexadecimal or decimal
        if not digits or self.at - begin >= _LONGEST_REFERENCE:
            return ""
        number = int(digits, base)
        return chr(number) if 0 < number < _HIGHEST and number not in _SURROGATES else ""

    def _tag(self) -> None:
        begin = self.at
        self.at += 1
        if self._peek() == "/":
            self.at += 1
            self._end(begin)
        else:
            self._start(begin)

    def _start(self, begin: int) -> None:
        tag = self._take(until=_SPACE + ">").lower()
        if not self._peek():
            raise _refused(f"Unclosed start tag at byte offset {self._bytes(begin)}")
        if tag not in _STYLES:
            raise _refused(f'Unsupported start tag "{tag}" at byte offset {self._bytes(begin)}')
        argument = self._attributes(tag, begin)
        if tag == "span" and argument != "spoiler":
            raise _refused(f'Tag "span" must have class "tg-spoiler" at byte offset {self._bytes(begin)}')
        self.open.append(_Open(tag, argument, self.units, len(self.out)))

    def _attributes(self, tag: str, begin: int) -> str:
        argument = ""
        while True:
            self._take(of=_SPACE)
            if self._peek() == ">":
                self.at += 1
                return argument
            name = self._take(until=_SPACE + "=>").lower()
            self._take(of=_SPACE)
            value = self._value(tag, begin) if self._peek() == "=" else None
            if not self._peek():
                raise _refused(f'Unclosed start tag "{tag}" at byte offset {self._bytes(begin)}')
            if not name:
                raise _refused(f'Empty attribute name in the tag "{tag}" at byte offset {self._bytes(begin)}')
            if value is None and (tag, name) != ("blockquote", "expandable"):
                raise _refused(
                    f'Expected equal sign in declaration of an attribute of the tag "{tag}"'
                    f" at byte offset {self._bytes(begin)}"
                )
            argument = _argument(tag, name, value or "") or argument

    def _value(self, tag: str, begin: int) -> str:
        self.at += 1
        self._take(of=_SPACE)
        quote = self._peek()
        if not quote:
            raise _refused(f'Unclosed start tag "{tag}" at byte offset {self._bytes(begin)}')
        if quote not in "'\"":
            return self._bare()
        self.at += 1
        value: list[str] = []
        while (letter := self._peek()) and letter != quote:
            value.append((self._reference() if letter == "&" else "") or self._next())
        self.at += 1
        return "".join(value)

    def _bare(self) -> str:
        begin = self.at
        value = self._take(of=_BARE).lower()
        if self._peek() not in _SPACE + ">":
            raise _refused(f"Unexpected end of name token at byte offset {self._bytes(begin)}")
        return value

    def _end(self, begin: int) -> None:
        if not self.open:
            raise _refused(f"Unexpected end tag at byte offset {self._bytes(begin)}")
        name = self._take(until=_SPACE + ">").lower()
        self._take(of=_SPACE)
        if self._next() != ">":
            raise _refused(f"Unclosed end tag at byte offset {self._bytes(begin)}")
        opened = self.open.pop()
        if name and name != opened.tag:
            raise _refused(
                f'Unmatched end tag at byte offset {self._bytes(begin)}, expected "</{opened.tag}>", found "</{name}>"'
            )
        if self.units > opened.offset:
            self._close(opened)

    def _close(self, opened: _Open) -> None:
        entity: Json = {
            "type": _STYLES[opened.tag],
            "offset": opened.offset,
            "length": self.units - opened.offset,
        }
        if opened.tag == "a":
            link = link_of(opened.argument or "".join(self.out[opened.pieces :]))
            if not link:
                return
            entity |= link
        elif opened.tag == "tg-emoji":
            if not opened.argument.isdigit():
                raise bad_request("can't parse entities: Invalid custom emoji identifier specified")
            entity["custom_emoji_id"] = opened.argument
        elif opened.tag == "blockquote" and opened.argument:
            entity["type"] = "expandable_blockquote"
        elif opened.tag == "code" and opened.argument:
            entity["language"] = opened.argument
        elif opened.tag == "pre" and self._is_code_within(entity):
            entity["language"] = self.entities.pop()["language"]
        self.entities.append(entity)

    def _is_code_within(self, pre: Json) -> bool:
        """Whether `pre` holds nothing but one `code` with a language."""
        last = self.entities[-1] if self.entities else {}
        return (
            last.get("type") == "code"
            and "language" in last
            and (last["offset"], last["length"]) == (pre["offset"], pre["length"])
        )


def _argument(tag: str, name: str, value: str) -> str:
    """What of an attribute counts for the entity; every other attribute is read and ignored."""
    match tag, name:
        case ("a", "href") | ("tg-emoji", "emoji-id"):
            return value
        case "code", "class":
            return value.removeprefix("language-") if value.startswith("language-") else ""
        case "span", "class":
            return value.removeprefix("tg-") if value.startswith("tg-") else ""
        case "blockquote", "expandable":
            return "1"
        case _:
            return ""


def _refused(words: str) -> ApiError:
    return bad_request(f"can't parse entities: {words}")
