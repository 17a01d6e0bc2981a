"""What single settings may be: each function reads one text and says what it expected instead.

Errors are `ValueError`s whose text completes "NAME: expected …". The value is never part of it: it may be a secret.
"""

import re
from decimal import Decimal, InvalidOperation
from enum import StrEnum
from ipaddress import IPv4Interface, ip_address
from typing import NamedTuple
from urllib.parse import SplitResult, urlsplit

from sqlalchemy import make_url
from sqlalchemy.exc import ArgumentError

from billing.errors import InvalidAmount
from billing.money import Currency
from bot.mail import Mailer, MailSettingError, Server
from cloud.ssh_keys import BadKey, parse_public_key

A_BOT_TOKEN = "the token that @BotFather gave: digits, a colon, letters"  # noqa: S105 says how one looks
A_STRIPE_KEY = "a secret or restricted key of Stripe, sk_… or rk_…"
A_PROXMOX_TOKEN = "the id of an API token, user@realm!name"  # noqa: S105 says how one looks
A_SENDER = "an address such as Shop <shop@example.com>"

_HIGHEST_PORT = 65_535
_WHOLE_PERCENT = 100
_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
_DRIVERS = {
    "sqlite": "sqlite+aiosqlite",
    "sqlite+aiosqlite": "sqlite+aiosqlite",
    "postgres": "postgresql+asyncpg",
    "postgresql": "postgresql+asyncpg",
    "postgresql+asyncpg": "postgresql+asyncpg",
}


class Compute(StrEnum):
    """Where machines are made."""

    QEMU = "qemu"
    """This machine."""
    PROXMOX = "proxmox"
    """A Proxmox VE cluster."""
    HETZNER = "hetzner"
    """Hetzner Cloud."""
    LIBCLOUD = "libcloud"
    """One of the clouds that Apache Libcloud speaks with."""
    SIMULATED = "simulated"
    """Nowhere: for trying things out."""


class LibcloudProvider(StrEnum):
    """The clouds that are reached by Apache Libcloud."""

    EC2 = "ec2"
    OPENSTACK = "openstack"
    DIGITALOCEAN = "digitalocean"
    VULTR = "vultr"
    LINODE = "linode"


class LogLevel(StrEnum):
    """From which weight on lines are written."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"


class LogFormat(StrEnum):
    """How log lines look."""

    TEXT = "text"
    JSON = "json"


class Address(NamedTuple):
    """Where to listen."""

    host: str
    port: int


def bot_token(text: str) -> str:
    """Return Telegram's token of a bot."""
    return _matching(r"\d+:[\w-]+", text, A_BOT_TOKEN)


def webhook_secret(text: str) -> str:
    """Return a secret as Telegram takes one in `secret_token`."""
    return _matching(r"[A-Za-z0-9_-]{1,256}", text, "1 to 256 letters, digits, _ and -")


def stripe_key(text: str) -> str:
    """Return a Stripe key of the secret or restricted kind."""
    return _matching(r"[sr]k_\w+", text, A_STRIPE_KEY)


def stripe_webhook_secret(text: str) -> str:
    """Return the signing secret of a Stripe webhook."""
    return _matching(r"whsec_\S+", text, "the signing secret of the webhook, whsec_…")


def currency_code(text: str) -> str:
    """Return an ISO 4217 code in lower case."""
    try:
        return Currency.of(text).code
    except ValueError:
        raise ValueError("three letters of ISO 4217 such as usd") from None


def amount(currency: Currency, text: str) -> int:
    """Return the minor units of an amount of money."""
    try:
        return currency.parse(text)
    except InvalidAmount as error:
        example = currency.plain(200 * 10**currency.exponent)
        raise ValueError(f"an amount in {currency.code} such as {example}, but it {error.reason}") from None


def telegram_ids(text: str) -> frozenset[int]:
    """Return the ids in a comma-separated list."""
    words = [word.strip() for word in text.split(",")]
    if not all(re.fullmatch(r"[1-9]\d{0,18}", word, re.ASCII) for word in words if word):
        raise ValueError("Telegram user ids, separated by commas, such as 1234567, 89101112")
    return frozenset(int(word) for word in words if word)


def listen_address(text: str) -> Address:
    """Return host and port of `127.0.0.1:8080` or `[::1]:8080`; port 0 takes a free one."""
    host, _, port = text.strip().rpartition(":")
    bracketed = host.startswith("[") and host.endswith("]")
    if (not host or (":" in host) != bracketed) or not re.fullmatch(r"\d{1,5}", port, re.ASCII):
        raise ValueError("host:port such as 127.0.0.1:8080")
    if int(port) > _HIGHEST_PORT:
        raise ValueError(f"a port up to {_HIGHEST_PORT}")
    return Address(host.strip("[]"), int(port))


def api_url(text: str) -> str:
    """Return the address of an HTTP service, without a slash at its end."""
    return _http(text, "the address of a service, https://…").geturl().rstrip("/")


def public_url(text: str) -> str:
    """Return an address under which others reach us: https, but for this machine itself."""
    expected = "an address that Telegram and Stripe can reach, https://…"
    parts = _http(text, expected)
    if (parts.scheme != "https" and parts.hostname not in _LOOPBACK) or parts.query or parts.fragment:
        raise ValueError(expected)
    return parts.geturl().rstrip("/")


