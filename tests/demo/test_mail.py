"""The demo's mail box: mail of the product's own mailer, read in the browser."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest
from starlette.applications import Starlette
from starlette.routing import Mount

from bot.demo.mail import MailBox, serve_smtp
from bot.demo.mail_pages import mail_pages
from bot.mail import Attachment, Fate, Mail, Mailer, Outcome, Server

MAIL = Mail(
    key="notice-1",
    to="ann@example.com",
    subject="Invoice <INV-1> 🚀",
    text="Pay here: https://pay.example/x?a=1&b=2. Thank <you>.",
    html="<p>Pay <a href='https://pay.example'>here</a></p><script>alert(1)</script>",
    at=datetime(2026, 2, 1, 9, tzinfo=UTC),
    attachments=(
        Attachment("INV/1 ü.pdf", b"%PDF-1.7\n"),
        Attachment("page.html", b"<script>alert(1)</script>", "text/html"),
    ),
)


@pytest.fixture
def box(tmp_path: Path) -> MailBox:
    return MailBox(tmp_path / "mail")


@pytest.fixture
async def mailer(box: MailBox) -> AsyncIterator[Mailer]:
    async with serve_smtp(box) as port:
        yield Mailer(Server.parse(f"smtp://127.0.0.1:{port}"), "Shop <shop@example.com>")


@pytest.fixture
async def browser(box: MailBox) -> AsyncIterator[httpx.AsyncClient]:
    """The pages, mounted as the demo mounts them."""
    app = Starlette(routes=[Mount("/mail", mail_pages(box))])
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://demo/mail/") as client:
        yield client


async def test_mail_is_kept_as_it_came(box: MailBox, mailer: Mailer) -> None:
    assert await mailer.send(MAIL) == Outcome(Fate.ACCEPTED)
    (mail,) = box.messages()
    assert mail.number == 1
    assert mail.sender == "Shop <shop@example.com>"
    assert mail.to == "ann@example.com"
    assert mail.subject == MAIL.subject
    assert mail.text.strip() == MAIL.text
    assert mail.html.strip() == MAIL.html
    assert [(file.name, file.media_type, file.content.strip()) for file in mail.files] == [
        ("INV/1 ü.pdf", "application/pdf", b"%PDF-1.7"),
        ("page.html", "text/html", b"<script>alert(1)</script>"),
    ]
    assert b"Message-ID: <notice-1@example.com>" in mail.source


async def test_the_newest_is_first_and_a_second_start_finds_all(box: MailBox, mailer: Mailer, tmp_path: Path) -> None:
    for number in range(11):
        await mailer.send(replace(MAIL, key=f"n-{number}", subject=str(number), to=f"{number % 2}@example.com"))
    again = MailBox(tmp_path / "mail")
    assert [mail.subject for mail in again.messages()] == [str(number) for number in reversed(range(11))]
    assert [mail.subject for mail in again.messages("1@example.com")] == ["9", "7", "5", "3", "1"]
    assert again.keep(b"Subject: last\r\n\r\n", "x@example.com").number == 12
    assert box.get(12)
    assert not box.get(13)


async def test_the_list_shows_what_came(browser: httpx.AsyncClient, mailer: Mailer) -> None:
    assert "No mail yet" in (await browser.get("")).text
    await mailer.send(MAIL)
    page = (await browser.get("")).text
    assert 'href="1"' in page
    assert "Invoice &lt;INV-1&gt; 🚀" in page
    assert "01 Feb 2026 09:00" in page
    assert "To ann@example.com" in page
    assert "No mail yet" in (await browser.get("", params={"to": "bob@example.com"})).text


async def test_the_list_for_programs(browser: httpx.AsyncClient, mailer: Mailer) -> None:
    await mailer.send(MAIL)
    (row,) = (await browser.get("messages.json")).json()
    assert row["subject"] == MAIL.subject
    assert row["to"] == "ann@example.com"
    assert row["files"] == ["INV/1 ü.pdf", "page.html"]
    assert (await browser.get("messages.json?to=bob@example.com")).json() == []


async def test_a_message_opens_with_its_page_in_a_closed_frame(browser: httpx.AsyncClient, mailer: Mailer) -> None:
    await mailer.send(MAIL)
    page = (await browser.get("1")).text
    assert "<script>" not in page
    assert 'src="1/page"' in page
    assert 'sandbox="allow-popups allow-popups-to-escape-sandbox"' in page
    inner = await browser.get("1/page")
    assert "href='https://pay.example'" in inner.text
    assert '<base target="_blank">' in inner.text
    assert inner.headers["content-security-policy"].startswith("default-src 'none'")


async def test_the_words_have_links_and_no_markup(browser: httpx.AsyncClient, mailer: Mailer) -> None:
    await mailer.send(MAIL)
    page = (await browser.get("1?view=text")).text
    link = "https://pay.example/x?a=1&amp;b=2"
    assert f'Pay here: <a href="{link}" target="_blank" rel="noopener">{link}</a>. Thank &lt;you&gt;.' in page


async def test_a_mail_of_words_only_shows_them_at_once(browser: httpx.AsyncClient, mailer: Mailer) -> None:
    await mailer.send(replace(MAIL, html="", attachments=()))
    page = (await browser.get("1")).text
    assert "Thank &lt;you&gt;" in page
    assert "view=html" not in page


async def test_the_source_is_shown(browser: httpx.AsyncClient, mailer: Mailer) -> None:
    await mailer.send(MAIL)
    assert "Message-ID: &lt;notice-1@example.com&gt;" in (await browser.get("1?view=source")).text


async def test_documents_open_and_other_files_are_only_saved(browser: httpx.AsyncClient, mailer: Mailer) -> None:
    """What could run in the browser never does."""
    await mailer.send(MAIL)
    page = (await browser.get("1")).text
    assert 'src="1/files/0/INV%2F1%20%C3%BC.pdf#navpanes=0"' in page
    document = await browser.get("1/files/0/INV%2F1%20%C3%BC.pdf")
    assert document.content.strip() == b"%PDF-1.7"
    assert document.headers["content-type"] == "application/pdf"
    assert document.headers["content-disposition"] == "inline; filename*=utf-8''INV%2F1%20%C3%BC.pdf"
    saved = await browser.get("1/files/0/x.pdf?download")
    assert saved.headers["content-disposition"].startswith("attachment")
    other = await browser.get("1/files/1/page.html")
    assert other.headers["content-type"] == "application/octet-stream"
    assert other.headers["content-disposition"].startswith("attachment")


@pytest.mark.parametrize("path", ["7", "7/page", "7/files/0/x", "1/files/2/x", "x"])
async def test_what_is_not_there_is_not_found(browser: httpx.AsyncClient, mailer: Mailer, path: str) -> None:
    await mailer.send(MAIL)
    assert (await browser.get(path)).status_code == 404


async def test_it_ends_with_a_client_still_connected(box: MailBox) -> None:
    async with asyncio.timeout(5):
        async with serve_smtp(box) as port:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            assert (await reader.readline()).startswith(b"220")
        assert await reader.read() == b""
        writer.close()
        await writer.wait_closed()


async def test_a_taken_port_is_said(box: MailBox) -> None:
    async with serve_smtp(box) as port:
        with pytest.raises(OSError, match="address already in use"):
            async with serve_smtp(box, port=port):
                pass
