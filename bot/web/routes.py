"""The web application: who answers at which path."""

import time
from collections.abc import Callable

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.routing import Route

from bot.web.health import Health
from bot.web.limits import BodyLimit, RateLimit
from bot.web.pages import CheckoutPages
from bot.web.stripe import StripeHook
from bot.web.telegram import TelegramHook


def application(
    *,
    telegram: TelegramHook | None,
    stripe: StripeHook | None,
    pages: CheckoutPages,
    health: Health,
    now: Callable[[], float] = time.monotonic,
) -> Starlette:
    """Return the application; a webhook that is not in use does not exist.

    `now` is the clock of the limits: seconds that never go back.
    """
    routes = [
        Route("/checkout/done", pages.done),
        Route("/checkout/cancelled", pages.cancelled),
        Route("/healthz", health.alive),
        Route("/readyz", health.ready),
        Route("/metrics", health.metrics),
    ]
    if telegram is not None:
        routes.append(Route("/telegram", telegram.__call__, methods=["POST"]))
    if stripe is not None:
        routes.append(Route("/stripe", stripe.__call__, methods=["POST"]))
    return Starlette(routes=routes, middleware=[Middleware(RateLimit, now), Middleware(BodyLimit)])