def ip_addresses(text: str) -> tuple[str, ...]:
    """Return the addresses in a comma-separated list."""
    try:
        return tuple(str(ip_address(word.strip())) for word in text.split(",") if word.strip())
    except ValueError:
        raise ValueError("IP addresses of this machine, separated by commas") from None


def device_name(text: str) -> str:
    """Return the name of a network device of this host, or nothing."""
    return _matching(r"[\w.-]{0,15}", text, "the name of a bridge of this machine, such as br0")


def gateway(text: str) -> IPv4Interface | None:
    """Return a router's address with the length of its network's prefix, or nothing."""
    try:
        return IPv4Interface(text) if text else None
    except ValueError:
        raise ValueError("a router's IPv4 address and the length of the prefix, such as 203.0.113.1/24") from None


def words(value: object) -> object:
    """Return the words in a comma-separated list; what was read before as it is."""
    if not isinstance(value, str):
        return value
    return tuple(word.strip() for word in value.split(",") if word.strip())


def proxmox_token(text: str) -> str:
    """Return the id of an API token of Proxmox."""
    return _matching(r"[^!@\s]+@[^!@\s]+![\w.-]+", text, A_PROXMOX_TOKEN)


def sha256(text: str) -> str:
    """Return a SHA-256 checksum in hexadecimal digits, or nothing."""
    return _matching(r"([0-9a-fA-F]{64})?", text, "a SHA-256 checksum of 64 hexadecimal digits").lower()


def k3s_version(text: str) -> str:
    """Return a version of k3s."""
    return _matching(r"v\d+\.\d+\.\d+[+-]k3s\d+", text, "a version of k3s such as v1.33.4+k3s1")


def database_url(text: str) -> str:
    """Return an SQLAlchemy URL with the driver that the product uses."""
    expected = "sqlite:///FILE or postgresql://USER:PASSWORD@HOST/DATABASE"
    try:
        url = make_url(_one_host(text))
    except (ArgumentError, ValueError):
        raise ValueError(expected) from None
    if url.drivername not in _DRIVERS:
        raise ValueError(expected)
    url = url.set(drivername=_DRIVERS[url.drivername])
    if url.get_backend_name() == "sqlite":
        if url.database in {None, "", ":memory:"}:
            raise ValueError(
                "sqlite:///FILE: readers and writer have connections of their own, which memory cannot share"
            )
    elif "sslmode" in url.query:
        # What libpq calls it, as hosts of databases hand it out; asyncpg calls it ssl.
        url = url.difference_update_query(["sslmode"]).update_query_dict({"ssl": url.query["sslmode"]})
    return url.render_as_string(hide_password=False)


def _one_host(text: str) -> str:
    """Return an address that names several hosts, as libpq writes it, as SQLAlchemy does: in its query."""
    found = re.fullmatch(r"(\w+(?:\+\w+)?://(?:[^/?@]*@)?)([^/?@]*,[^/?@]*)(/[^?]*)(?:\?(.*))?", text)
    if found is None:
        return text
    start, hosts, database, query = found.groups()
    named = [f"host={host if ':' in host else f'{host}:5432'}" for host in hosts.split(",")]
    return f"{start}{database}?{'&'.join([*named, *([query] if query else [])])}"


def sentry_dsn(text: str) -> str:
    """Read where errors are reported to."""
    return _matching(r"https?://\w+@[^/@\s]+/(?:\S+/)?\d+", text, "the DSN that Sentry shows, https://KEY@HOST/NUMBER")


def smtp_url(text: str) -> str:
    """Return the address of a mail server."""
    try:
        Server.parse(text)
    except MailSettingError as error:
        raise ValueError(str(error).removeprefix("SMTP_URL: ").removeprefix("expected ")) from None
    return text


def sender(text: str) -> str:
    """Return the address that mail comes from."""
    try:
        Mailer(Server.parse("smtp://localhost"), text)
    except MailSettingError:
        raise ValueError(A_SENDER) from None
    return text


def ssh_key(text: str) -> str:
    """Return a public SSH key on one clean line."""
    try:
        return parse_public_key(text).line
    except BadKey as error:
        raise ValueError(f"a public SSH key on one line. {error}") from None


def basis_points(text: str) -> int:
    """Return hundredths of a percent: `19` is 1900, `7.7` is 770."""
    expected = "a percentage from 0 to 100 with at most two decimals, such as 19 or 7.7"
    try:
        percent = Decimal(text.strip())
    except InvalidOperation:
        raise ValueError(expected) from None
    if not (percent.is_finite() and 0 <= percent <= _WHOLE_PERCENT and percent * 100 == int(percent * 100)):
        raise ValueError(expected)
    return int(percent * 100)


def _matching(pattern: str, text: str, expected: str) -> str:
    if not re.fullmatch(pattern, text, re.ASCII):
        raise ValueError(expected)
    return text


def _http(text: str, expected: str) -> SplitResult:
    try:
        parts = urlsplit(text.strip())
        port_fits = parts.port is None or parts.port > 0
    except ValueError:
        raise ValueError(expected) from None
    if parts.scheme not in {"http", "https"} or not parts.hostname or not port_fits:
        raise ValueError(expected)
    return parts
