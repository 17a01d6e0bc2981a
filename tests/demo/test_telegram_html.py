"""HTML parse mode: entities, offsets, Telegram's own words for what is wrong."""

import html

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.demo.telegram.html import parse_html
from bot.demo.telegram.view import render_html
from bot.demo.telegram.wire import ApiError, Json, utf16_length

TAGS = ["b", "i", "u", "s", "tg-spoiler", "blockquote", "strong", "em", "ins", "del", "strike"]
LETTERS = st.text(st.characters(exclude_categories=("Cs", "Cc")) | st.sampled_from('😀🇦🇱é\n<>&"'), max_size=12)


@st.composite
def nested(draw: st.DrawFn, depth: int = 3) -> str:
    """Well-formed markup, tags within tags."""
    parts = []
    for _ in range(draw(st.integers(0, 3))):
        inner = draw(nested(depth - 1)) if depth else html.escape(draw(LETTERS))
        tag = draw(st.sampled_from(["", *TAGS]))
        parts.append(f"<{tag}>{inner}</{tag}>" if tag else html.escape(draw(LETTERS)))
    return "".join(parts)


def cut(text: str, entity: Json) -> str:
    """What an entity covers, by UTF-16 units."""
    units = text.encode("utf-16-le")
    return units[entity["offset"] * 2 : (entity["offset"] + entity["length"]) * 2].decode("utf-16-le")


def spans(markup: str) -> list[tuple[str, str]]:
    parsed = parse_html(markup)
    return [(entity["type"], cut(parsed.text, entity)) for entity in parsed.entities]


@given(st.text(st.sampled_from("<>/&;#x='\" \nabi-1😀") | st.characters(codec="utf-8"), max_size=60))
def test_any_text_is_parsed_or_refused_in_words(markup: str) -> None:
    try:
        parsed = parse_html(markup)
    except ApiError as refused:
        assert refused.description.startswith("Bad Request: can't parse entities: ")  # noqa: PT017 - both ends are right
        return
    end = utf16_length(parsed.text)
    for entity in parsed.entities:
        assert 0 <= entity["offset"] < entity["offset"] + entity["length"] <= end
        assert cut(parsed.text, entity)


@given(nested())
def test_what_is_well_formed_is_taken(markup: str) -> None:
    parsed = parse_html(markup)
    assert parsed.text == parsed.text.rstrip(" \n")
    for entity in parsed.entities:
        assert cut(parsed.text, entity)


@given(LETTERS, LETTERS)
def test_offsets_count_utf16_units(before: str, inside: str) -> None:
    markup = f"x{html.escape(before)}<b>{html.escape(inside)}y</b>z"
    assert ("bold", f"{inside}y") in spans(markup)


@given(LETTERS, LETTERS, LETTERS)
def test_rendering_and_parsing_again_changes_nothing(one: str, two: str, three: str) -> None:
    markup = f"a{html.escape(one)}<b>b{html.escape(two)}<i>c</i></b><u>{html.escape(three)}d</u>"
    first = parse_html(markup)
    assert parse_html(render_html(first.text, first.entities)) == first


@pytest.mark.parametrize(
    ("markup", "expected"),
    [
        ("<b>bold</b> <strong>x</strong>", [("bold", "bold"), ("bold", "x")]),
        ("<i>a<u>b</u></i>", [("italic", "ab"), ("underline", "b")]),
        ('<span class="tg-spoiler">x</span>', [("spoiler", "x")]),
        ("<blockquote expandable>q</blockquote>", [("expandable_blockquote", "q")]),
        ('<a href="https://example.org/?a=1&amp;b=2">l</a>', [("text_link", "l")]),
        ("<a href='tg://user?id=5'>l</a>", [("text_mention", "l")]),
        ("<a>https://example.org</a>", [("text_link", "https://example.org")]),
        ('<a href="no address">l</a>', []),
        ("<b>a<code>b</code>c</b>", [("bold", "a"), ("code", "b"), ("bold", "c")]),
        ("<code><b>b</b></code>", [("code", "b")]),
        ("<pre>/start @someone</pre>", [("pre", "/start @someone")]),
        ('<tg-emoji emoji-id="5">😀</tg-emoji>', [("custom_emoji", "😀")]),
        ("/start@cloud_desk_bot and /vms, a/b", [("bot_command", "/start@cloud_desk_bot"), ("bot_command", "/vms")]),
        ("see https://a.b/c. or me@x.org", [("url", "https://a.b/c"), ("email", "me@x.org")]),
        ("<b></b>x", []),
        ("<B>x</b >", [("bold", "x")]),
    ],
)
def test_tags_become_entities(markup: str, expected: list[tuple[str, str]]) -> None:
    assert spans(markup) == expected


def test_a_language_goes_from_code_to_the_block_around_it() -> None:
    parsed = parse_html('<pre><code class="language-bash">ls</code></pre>')
    assert parsed.entities == [{"type": "pre", "offset": 0, "length": 2, "language": "bash"}]


@pytest.mark.parametrize(
    ("markup", "text"),
    [
        ("&lt;&gt;&amp;&quot;", '<>&"'),
        ("&#128512;&#x1F600;", "😀😀"),
        ("&nbsp;&copy &", "&nbsp;&copy &"),
        ("&#0;&#xD800;&#99999999;", "&#0;&#xD800;&#99999999;"),
        ("  x \n", "x"),
        ("a\r\nb\tc", "a\nb c"),
    ],
)
def test_references_and_blanks(markup: str, text: str) -> None:
    assert parse_html(markup).text == text


@pytest.mark.parametrize(
    ("markup", "words"),
    [
        ("1 < 2", 'Unsupported start tag "" at byte offset 2'),
        ("é<font>x</font>", 'Unsupported start tag "font" at byte offset 2'),
        ("<b>x", 'Can\'t find end tag corresponding to start tag "b"'),
        ("x</b>", "Unexpected end tag at byte offset 1"),
        ("<b>x</i>", 'Unmatched end tag at byte offset 4, expected "</b>", found "</i>"'),
        ("<b", "Unclosed start tag at byte offset 0"),
        ("<b>x</b", "Unclosed end tag at byte offset 4"),
        ('<a href="x', 'Unclosed start tag "a" at byte offset 0'),
        ("<a href=x?y>l</a>", "Unexpected end of name token at byte offset 8"),
        ("<span>x</span>", 'Tag "span" must have class "tg-spoiler" at byte offset 0'),
        ('<a ="x">l</a>', 'Empty attribute name in the tag "a" at byte offset 0'),
        ("<a href>l</a>", 'Expected equal sign in declaration of an attribute of the tag "a" at byte offset 0'),
        ("<tg-emoji>x</tg-emoji>", "Invalid custom emoji identifier specified"),
    ],
)
def test_what_is_wrong_is_said_as_telegram_says_it(markup: str, words: str) -> None:
    with pytest.raises(ApiError) as refused:
        parse_html(markup)
    assert refused.value.description == f"Bad Request: can't parse entities: {words}"
