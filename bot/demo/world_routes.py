"""The demo's one address: the chat page, the stand-ins below it, and the clock above everything."""

from collections.abc import Callable, Sequence
from urllib.parse import urlencode, urlsplit

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Mount, Route
from starlette.types import ASGIApp

from bot.demo.clock import MovableClock, Move
from bot.demo.steps import Mover
from bot.demo.telegram.page_routes import page_routes


def application(
    *, telegram: ASGIApp, stripe: ASGIApp, mail: ASGIApp, clock: MovableClock, mover: Mover, notes: Sequence[str]
) -> Starlette:
    """Everything that the demo serves itself.

    Args:
        telegram: at `/telegram`; its chat page is at `/`.
        stripe: at `/stripe`.
        mail: the mail box, at `/mail`.
        clock: shown at `/world`.
        mover: moves it for `POST /world/move` with `{"by": "hour" | "day" | "month"}`.
        notes: shown beside the clock.
    """

    async def world(_: Request) -> Response:
        return JSONResponse(
            {
                "now": clock.now().strftime("%Y-%m-%dT%H:%M:%SZ"),
                "busy": mover.busy,
                "moves": list(Move),
                "links": [{"title": "Mail box", "url": "/mail/"}],
                "notes": list(notes),
            }
        )

    return Starlette(
        routes=[
            Mount("/telegram", app=telegram),
            Mount("/stripe", app=stripe),
            Mount("/mail", app=mail),
            Route("/world", world),
            Route("/world/move", _move(mover.start), methods=["POST"]),
            Route("/t.me/{username}", _into_the_chat),
            *page_routes("/telegram"),
        ]
    )


def _move(start: Callable[[Move], bool]) -> Callable[[Request], object]:
    async def move(request: Request) -> Response:
        """Begin a move; a second click while one is under way changes nothing."""
        origin = request.headers.get("origin")
        if origin and urlsplit(origin).netloc != request.headers.get("host"):
            return JSONResponse({"error": "other origin"}, 403)
        try:
            by = Move((await request.json())["by"])
        except (ValueError, KeyError, TypeError):
            return JSONResponse({"error": f"by is one of {', '.join(Move)}"}, 400)
        return JSONResponse({"moving": start(by)}, 202)

    return move


async def _into_the_chat(request: Request) -> Response:
    """What `https://t.me/BOT?start=PAYLOAD` does on a telephone: the chat opens, and the bot gets the payload."""
    payload = request.query_params.get("start", "")
    return RedirectResponse(f"/?{urlencode({'start': payload})}" if payload else "/", 303)
