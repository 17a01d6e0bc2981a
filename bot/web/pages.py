"""Where Checkout sends the browser: a small page with the way back into the chat.

The page believes nothing of what its address says. It only has the provider asked again about a session that we
opened ourselves, and says the same whatever comes of it: the chat tells the rest.
"""

import logging
import re
from collections.abc import Awaitable, Callable
from html import escape

from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from billing.gateway import GatewayError

log = logging.getLogger(__name__)

_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>
:root {{ color-scheme: light dark; font: 17px/1.5 system-ui, sans-serif; }}
body {{ margin: 0; min-height: 100vh; display: grid; place-items: center; background: Canvas; color: CanvasText; }}
main {{ max-width: 26rem; padding: 2rem; text-align: center; }}
.sign {{ font-size: 3rem; }}
h1 {{ font-size: 1.4rem; margin: .5rem 0; }}
a {{ display: inline-block; margin-top: 1.5rem; padding: .8rem 1.6rem; border-radius: .8rem; background: #2481cc;
  color: #fff; text-decoration: none; font-weight: 600; }}
a:focus-visible {{ outline: 3px solid CanvasText; }}
</style>
</head>
<body><main>
<div class="sign" aria-hidden="true">{sign}</div>
<h1>{title}</h1>
<p>{text}</p>
<a href="{link}" data-testid="back-to-chat">Back to the chat</a>
</main></body>
</html>
"""

_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
_ID = re.compile(r"\w{1,200}", re.ASCII)


class CheckoutPages:
    """`GET /checkout/done` and `/checkout/cancelled`."""

    def __init__(
        self, chat_url: str, look: Callable[[str], Awaitable[None]], confirmed: Callable[[str], Awaitable[None]]
    ) -> None:
        """Take the way into the chat, and who looks after a session, and after a charge at its bank, of this id."""
        self._chat_url = chat_url
        self._looks = {"session_id": look, "payment_intent": confirmed}

    async def done(self, request: Request) -> Response:
        """Have the session or the charge looked at, and show the way back.

        Checkout sends people here with the one, a bank's page for 3-D Secure with the other. Whatever comes of the
        look, the page is the same: the worker looks again.
        """
        for name, look in self._looks.items():
            thing_id = request.query_params.get(name, "")
            if _ID.fullmatch(thing_id):
                try:
                    await look(thing_id)
                except GatewayError as error:
                    log.warning("%s is looked at later: %s", name, error)
        return self._page("✅", "Thank you", "The chat tells you what comes next.")

    async def cancelled(self, _: Request) -> Response:
        """Say that nothing happened, and show the way back."""
        return self._page("↩️", "Nothing was saved or charged", "You can open the payment page again from the chat.")

    def _page(self, sign: str, title: str, text: str) -> Response:
        page = _PAGE.format(sign=sign, title=escape(title), text=escape(text), link=escape(self._chat_url))
        return HTMLResponse(page, headers=_HEADERS)
