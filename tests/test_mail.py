"""Mail against a real SMTP server: what arrives, and what each refusal means."""

import asyncio
import ipaddress
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from bot.mail import Attachment, Fate, Mail, Mailer, MailSettingError, Outcome, Server

PASSWORD = "p@ss/w:rd"
MAIL = Mail(
    key="notice-17",
    to="ann@example.com",
    subject="Invoice INV-2026-000001",
    text="You owe $5.00.\n",
    html="<p>You owe $5.00.</p>",
    at=datetime(2026, 2, 1, 9, tzinfo=UTC),
    attachments=(Attachment("INV-2026-000001.pdf", b"%PDF-1.7\n"),),
)


@dataclass
class Post:
    """A server's handler: keeps what it takes, and answers as told."""

    sender_answer: str = ""
    recipient_answer: str = ""
    data_answer: str = "250 OK"
    envelopes: list[Envelope] = field(default_factory=list)
    secure: list[bool] = field(default_factory=list)

    # The names and arguments are aiosmtpd's.
    async def handle_MAIL(  # noqa: N802
        self, server: SMTP, _session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        assert server.transport
        self.secure.append(server.transport.get_extra_info("ssl_object") is not None)
        envelope.mail_from = address
        envelope.mail_options.extend(options)
        return self.sender_answer or "250 OK"

    async def handle_RCPT(  # noqa: N802
        self, _server: SMTP, _session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        envelope.rcpt_tos.append(address)
        envelope.rcpt_options.extend(options)
        return self.recipient_answer or "250 OK"

    async def handle_DATA(self, server: SMTP, _session: Session, envelope: Envelope) -> str:  # noqa: N802
        if self.data_answer == "hang up":
            assert server.transport
            server.transport.close()
        self.envelopes.append(envelope)
        return self.data_answer

    def only(self) -> EmailMessage:
        assert len(self.envelopes) == 1
        assert isinstance(self.envelopes[0].content, bytes)
        return message_from_bytes(self.envelopes[0].content, policy=default)


@asynccontextmanager
async def serving(post: Post, *, implicit_tls: ssl.SSLContext | None = None, **options: Any) -> AsyncIterator[int]:
    loop = asyncio.get_running_loop()
    open_: list[SMTP] = []

    def protocol() -> SMTP:
        open_.append(SMTP(post, hostname="post.test", loop=loop, **options))
        return open_[-1]

    server = await loop.create_server(protocol, "127.0.0.1", 0, ssl=implicit_tls)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for each in open_:
            if each.transport:
                each.transport.close()
        await server.wait_closed()
        await asyncio.sleep(0)


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Key and self-signed certificate of `127.0.0.1`, in one file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "post.test")])
    made = datetime.now(UTC)
    builder = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
    alternative = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    signed = (
        builder.not_valid_before(made)
        .not_valid_after(made + timedelta(days=1))
        .add_extension(alternative, critical=False)
    ).sign(key, hashes.SHA256())
    file = tmp_path_factory.mktemp("tls") / "both.pem"
    form = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    file.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, *form) + signed.public_bytes(serialization.Encoding.PEM)
    )
    return file


