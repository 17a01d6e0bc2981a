"""The log holds no secret, wherever it came from, in either form."""

import io
import json
import logging
import warnings
from collections.abc import Iterator

import httpx
import pytest

from bot import logs
from bot.logs import HIDDEN, Redactor
from bot.setting_types import LogFormat

TOKEN = "1234567890:" + "AAabcdefghijklmnopqrstuvwxyz-_01234"
CODE = "7KQ2-M9XT-4HVD-W3PB"


@pytest.fixture(autouse=True)
def give_the_log_back() -> Iterator[None]:
    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    yield
    logging.captureWarnings(capture=False)
    root.handlers[:] = before
    root.setLevel(level)


def fail(error: Exception) -> None:
    raise error


def record(form: LogFormat, *secrets: str) -> io.StringIO:
    stream = io.StringIO()
    logs.configure(form, secrets, stream=stream)
    return stream


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (f"token {TOKEN}.", f"token {HIDDEN}."),
        (f"GET https://api.telegram.org/bot{TOKEN}/getMe", f"GET https://api.telegram.org/bot{HIDDEN}/getMe"),
        ("key='sk_" + "live_51Habc'", f"key='{HIDDEN}'"),
        ("rk_" + "test_51Habc, pk_" + "live_x", f"{HIDDEN}, {HIDDEN}"),
        ("(whsec_" + "abc+/=)", f"({HIDDEN})"),
        ("client_secret=pi_3abc_secret_def&x", f"client_secret={HIDDEN}&x"),
        (f"/voucher {CODE}", f"/voucher {HIDDEN}"),
        (f"/start v_{CODE}", f"/start v_{HIDDEN}"),
        (f"/voucher {CODE.lower()}", f"/voucher {HIDDEN}"),
        ("AB12C-DE34F-GH56J-KL78M", HIDDEN),
        ("smtp://me:p%40ss@mail.example.com:25", f"smtp://{HIDDEN}@mail.example.com:25"),
        ("postgresql+asyncpg://:pass@/shop", f"postgresql+asyncpg://{HIDDEN}@/shop"),
        (
            "-----BEGIN OPENSSH PRIVATE KEY-----\nabc\n-----END OPENSSH PRIVATE KEY-----\nafter",
            f"{HIDDEN}\nafter",
        ),
        ("-----BEGIN PRIVATE KEY-----\nabc, cut off", HIDDEN),
    ],
)
def test_what_looks_like_a_secret_is_hidden(text: str, shown: str) -> None:
    assert Redactor()(text) == shown


@pytest.mark.parametrize(
    "text",
    [
        "INV-2026-000123 of 2026-01-10T12:00:00Z was paid with Visa •4242",
        "123e4567-e89b-12d3-a456-426614174000",
        "GET https://api.stripe.com/v1/customers/cus_abc?limit=1 at 10:30:00",
        "a best-effort try-it-and-see thing, take-one-more-step",
        "192.168.100.200:8080 fe80:1234:5678:9abc",
        "https://example.com:8443/a@b listens",
    ],
)
def test_ordinary_words_are_left(text: str) -> None:
    assert Redactor()(text) == text


def test_configured_secrets_are_hidden_whatever_they_look_like() -> None:
    redact = Redactor(["plain word", "plain word and more", "abc"])
    assert redact("the plain word and more, abc") == f"the {HIDDEN}, abc"


@pytest.mark.parametrize("form", LogFormat)
def test_messages_arguments_and_tracebacks_are_cleaned(form: LogFormat) -> None:
    stream = record(form, 'odd "secret"\\')
    try:
        fail(RuntimeError(f"call of /bot{TOKEN}/getMe failed"))
    except RuntimeError:
        logging.getLogger("x").exception("with %s and %s", 'odd "secret"\\', CODE)
    written = stream.getvalue()
    assert TOKEN not in written
    assert CODE not in written
    assert "odd" not in written
    assert written.count(HIDDEN) == 3
    assert "RuntimeError" in written


def test_text_is_one_line_in_utc() -> None:
    stream = record(LogFormat.TEXT)
    logging.getLogger("bot.x").info("hello %s", "world")
    instant, rest = stream.getvalue().split(" ", 1)
    assert rest == "INFO bot.x: hello world\n"
    assert instant.endswith("Z")


def test_json_is_one_object_a_line() -> None:
    stream = record(LogFormat.JSON)
    try:
        fail(ValueError("two\nlines"))
    except ValueError:
        logging.getLogger("bot.x").exception("näh")
    (line,) = stream.getvalue().splitlines()
    fields = json.loads(line)
    assert (fields["level"], fields["logger"], fields["message"]) == ("ERROR", "bot.x", "näh")
    assert "two\nlines" in fields["error"]


def test_httpx_does_not_tell_of_every_request() -> None:
    """Its line for each request holds the URL, and Telegram's hold the token."""
    stream = record(LogFormat.TEXT)
    transport = httpx.MockTransport(lambda _: httpx.Response(200))
    with httpx.Client(transport=transport) as client:
        client.get(f"https://api.telegram.org/bot{TOKEN}/getMe")
    assert stream.getvalue() == ""
    logging.getLogger("httpx").warning("slow: /bot%s/getMe", TOKEN)
    assert TOKEN not in stream.getvalue()
    assert "slow" in stream.getvalue()


def test_warnings_go_to_the_log() -> None:
    stream = record(LogFormat.TEXT)
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.warn(f"about {TOKEN}", stacklevel=1)
    assert "py.warnings" in stream.getvalue()
    assert TOKEN not in stream.getvalue()


@pytest.mark.parametrize("number", ["4242424242424242", "4242 4242 4242 4242", "3782-822463-10005", "6011000990139424"])
def test_the_number_of_a_card_that_somebody_types_is_hidden(number: str) -> None:
    assert number not in Redactor()(f"text='my card is {number}, thanks'")


@pytest.mark.parametrize("text", ["710000007", "chat -1001234567890", "at 1768046400000 ms", "INV-2026-000123"])
def test_other_numbers_stay(text: str) -> None:
    assert Redactor()(text) == text
