"""The words of the house in every language: none is missing, unused, broken, or outside the catalogue."""

import ast
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest
from babel.messages.catalog import Catalog, Message
from babel.messages.extract import extract_from_dir
from babel.messages.pofile import read_po

from bot import i18n
from bot.view import View
from tests.test_architecture import ROOT, modules

KEYWORDS = {"_": None, "ngettext": (1, 2)}
OTHERS = sorted(set(i18n.LANGUAGES) - {i18n.DEFAULT})
PLACEHOLDER = re.compile(r"\{\w*\}")
TAG = re.compile(r"</?\w+>")
COMMAND = re.compile(r"(?<![\w<>])/(?=[a-z])")
LRM = "\N{LEFT-TO-RIGHT MARK}"
NAMES = {"kubeconfig"}
"""Words that are the same in every language."""
FEW = 3
"""Plural forms before this one are of numbers that may be said in words: none, one, two."""

Texts = str | tuple[str, ...]


def in_the_code() -> set[Texts]:
    """Every text that the code has translated, with its plural."""
    found: set[Texts] = {message for *_, message, _, _ in extract_from_dir(str(ROOT / "bot"), keywords=KEYWORDS)}
    plurals = {message[0] for message in found if isinstance(message, tuple)}
    return found - plurals


def catalogue(language: str) -> Catalog:
    with (i18n.FOLDER / language / "LC_MESSAGES" / "bot.po").open("rb") as file:
        return read_po(file, locale=language)


def messages(language: str) -> Iterator[Message]:
    return (message for message in catalogue(language) if message.id)


def forms(texts: str | Iterable[str] | None) -> tuple[str, ...]:
    return (texts or "",) if isinstance(texts, str | None) else tuple(texts)


def wrong(source: str | Iterable[str], translated: str | Iterable[str] | None, *, right_to_left: bool) -> Iterator[str]:
    """What is wrong with a translation."""
    wanted = set(PLACEHOLDER.findall(forms(source)[-1]))
    for number, text in enumerate(forms(translated)):
        in_words = {"{count}"} if len(forms(translated)) > 1 and number < FEW else set()
        found = set(PLACEHOLDER.findall(text))
        if not text:
            yield "not translated"
        elif not found <= wanted or not wanted - in_words <= found:
            yield f"placeholders {sorted(found)} for {sorted(wanted)}"
        if sorted(TAG.findall(text)) != sorted(TAG.findall(forms(source)[-1])):
            yield "other tags"
        if right_to_left and any(text[: match.start()][-1:] != LRM for match in COMMAND.finditer(text)):
            yield "a command without a mark before its slash"


def spoken_outside(source: str) -> Iterator[str]:
    """Texts of screens and buttons that are not translated."""
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name) or not node.args:
            continue
        first = node.args[0]
        if node.func.id in {"View", "Button", "problem"} and isinstance(first, ast.Constant):
            yield from set(re.findall(r"[^\W\d_]+", str(first.value))) - NAMES


def inside_another(source: str) -> Iterator[str]:
    """Texts within f-strings, which the extraction overlooks before Python 3.12."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.JoinedStr):
            yield from (
                ast.unparse(call)
                for call in ast.walk(node)
                if isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id in {"_", "ngettext"}
            )


@pytest.mark.parametrize("language", OTHERS)
def test_no_text_is_missing_and_none_is_unused(language: str) -> None:
    """After a change of words: `make texts`, then translate what is new."""
    translated = {
        tuple(message.id) if isinstance(message.id, list | tuple) else message.id for message in messages(language)
    }
    assert not in_the_code() - translated, "missing: run make texts"
    assert not translated - in_the_code(), "unused: run make texts"
    assert not catalogue(language).obsolete


@pytest.mark.parametrize("language", OTHERS)
def test_every_text_is_translated_whole(language: str) -> None:
    right_to_left = language in i18n.RIGHT_TO_LEFT
    found = {
        str(message.id): list(wrong(message.id, message.string, right_to_left=right_to_left))
        for message in messages(language)
    }
    assert not {text: problems for text, problems in found.items() if problems}
    assert not [message.id for message in messages(language) if message.fuzzy]


@pytest.mark.parametrize(
    ("source", "translated"),
    [
        ("Hello {name}", "مرحبا"),
        ("Hello {name}", "مرحبا {nom}"),
        ("Hello", ""),
        ("<b>Hello</b>", "<b>مرحبا"),
        ("Ask /support", "اسأل /support"),
        (("{count} hour", "{count} hours"), ("لا", "ساعة", "ساعتان", "ساعات", "{count} ساعة", "{count} ساعة")),
        (("{n}: {count} a", "{n}: {count} b"), ("{n}", "", "{n}", "{n} {count}", "{n} {count}", "{n} {count}")),
    ],
)
def test_a_broken_translation_is_noticed(source: Texts, translated: Texts) -> None:
    assert list(wrong(source, translated, right_to_left=True))


def test_screens_say_nothing_outside_the_catalogue() -> None:
    found = {path: list(spoken_outside(source)) for path, source in modules("bot/views", "bot/features").items()}
    assert not {path: texts for path, texts in found.items() if texts}
    assert list(spoken_outside('View("Hello")'))


def test_no_text_hides_within_another() -> None:
    found = {path: list(inside_another(source)) for path, source in modules("bot").items()}
    assert not {path: texts for path, texts in found.items() if texts}
    assert list(inside_another("""f"{_('Hello')} {name}" """))


def test_arabic_has_six_forms() -> None:
    with i18n.speaking("ar-EG"):
        said = [i18n.ngettext("{count} hour", "{count} hours", count) for count in (0, 1, 2, 3, 11, 100)]
    assert len(set(said)) == len({0, 1, 2, 3, 11})  # a hundred hours are said as eleven are
    assert said[3] != said[4]


def test_lines_run_as_the_language_does() -> None:
    with i18n.speaking("ar"):
        view = View("web-1\n\nآلة")
        again = view.with_toast("x")
    assert view.text == again.text == "\u200fweb-1\n\n\u200fآلة"
    with i18n.speaking("en"):
        assert View("web-1").text == "web-1"


@pytest.mark.parametrize(("tag", "language"), [("ar-EG", "ar"), ("AR", "ar"), ("de", "en"), (None, "en"), ("", "en")])
def test_the_nearest_language_is_spoken(tag: str | None, language: str) -> None:
    assert i18n.nearest(tag) == language


def test_every_catalogue_belongs_to_a_language() -> None:
    assert sorted(path.name for path in Path(i18n.FOLDER).iterdir()) == OTHERS
