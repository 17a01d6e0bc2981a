"""The mail box in the browser: a list, a message with its page, its words and its files."""

import re
from html import escape
from urllib.parse import quote

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route

from bot.demo.mail import File, MailBox, Received

SHOWN_INLINE = ("application/pdf", "image/png", "image/jpeg")
"""Types that a browser shows and that run nothing."""

CLOSED = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
"""A mail's own page may look as it likes, and fetch and run nothing."""

PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<link rel="icon" href="data:,">
<title>{title}</title>
<style>
:root {{
  color-scheme: light dark;
  --ground: light-dark(#f2f4f7, #14181d); --card: light-dark(#fff, #1d2229); --ink: light-dark(#1c2430, #e6e9ee);
  --soft: light-dark(#5c6675, #98a2b0); --hair: light-dark(#dfe3e9, #2f363f); --accent: light-dark(#1f6f5c, #5fc5aa);
}}
* {{ box-sizing: border-box; }}
body {{ margin: 0; background: var(--ground); color: var(--ink); font: 16px/1.5 system-ui, sans-serif; }}
main {{ max-width: 48rem; margin: 0 auto; padding: 1.5rem 1rem 4rem; }}
h1 {{ font-size: 1.35rem; margin: .2rem 0 1rem; overflow-wrap: anywhere; }}
a {{ color: var(--accent); }}
.card {{ background: var(--card); border: 1px solid var(--hair); border-radius: .75rem; overflow: hidden; }}
.mail {{ display: grid; grid-template-columns: 1fr auto; gap: 0 1rem; padding: .8rem 1rem; color: inherit;
  text-decoration: none; border-top: 1px solid var(--hair); }}
.mail:first-child {{ border-top: 0; }}
.mail:hover, .mail:focus-visible {{ background: color-mix(in srgb, var(--accent) 9%, transparent); }}
.mail b {{ overflow: hidden; text-overflow: ellipsis; white-space: nowrap; }}
.quiet {{ color: var(--soft); font-size: .875rem; }}
.empty {{ padding: 3rem 1rem; text-align: center; }}
dl {{ display: grid; grid-template-columns: auto 1fr; gap: .15rem 1rem; margin: 0; padding: .9rem 1rem; }}
dd {{ margin: 0; overflow-wrap: anywhere; }}
nav {{ display: flex; gap: .25rem; padding: 0 .75rem; border-bottom: 1px solid var(--hair); }}
nav a {{ padding: .45rem .6rem; text-decoration: none; color: var(--soft); border-bottom: 2px solid transparent; }}
nav a[aria-current] {{ color: var(--ink); border-color: var(--accent); }}
pre {{ margin: 0; padding: 1rem; white-space: pre-wrap; overflow-wrap: anywhere; font: inherit; }}
pre.source {{ font: .8125rem/1.45 ui-monospace, monospace; }}
iframe {{ display: block; width: 100%; border: 0; background: #fff; }}
iframe.body {{ height: 18rem; resize: vertical; }}
iframe.file {{ height: 75vh; }}
details {{ border-top: 1px solid var(--hair); }}
summary {{ padding: .7rem 1rem; cursor: pointer; overflow-wrap: anywhere; }}
</style>
<main>
{body}
</main>
{script}
</html>
"""

FRAME = '<base target="_blank"><style>body { margin: 1rem; font: 16px/1.5 system-ui, sans-serif }</style>'
"""Before a mail's own page: its links open outside of the frame, and it looks well if it does not care how."""

NEWS = """<script>
// A new mail shows by itself.
const shown = document.querySelectorAll(".mail").length;
setInterval(async () => {
  const answer = await fetch("messages.json" + location.search).catch(() => null);
  if (answer?.ok && (await answer.json()).length !== shown) location.reload();
}, 2000);
</script>"""


def mail_pages(box: MailBox) -> Starlette:
    """The box as pages, to be mounted under any prefix; links are relative.

    `/` (`?to=ADDRESS`), `/messages.json`, `/N` (`?view=html|text|source`), `/N/page`, `/N/files/I/NAME`.
    """

    def find(request: Request) -> Received:
        mail = box.get(request.path_params["number"])
        if not mail:
            raise HTTPException(404, "There is no such mail.")
        return mail

    def index(request: Request) -> Response:
        return HTMLResponse(_index(box.messages(request.query_params.get("to", ""))))

    def listing(request: Request) -> Response:
        return JSONResponse([_summary(mail) for mail in box.messages(request.query_params.get("to", ""))])

    def message(request: Request) -> Response:
        return HTMLResponse(_message(find(request), request.query_params.get("view", "")))

    def page(request: Request) -> Response:
        return HTMLResponse(FRAME + find(request).html, headers={"Content-Security-Policy": CLOSED})

    def file(request: Request) -> Response:
        files = find(request).files
        index = request.path_params["index"]
        if index >= len(files):
            raise HTTPException(404, "There is no such file.")
        return _file(files[index], download="download" in request.query_params)

    return Starlette(
        routes=[
            Route("/", index),
            Route("/messages.json", listing),
            Route("/{number:int}", message),
            Route("/{number:int}/page", page),
            Route("/{number:int}/files/{index:int}/{name:path}", file),
        ]
    )


def _summary(mail: Received) -> dict[str, object]:
    return {
        "number": mail.number,
        "from": mail.sender,
        "to": mail.to,
        "subject": mail.subject,
        "date": mail.header("Date"),
        "text": mail.text,
        "files": [file.name for file in mail.files],
    }


def _index(mails: list[Received]) -> str:
    rows = "".join(
        f'<a class="mail" href="{mail.number}" data-testid="mail"><b dir="auto">{escape(mail.subject)}</b>'
        f'<span class="quiet">{escape(_short(mail.header("Date")))}</span>'
        f'<span class="quiet" dir="auto">To {escape(mail.to)}</span>'
        f'<span class="quiet">{_count(len(mail.files))}</span></a>'
        for mail in mails
    )
    empty = '<p class="quiet empty">No mail yet. It shows here as soon as the bot sends some.</p>'
    body = f'<h1>Mail box</h1><div class="card" data-testid="mails">{rows or empty}</div>'
    return PAGE.format(title="Mail box", body=body, script=NEWS)


def _count(files: int) -> str:
    return f"{files} file{'s' if files > 1 else ''}" if files else ""


def _short(date: str) -> str:
    """`Sun, 01 Feb 2026 09:00:00 +0000` as `01 Feb 2026 09:00`."""
    return re.sub(r"^\w+, |:\d\d [+-]\d{4}$", "", date)


def _message(mail: Received, view: str) -> str:
    views = {"html": mail.html, "text": mail.text, "source": mail.source.decode(errors="replace")}
    view = view if views.get(view) else next((name for name, content in views.items() if content), "source")
    tabs = "".join(
        f'<a href="?view={name}"{" aria-current=page" if name == view else ""} data-testid="view-{name}">{label}</a>'
        for name, label in (("html", "Page"), ("text", "Text"), ("source", "Source"))
        if views[name]
    )
    facts = "".join(
        f'<dt class="quiet">{label}</dt><dd dir="auto">{escape(value)}</dd>'
        for label, value in (("From", mail.sender), ("To", mail.to), ("Date", mail.header("Date")))
    )
    files = "".join(_attachment(mail, index, file) for index, file in enumerate(mail.files))
    body = (
        f'<a href="./">All mail</a><h1 dir="auto">{escape(mail.subject)}</h1>'
        f'<article class="card"><dl>{facts}</dl><nav aria-label="Views">{tabs}</nav>'
        f"{_words(mail, view, views[view])}{files}</article>"
    )
    return PAGE.format(title=escape(mail.subject), body=body, script="")


def _words(mail: Received, view: str, content: str) -> str:
    if view == "html":
        # No scripts, no forms, no same origin; links open in a tab of their own.
        return (
            f'<iframe class="body" src="{mail.number}/page" title="Message" data-testid="body" '
            'sandbox="allow-popups allow-popups-to-escape-sandbox"></iframe>'
        )
    if view == "text":
        linked = re.sub(r"https?://[^\s<>\"]+?(?=[.,;:!?)]*(?:\s|$))", _link, escape(content, quote=False))
        return f'<pre dir="auto" data-testid="body">{linked}</pre>'
    return f'<pre class="source" data-testid="body">{escape(content)}</pre>'


def _link(match: re.Match[str]) -> str:
    return f'<a href="{match[0]}" target="_blank" rel="noopener">{match[0]}</a>'


def _attachment(mail: Received, index: int, file: File) -> str:
    url = f"{mail.number}/files/{index}/{quote(file.name, safe='')}"
    shown = opened = ""
    if file.media_type in SHOWN_INLINE:
        shown = f'<iframe class="file" loading="lazy" src="{url}#navpanes=0" title="{escape(file.name)}"></iframe>'
        opened = f'<a href="{url}" target="_blank" data-testid="open">Open</a> '
    return (
        f'<details data-testid="file"><summary>{escape(file.name)} '
        f'<span class="quiet">{max(1, len(file.content) // 1000)} kB</span> '
        f'{opened}<a href="{url}?download" data-testid="download">Download</a></summary>{shown}</details>'
    )


def _file(file: File, *, download: bool) -> Response:
    place = "inline" if file.media_type in SHOWN_INLINE and not download else "attachment"
    return Response(
        file.content,
        media_type=file.media_type if file.media_type in SHOWN_INLINE else "application/octet-stream",
        headers={
            "Content-Disposition": f"{place}; filename*=utf-8''{quote(file.name, safe='')}",
            "X-Content-Type-Options": "nosniff",
        },
    )