def server_tls(certificate: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    return context


def mailer(url: str, **options: Any) -> Mailer:
    return Mailer(Server.parse(url), "Shop <billing@shop.example>", **options)


async def sent(post: Post, mail: Mail = MAIL, **options: Any) -> Outcome:
    async with serving(post, **options) as port:
        return await mailer(f"smtp://127.0.0.1:{port}").send(mail)


async def test_a_mail_arrives_whole() -> None:
    post = Post()
    assert await sent(post) == Outcome(Fate.ACCEPTED)
    message = post.only()
    assert post.envelopes[0].mail_from == "billing@shop.example"
    assert post.envelopes[0].rcpt_tos == ["ann@example.com"]
    assert message["From"] == "Shop <billing@shop.example>"
    assert message["To"] == "ann@example.com"
    assert message["Subject"] == "Invoice INV-2026-000001"
    assert message["Date"] == "Sun, 01 Feb 2026 09:00:00 +0000"
    assert message["Message-ID"] == "<notice-17@shop.example>"
    assert message["Auto-Submitted"] == "auto-generated"
    plain, page = message.get_body(("plain",)), message.get_body(("html",))
    assert plain
    assert page
    assert plain.get_content() == "You owe $5.00.\r\n"
    assert page.get_content().strip() == "<p>You owe $5.00.</p>"
    (file,) = message.iter_attachments()
    assert file.get_filename() == "INV-2026-000001.pdf"
    assert file.get_content_type() == "application/pdf"
    assert file.get_content() == b"%PDF-1.7\n"


async def test_words_of_any_script_arrive() -> None:
    post = Post()
    words = "Máquina бот 服务器 🚀 بريد"
    assert (await sent(post, replace(MAIL, subject=words, text=words, html="", attachments=()))).fate == Fate.ACCEPTED
    assert post.only()["Subject"] == words
    assert post.only().get_content().strip() == words


async def test_half_a_character_stops_nothing() -> None:
    assert (await sent(Post(), replace(MAIL, subject="a\ud800", text="a\ud800", html="\ud800"))).fate == Fate.ACCEPTED


@pytest.mark.parametrize("evil", ["a\r\nBcc: eve@example.com", "a\nBcc: eve@example.com", "a\u2028Bcc: x", "a\0b\x0bc"])
async def test_no_text_starts_a_header(evil: str) -> None:
    post = Post()
    file = Attachment(evil, b"x")
    assert (await sent(post, replace(MAIL, subject=evil, attachments=(file,)))).fate == Fate.ACCEPTED
    message = post.only()
    assert post.envelopes[0].rcpt_tos == ["ann@example.com"]
    assert message["Bcc"] is None
    assert message["Subject"].startswith("a ")
    assert all(part["Bcc"] is None for part in message.walk())


@pytest.mark.parametrize(
    "address",
    [
        "",
        "ann",
        "ann@",
        "@example.com",
        "ann@example.com, eve@example.com",
        "ann@example.com\r\nBcc: eve@example.com",
        "Ann <ann@example.com>",
        "ann@exa mple.com",
        "ann@@example.com",
        '"a b"@example.com',
        "ann@exa..mple.com",
        "ann@[127.0.0.1]",
        "a\ud800@example.com",
    ],
)
async def test_what_is_no_address_is_refused_before_any_connection(address: str) -> None:
    outcome = await mailer("smtp://127.0.0.1:1").send(replace(MAIL, to=address))
    assert outcome == Outcome(Fate.NEVER, "not an e-mail address")


async def test_a_domain_of_any_script_is_reached() -> None:
    post = Post()
    assert (await sent(post, replace(MAIL, to="ann@müller.example"))).fate == Fate.ACCEPTED
    assert post.envelopes[0].rcpt_tos == ["ann@xn--mller-kva.example"]


async def test_a_name_of_any_script_needs_a_server_that_carries_it() -> None:
    mail = replace(MAIL, to="анна@example.com")
    post = Post()
    assert (await sent(post, mail, enable_SMTPUTF8=True)).fate == Fate.ACCEPTED
    assert post.envelopes[0].rcpt_tos == ["анна@example.com"]
    assert (await sent(Post(), mail, enable_SMTPUTF8=False)).fate == Fate.NEVER


@pytest.mark.parametrize("key", ["", "a b", "a\r\nb", "a>b", "ключ"])
async def test_a_key_that_cannot_name_a_mail_is_our_mistake(key: str) -> None:
    with pytest.raises(ValueError, match="cannot name a mail"):
        await mailer("smtp://127.0.0.1:1").send(replace(MAIL, key=key))


@pytest.mark.parametrize(
    ("post", "fate", "reason"),
    [
        (Post(recipient_answer="550 No such user"), Fate.NEVER, "550 No such user"),
        (Post(recipient_answer="450 Greylisted"), Fate.LATER, "450 Greylisted"),
        (Post(data_answer="554 Looks like spam"), Fate.NEVER, "554 Looks like spam"),
        (Post(data_answer="451 Disk full"), Fate.LATER, "451 Disk full"),
        (Post(sender_answer="553 Not your address"), Fate.LATER, "553 Not your address"),
        (Post(sender_answer="552 Too large"), Fate.NEVER, "552 Too large"),
        (Post(data_answer="hang up"), Fate.LATER, ""),
    ],
)
async def test_each_answer_has_its_meaning(post: Post, fate: Fate, reason: str) -> None:
    outcome = await sent(post)
    assert outcome.fate == fate
    assert reason in outcome.reason
    assert outcome.reason


async def test_a_mail_over_the_limit_never_passes() -> None:
    assert (await sent(Post(), data_size_limit=100)).fate == Fate.NEVER


async def test_nobody_listening_is_for_later() -> None:
    server = await asyncio.get_running_loop().create_server(asyncio.Protocol, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    server.close()
    await server.wait_closed()
    outcome = await mailer(f"smtp://127.0.0.1:{port}").send(MAIL)
    assert outcome.fate == Fate.LATER
    assert str(port) in outcome.reason
    assert await mailer(f"smtp://127.0.0.1:{port}").check()


async def test_a_server_that_says_nothing_is_for_later(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bot.mail.TIMEOUT_SECONDS", 0.1)
    server = await asyncio.get_running_loop().create_server(asyncio.Protocol, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    assert (await mailer(f"smtp://127.0.0.1:{port}").send(MAIL)).fate == Fate.LATER
    server.close()


def login(_server: SMTP, _session: Session, _envelope: Envelope, _mechanism: str, data: Any) -> AuthResult:
    right = data == LoginPassword(b"shop", PASSWORD.encode())
    return AuthResult(success=right, handled=False, message=None if right else f"535 5.7.8 {PASSWORD} is wrong")


def with_login(certificate: Path) -> dict[str, Any]:
    return {"tls_context": server_tls(certificate), "auth_required": True, "authenticator": login}


async def test_starttls_and_login(certificate: Path) -> None:
    post = Post()
    tls = ssl.create_default_context(cafile=certificate)
    async with serving(post, **with_login(certificate)) as port:
        there = mailer(f"smtp://shop:p%40ss%2Fw%3Ard@127.0.0.1:{port}?starttls=always", tls=tls)
        assert await there.check() == ""
        assert await there.send(MAIL) == Outcome(Fate.ACCEPTED)
    assert post.secure == [True]


async def test_tls_from_the_first_byte(certificate: Path) -> None:
    post = Post()
    tls = ssl.create_default_context(cafile=certificate)
    async with serving(post, implicit_tls=server_tls(certificate)) as port:
        assert await mailer(f"smtps://127.0.0.1:{port}", tls=tls).send(MAIL) == Outcome(Fate.ACCEPTED)
    assert post.secure == [True]


async def test_a_certificate_nobody_vouches_for_is_not_trusted(certificate: Path) -> None:
    post = Post()
    async with serving(post, **with_login(certificate)) as port:
        outcome = await mailer(f"smtp://shop:x@127.0.0.1:{port}?starttls=always").send(MAIL)
    assert outcome.fate == Fate.LATER
    assert "certificate" in outcome.reason
    assert not post.envelopes


async def test_a_server_without_tls_gets_no_password_where_tls_is_asked_for() -> None:
    post = Post()
    async with serving(post) as port:
        outcome = await mailer(f"smtp://shop:{'x' * 9}@127.0.0.1:{port}?starttls=always").send(MAIL)
    assert outcome.fate == Fate.LATER
    assert not post.envelopes


async def test_a_wrong_login_is_ours_to_mend_and_never_shows_the_password(certificate: Path) -> None:
    """Even a server that repeats it in its answer."""
    tls = ssl.create_default_context(cafile=certificate)

    def refuse(*_: object) -> AuthResult:
        return AuthResult(success=False, handled=False, message=f"535 5.7.8 {PASSWORD} is wrong")

    async with serving(Post(), tls_context=server_tls(certificate), auth_required=True, authenticator=refuse) as port:
        there = mailer(f"smtp://shop:p%40ss%2Fw%3Ard@127.0.0.1:{port}", tls=tls)
        outcome = await there.send(MAIL)
        trouble = await there.check()
    assert outcome.fate == Fate.LATER
    assert "535" in outcome.reason
    assert PASSWORD not in outcome.reason + trouble


@pytest.mark.parametrize(
    ("url", "host", "port", "tls", "starttls"),
    [
        ("smtp://mail.example", "mail.example", 25, False, "auto"),
        ("smtp://a:b@mail.example", "mail.example", 587, False, "always"),
        ("smtp://a:b@127.0.0.1:2525", "127.0.0.1", 2525, False, "auto"),
        ("smtp://a:b@localhost", "localhost", 587, False, "auto"),
        ("smtps://a:b@mail.example/", "mail.example", 465, True, "always"),
        ("smtp://a:b@mail.example?starttls=never", "mail.example", 587, False, "never"),
        ("smtp://[::1]:25", "::1", 25, False, "auto"),
    ],
)
def test_the_url_says_all(url: str, host: str, port: int, tls: bool, starttls: str) -> None:
    server = Server.parse(url)
    assert (server.host, server.port, server.tls, server.starttls) == (host, port, tls, starttls)


@pytest.mark.parametrize(
    "url",
    ["", "mail.example", "http://a:secret@x", "smtp://a:secret@x:port", "smtp://a:secret@", "smtp://a:secret@x?a=b",
     "smtp://a:secret@x?starttls=maybe", "smtp://a:secret@x/path", "smtp://a:secret@[::1"],
)  # fmt: skip
def test_a_bad_url_is_named_without_its_password(url: str) -> None:
    with pytest.raises(MailSettingError, match="SMTP_URL") as caught:
        Server.parse(url)
    assert "secret" not in str(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__ or caught.value.__context__ is None


@pytest.mark.parametrize("sender", ["", "Shop", "Shop <shop>", "a@b, c@d", "a@b\r\nBcc: c@d"])
def test_a_bad_sender_is_named(sender: str) -> None:
    with pytest.raises(MailSettingError, match="MAIL_FROM"):
        Mailer(Server.parse("smtp://x"), sender)


@pytest.mark.parametrize(
    ("sender", "shown"),
    [
        ("billing@shop.example", "billing@shop.example"),
        ('"Shop, Inc." <billing@shop.example>', '"Shop, Inc." <billing@shop.example>'),
        ("Магазин <billing@shop.example>", "Магазин <billing@shop.example>"),
    ],
)
async def test_a_sender_may_have_any_name(sender: str, shown: str) -> None:
    post = Post()
    async with serving(post) as port:
        await Mailer(Server.parse(f"smtp://127.0.0.1:{port}"), sender).send(MAIL)
    assert post.only()["From"] == shown


def test_a_server_shows_no_password() -> None:
    assert "secret" not in repr(Server.parse("smtp://a:secret@mail.example"))


async def test_many_at_once() -> None:
    post = Post()
    async with serving(post) as port:
        there = mailer(f"smtp://127.0.0.1:{port}")
        sends: list[Callable[[], Any]] = [partial(there.send, replace(MAIL, key=f"n-{n}")) for n in range(20)]
        outcomes = await asyncio.gather(*(send() for send in sends))
    assert {outcome.fate for outcome in outcomes} == {Fate.ACCEPTED}
    assert len(post.envelopes) == 20
