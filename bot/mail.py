"""Mail over SMTP: one message in, what became of it out.

What a message is called (`Message-ID`) comes from its notice, so that a mail sent again after a crash is the same
mail to those who sort it.
"""

import re
import ssl
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP as SMTP_POLICY
from email.utils import format_datetime
from enum import StrEnum
from ipaddress import ip_address
from typing import Literal, Self
from urllib.parse import parse_qs, unquote, urlsplit

import aiosmtplib

TIMEOUT_SECONDS = 30
QUIT_SECONDS = 5
REASON_LENGTH = 200
TOO_LARGE = 552
"""Answer to a message over the server's limit; comes when the sender is named."""


ADDRESS_LETTER = r'[^\s@<>()\[\]\\,;:"\x00-\x1f\x7f]'
START_TLS = {"always": True, "auto": None, "never": False}
"""Our words for it -> the library's."""


class MailSettingError(ValueError):
    """`SMTP_URL` or `MAIL_FROM` is not what it should be; the text names it and holds no secret."""


class Fate(StrEnum):
    """What became of a mail."""

    ACCEPTED = "accepted"
    """The server took it: proof of notice (rule 9.3)."""
    LATER = "later"
    """Not now: network, a 4xx answer, or something in our own settings. The same call may pass later."""
    NEVER = "never"
    """Refused for good: this address, or this message."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """The fate of a mail, and why, as a line for the operator."""

    fate: Fate
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Attachment:
    """A file in a mail."""

    name: str
    content: bytes
    media_type: str = "application/pdf"


@dataclass(frozen=True, slots=True, kw_only=True)
class Mail:
    """One message to one person.

    Attributes:
        key: names the mail for ever: letters, digits, `.`, `_`, `-`; made from the notice's id.
        to: the address, nothing else.
        subject: one line.
        text: the words, plain.
        html: the same words as a page; empty for none.
        attachments: files.
        at: when it was written.
    """

    key: str
    to: str
    subject: str
    text: str
    at: datetime
    html: str = ""
    attachments: tuple[Attachment, ...] = ()


@dataclass(frozen=True, slots=True)
class Server:
    """Where mail is handed in, read from `SMTP_URL`.

    Attributes:
        starttls: `always` refuses a server without it, `auto` uses it where offered, `never` does not ask.
    """

    host: str
    port: int
    tls: bool
    starttls: Literal["always", "auto", "never"]
    user: str | None = None
    password: str | None = field(default=None, repr=False)

    @classmethod
    def parse(cls, url: str) -> Self:
        """Read `smtp://user:password@host:587?starttls=always` or `smtps://host`.

        A password goes to another machine only under TLS, unless `starttls` says otherwise.

        Raises:
            MailSettingError: it has another form.
        """
        wanted = "SMTP_URL: expected smtp://user:password@host:port or smtps://…"
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError:
            raise MailSettingError(wanted) from None  # the cause would show the password
        options = parse_qs(parts.query, keep_blank_values=True)
        if parts.scheme not in {"smtp", "smtps"} or not parts.hostname or parts.path.strip("/"):
            raise MailSettingError(wanted)
        if options.keys() - {"starttls"}:
            raise MailSettingError("SMTP_URL: the only option is starttls=always, auto or never")
        secret = parts.password is not None
        default = "always" if secret and not _is_this_machine(parts.hostname) else "auto"
        tls = parts.scheme == "smtps"
        return cls(
            host=parts.hostname,
            port=port or (465 if tls else 587 if secret else 25),
            tls=tls,
            starttls=_starttls(options.get("starttls", [default])[-1]),
            user=unquote(parts.username) if parts.username else None,
            password=unquote(parts.password) if parts.password is not None else None,
        )


def _starttls(word: str) -> Literal["always", "auto", "never"]:
    match word:
        case "always" | "auto" | "never":
            return word
        case _:
            raise MailSettingError("SMTP_URL: starttls is always, auto or never")


def _is_this_machine(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


class Mailer:
    """Hands mail to one server, one connection for each message. Safe to use from many tasks."""

    def __init__(self, server: Server, sender: str, *, tls: ssl.SSLContext | None = None) -> None:
        """Take the server and `MAIL_FROM`; `tls` replaces the system's trusted certificates.

        Raises:
            MailSettingError: `sender` is not an address, with or without a name.
        """
        try:
            self._sender = _sender(sender)
        except ValueError:
            raise MailSettingError("MAIL_FROM: expected an address such as Shop <shop@example.com>") from None
        self._server = server
        self._tls = tls

    async def send(self, mail: Mail) -> Outcome:
        """Hand in a mail. Nothing that a network, a server or a customer does raises.

        Raises:
            ValueError: the mail's key is not one; a mistake of ours.
        """
        try:
            to = _address(mail.to)
        except ValueError:
            return Outcome(Fate.NEVER, "not an e-mail address")
        message = self._compose(mail, to)
        smtp = self._client()
        try:
            await smtp.connect()
        except (aiosmtplib.SMTPException, OSError) as error:
            return Outcome(Fate.LATER, self._reason(error))
        try:
            await smtp.send_message(message)
        except (aiosmtplib.SMTPException, OSError) as error:
            return Outcome(_fate(error), self._reason(error))
        finally:
            await _leave(smtp)
        return Outcome(Fate.ACCEPTED)

    async def check(self) -> str:
        """Connect and log in, send nothing; empty if that works, else why not."""
        smtp = self._client()
        try:
            await smtp.connect()
            await smtp.noop()
        except (aiosmtplib.SMTPException, OSError) as error:
            return self._reason(error)
        finally:
            await _leave(smtp)
        return ""

    def _client(self) -> aiosmtplib.SMTP:
        server = self._server
        return aiosmtplib.SMTP(
            hostname=server.host,
            port=server.port,
            username=server.user,
            password=server.password,
            local_hostname=self._sender.domain,  # else DNS is asked for this machine's own name
            timeout=TIMEOUT_SECONDS,
            use_tls=server.tls,
            start_tls=False if server.tls else START_TLS[server.starttls],
            tls_context=self._tls,
        )

    def _compose(self, mail: Mail, to: Address) -> EmailMessage:
        if not re.fullmatch(r"[\w.-]{1,100}", mail.key, re.ASCII):
            raise ValueError(f"{mail.key!r} cannot name a mail")
        message = EmailMessage(policy=SMTP_POLICY)
        message["From"] = self._sender
        message["To"] = to
        message["Subject"] = _line(mail.subject)
        message["Date"] = format_datetime(mail.at)
        message["Message-ID"] = f"<{mail.key}@{self._sender.domain}>"
        message["Auto-Submitted"] = "auto-generated"  # keeps holiday notes from answering
        message.set_content(_whole(mail.text))
        if mail.html:
            message.add_alternative(_whole(mail.html), subtype="html")
        for file in mail.attachments:
            kind, _, subtype = file.media_type.partition("/")
            message.add_attachment(file.content, maintype=kind, subtype=subtype, filename=_line(file.name))
        return message

    def _reason(self, error: Exception) -> str:
        """The error as one short line without our password."""
        if isinstance(error, aiosmtplib.SMTPRecipientsRefused):
            error = error.recipients[0]
        words = f"{error.code} {error.message}" if isinstance(error, aiosmtplib.SMTPResponseException) else str(error)
        if self._server.password:
            words = words.replace(self._server.password, "…")
        return _line(words)[:REASON_LENGTH] or type(error).__name__


def _fate(error: Exception) -> Fate:
    """What an error after log-in means for the mail."""
    match error:
        case aiosmtplib.SMTPRecipientsRefused():
            return _fate(error.recipients[0])
        case aiosmtplib.SMTPSenderRefused(code=code):
            # Whom the server lets send is ours to set right, and no fault of the customer's address.
            return Fate.NEVER if code == TOO_LARGE else Fate.LATER
        case aiosmtplib.SMTPRecipientRefused(code=code) | aiosmtplib.SMTPDataError(code=code):
            return Fate.NEVER if code >= 500 else Fate.LATER  # noqa: PLR2004 - the digit that means "permanent" in SMTP
        case aiosmtplib.SMTPNotSupported():
            return Fate.NEVER  # an address in letters that this server cannot carry
        case _:
            return Fate.LATER


async def _leave(smtp: aiosmtplib.SMTP) -> None:
    """Say goodbye, as the protocol asks, to a server that may be gone; what it took is decided already."""
    with suppress(aiosmtplib.SMTPException, OSError):
        if smtp.is_connected:
            await smtp.quit(timeout=QUIT_SECONDS)
    smtp.close()


def _line(text: str) -> str:
    """A text as one line of printable characters: nothing in it can start another header."""
    return " ".join("".join(letter if letter.isprintable() else " " for letter in text).split())


def _whole(text: str) -> str:
    """A text without halves of characters, which no encoding can carry."""
    return text.encode("utf-8", "replace").decode()


def _address(text: str) -> Address:
    """One address, its domain in the letters that every server takes.

    Raises:
        ValueError: it is not exactly one address.
    """
    # Stricter than the standard: no quotes, comments or lists, which no customer has and some servers misread.
    match = re.fullmatch(rf"({ADDRESS_LETTER}{{1,64}})@({ADDRESS_LETTER}{{1,250}})", text)
    if not match or text != _whole(text):
        raise ValueError("not an e-mail address")
    return Address(username=match[1], domain=match[2].encode("idna").decode())


def _sender(text: str) -> Address:
    """An address with or without a name: `Shop <shop@example.com>`.

    Raises:
        ValueError: it has another form.
    """
    match = re.fullmatch(r'"?(?P<name>[^"<>]*?)"? ?<(?P<address>[^<>]+)>|(?P<bare>.+)', text.strip())
    if not match or not text.isprintable():
        raise ValueError("not a sender")
    return Address(match["name"] or "", addr_spec=_address(match["address"] or match["bare"]).addr_spec)
