"""Entities as spans: trimming, what may lie within what, and order."""

import re
from dataclasses import dataclass

from bot.demo.telegram.detect import detect
from bot.demo.telegram.wire import Json, utf16_length

_SPLIT = {"bold", "italic", "underline", "strikethrough", "spoiler"}
_WHOLE = {"code", "pre"}
_ORDER = {"expandable_blockquote": 0, "blockquote": 0}
_CONTROL = re.compile(r"[\x00-\x09\x0b-\x1f]")


@dataclass(frozen=True)
class Formatted:
    """A text without markup and its entities, offsets and lengths in UTF-16 units."""

    text: str
    entities: list[Json]


def formatted(text: str, entities: list[Json], *, automatic: bool = True) -> Formatted:
    """The text as it would be stored: trimmed, entities clipped, sorted, and links and commands found in it.

    Blank space is cut at both ends, at the front only up to the first entity. Nothing lies within `code` and
    `pre`: styles are cut around them.
    """
    text = _CONTROL.sub(" ", text)
    text, spans = _trimmed(text, entities)
    spans = _around_code(spans)
    for span in spans:
        if span["type"] == "code":
            span.pop("language", None)
    if automatic:
        spans += detect(text, spans)
    return Formatted(text, sorted(spans, key=_position))


def _position(span: Json) -> tuple[int, int, int]:
    return span["offset"], -span["length"], _ORDER.get(span["type"], 1)


def _trimmed(text: str, entities: list[Json]) -> tuple[str, list[Json]]:
    first = min((span["offset"] for span in entities), default=utf16_length(text))
    blank = len(text) - len(text.lstrip(" \n"))
    cut = min(blank, first)
    text = text[cut:].rstrip(" \n")
    end = utf16_length(text)
    spans = []
    for span in entities:
        offset = span["offset"] - cut
        length = min(span["length"], end - offset)
        if length > 0:
            spans.append({**span, "offset": offset, "length": length})
    return text, spans


def _around_code(spans: list[Json]) -> list[Json]:
    whole = [span for span in spans if span["type"] in _WHOLE]
    kept: list[Json] = []
    for index, span in enumerate(whole):
        # `pre` and `code` over one another: the one closed last lies outside and wins.
        if not any(_overlap(span, other) for other in whole[index + 1 :]):
            kept.append(span)
    others = [span for span in spans if span["type"] not in _WHOLE]
    for hole in kept:
        others = [piece for span in others for piece in _cut(span, hole)]
    return kept + others


def _overlap(one: Json, other: Json) -> bool:
    return bool(one["offset"] < other["offset"] + other["length"] and other["offset"] < one["offset"] + one["length"])


def _cut(span: Json, hole: Json) -> list[Json]:
    """What remains of a span beside a hole; only styles fall apart, a quotation around code stays whole."""
    if not _overlap(span, hole):
        return [span]
    begin, end = span["offset"], span["offset"] + span["length"]
    hole_begin, hole_end = hole["offset"], hole["offset"] + hole["length"]
    if span["type"] not in _SPLIT:
        return [span] if begin <= hole_begin and hole_end <= end and "quote" in span["type"] else []
    pieces = [(begin, hole_begin), (hole_end, end)]
    return [{**span, "offset": left, "length": right - left} for left, right in pieces if right > left]
