"""The stand-in put together: one object, one Starlette application to mount."""

import time
from collections.abc import Callable, Sequence
from pathlib import Path

from starlette.applications import Starlette
from starlette.routing import Mount, Route

from bot.demo.stripe.api import Api
from bot.demo.stripe.control import Control
from bot.demo.stripe.core import Core
from bot.demo.stripe.faults import Faults
from bot.demo.stripe.pages import Pages
from bot.demo.stripe.store import Store
from bot.demo.stripe.webhooks import Webhooks

TEST_KEY = "sk_test_standin"


def _real_time() -> int:
    return int(time.time())


class StripeStandIn:
    """A Stripe account of one's own.

    Mount `app` anywhere: the API is at `/v1`, the pages at `/pay`, the control at `/control` below that place.
    Call `start` in the event loop that serves it, and `close` before that server is stopped, so that requests
    which hang on purpose let go.

    Attributes:
        app: the application.
        control: what a test or the demo can make happen.
        webhooks: the sender of events.
    """

    def __init__(
        self,
        base_url: str = "",
        *,
        api_keys: Sequence[str] = (TEST_KEY,),
        now: Callable[[], int] = _real_time,
        directory: Path | None = None,
        merchant: str = "VM Shop",
        rate_limit: int | None = None,
    ) -> None:
        """Set up; nothing is sent before `start`.

        Args:
            base_url: where browsers reach the mounted application; may be set later as `base_url`.
            api_keys: the secret keys that are taken.
            now: the clock, epoch seconds; it may be moved, then call `control.tick()`.
            directory: where objects are kept for the next start; None: in memory only.
            merchant: the name on the pages.
            rate_limit: requests per second that are answered, None for any number.
        """
        self._store = Store(directory)
        self._core = Core(self._store, now, base_url.rstrip("/"), self._sent)
        self.webhooks = Webhooks(self._core)
        faults = Faults()
        self._api = Api(self._core, api_keys, faults, rate_limit)
        self.control = Control(self._core, self._api, faults, self.webhooks)
        api = Route("/v1/{path:path}", self._api.handle, methods=["GET", "POST", "DELETE", "PUT", "PATCH"])
        self.app = Starlette(
            routes=[
                api,
                Mount("/pay", routes=Pages(self._core, merchant).routes()),
                Mount("/control", routes=self.control.routes()),
            ]
        )

    @property
    def base_url(self) -> str:
        """Where browsers reach the mounted application, without a slash at the end."""
        return self._core.base_url

    @base_url.setter
    def base_url(self, url: str) -> None:
        self._core.base_url = url.rstrip("/")

    def _sent(self, event: dict[str, object]) -> None:
        self.webhooks.on_event(event)

    async def start(self) -> None:
        """Go on delivering what an earlier run left."""
        self.control.tick()
        self.webhooks.start()

    async def close(self) -> None:
        """Let go of everything: hanging requests, deliveries, the file."""
        self._api.closing.set()
        await self.webhooks.close()
        self._store.close()
