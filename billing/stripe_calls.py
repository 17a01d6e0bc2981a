"""How Stripe's own library is called, and how what it raises is sorted (rules.md 6.5, 6.6).

Retries are ours, with the keys of our rows, so the library makes none. What Stripe answers is sorted into four:
it happened, it did not (`GatewayRefused`), not now (`GatewayBusy`), and nobody knows (`OutcomeUnknown`).
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from http import HTTPStatus
from typing import TypeVar, cast

import stripe

from billing.gateway import Charge, GatewayBusy, GatewayDenied, GatewayError, GatewayRefused, OutcomeUnknown, Page
from billing.money import Currency
from billing.stripe_shapes import EVENTS, Json, charge_of, page_of
from billing.stripe_units import minimum

_TIMEOUT_S = 25.0
"""For one call in all. Stripe answers a slow bank within 20 s or so; a webhook tells the rest."""

AT_ONCE = 32
"""Calls of this process at the same time. Stripe takes 100 a second of an account, and answers most in half a second;
a bad hour of theirs must not pile up requests here."""

log = logging.getLogger(__name__)

T = TypeVar("T")
Method = Callable[..., Awaitable[stripe.StripeObject]]


class Answer(Exception):
    """What Stripe answered instead of a result; the cause of `GatewayRefused`, for callers that look closer."""

    def __init__(self, status: int, error: Json, *, replayed: bool) -> None:
        """Keep the status, the error object, and whether it came out of the key's store."""
        super().__init__(f"Stripe answered {status} {error.get('code') or error.get('type') or ''}".strip())
        self.status = status
        self.error = error
        self.replayed = replayed


class StripeCalls:
    """One Stripe account in the one configured currency, and the one way to ask it something."""

    def __init__(
        self,
        *,
        api_key: str,
        currency: Currency,
        webhook_secret: str = "",
        api_url: str = "",
        timeout_s: float = _TIMEOUT_S,
    ) -> None:
        """Take the secrets as they are; an empty URL means Stripe's own."""
        self._currency = currency
        self._webhook_secret = webhook_secret
        self._timeout_s = timeout_s
        self._room = asyncio.Semaphore(AT_ONCE)
        self._mode = "live" if "_live_" in api_key else "test"
        self._http = stripe.HTTPXClient(timeout=timeout_s)
        self._stripe = stripe.StripeClient(
            api_key,
            http_client=self._http,
            base_addresses={"api": api_url.rstrip("/")} if api_url else None,
            max_network_retries=0,
        )

    @property
    def minimum(self) -> int:
        """The least that a card can be charged, in minor units."""
        return minimum(self._currency)

    async def check(self) -> str:
        """Return one line for `doctor`."""
        await self._call(self._stripe.v1.payment_intents.list_async, {"limit": 1})
        hook = "webhook secret set" if self._webhook_secret else "no webhook secret: payments are noticed by asking"
        return f"Stripe answers, {self._mode} mode, API {stripe.api_version}, {hook}"

    async def check_events(self, url: str) -> str:
        """Return one line for `doctor` on Stripe's endpoint for our webhook at an address."""
        try:
            found = [one async for one in self._listed(dict, self._stripe.v1.webhook_endpoints.list_async, {})]
        except GatewayDenied:
            return "which this key may not look into"
        ours = [one for one in found if one["url"].rstrip("/") == url]
        if not ours:
            raise GatewayRefused(f"Stripe has no endpoint for {url}")
        if not any(one["status"] == "enabled" for one in ours):
            raise GatewayRefused(f"Stripe's endpoint for {url} is disabled")
        told = {name for one in ours if one["status"] == "enabled" for name in one["enabled_events"]}
        missing = [name for name in EVENTS if not told & {name, "*"}]
        if missing:
            raise GatewayRefused(f"Stripe's endpoint for {url} is not told of {', '.join(missing)}")
        return "told of all events"

    async def close(self) -> None:
        """Let go of connections."""
        close = cast("Callable[[], Awaitable[None]]", self._http.close_async)  # the library leaves it untyped
        await close()

    # --- one way to call, one way to read

    def _page(self, session: Json) -> Page:
        return page_of(session, self._currency)

    def _charge(self, intent: Json) -> Charge:
        return charge_of(intent, self._currency)

    async def _listed(self, shape: Callable[[Json], T], method: Method, params: Json) -> AsyncIterator[T]:
        """Yield all objects of a list, page by page."""
        params = {**params, "limit": 100}
        while True:
            page: Json = self._decode(await self._call(method, params), dict)
            for thing in page["data"]:
                yield _read(thing, shape)
            if not page.get("has_more"):
                return
            params["starting_after"] = page["data"][-1]["id"]

    async def _find(self, shape: Callable[[Json], T], method: Method, *args: object) -> T | None:
        """Call, with `None` for what Stripe does not know."""
        try:
            return self._decode(await self._call(method, *args), shape)
        except GatewayRefused as refused:
            if isinstance(refused.__cause__, Answer) and refused.__cause__.status == HTTPStatus.NOT_FOUND:
                return None
            raise

    async def _call(self, method: Method, *args: object) -> stripe.StripeObject:
        """Call the library when there is room, and sort what it raises."""
        try:
            async with asyncio.timeout(self._timeout_s):
                await self._room.acquire()
        except TimeoutError as error:
            raise GatewayBusy("nothing was asked: too many calls wait for Stripe") from error
        began = asyncio.get_running_loop().time()
        try:
            async with asyncio.timeout(self._timeout_s):
                return await method(*args)
        except (TimeoutError, stripe.APIConnectionError) as error:
            raise OutcomeUnknown("Stripe did not answer") from error
        except stripe.StripeError as error:
            raise _sorted(error) from _answer(error)
        except (ValueError, LookupError, TypeError, AttributeError) as error:
            # The library met something that is not what the API gives: a proxy's page, half an answer.
            raise OutcomeUnknown("Stripe's answer cannot be read") from error
        finally:
            self._room.release()
            words = method.__qualname__.removesuffix("_async")
            log.debug("stripe %s: %.1f ms", words, 1000 * (asyncio.get_running_loop().time() - began))

    def _decode(self, thing: stripe.StripeObject, shape: Callable[[Json], T]) -> T:
        return _read(thing.to_dict(), shape)


def _read(thing: Json, shape: Callable[[Json], T]) -> T:
    try:
        return shape(thing)
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise OutcomeUnknown("Stripe's answer cannot be read") from error


def keyed(key: str) -> dict[str, str]:
    """Return the options of a call that is one act however often it is made."""
    return {"idempotency_key": key}


def is_replay(headers: Mapping[str, str] | None) -> bool:
    """Return whether an answer came out of the key's store."""
    return (headers or {}).get("idempotent-replayed") == "true"


def _answer(error: stripe.StripeError) -> Answer | None:
    """Return what Stripe itself said; a proxy's page or half an answer is none of it."""
    body = error.json_body
    told = body.get("error") if isinstance(body, dict) else None
    if not isinstance(told, dict) or error.http_status is None:
        return None
    return Answer(error.http_status, told, replayed=is_replay(error.headers))


def _sorted(error: stripe.StripeError) -> GatewayError:
    """Return which of the three it is; the words are ours, since Stripe's may quote a key or a card."""
    answer = _answer(error)
    if answer is None:
        return OutcomeUnknown("Stripe's answer cannot be read")
    if answer.status == HTTPStatus.TOO_MANY_REQUESTS:
        return GatewayBusy(str(answer))
    if answer.status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
        return GatewayDenied(str(answer))
    # A key that was used with other parameters (a setting changed in between) was used: what it did is not known.
    if answer.error.get("type") == "idempotency_error" or answer.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return OutcomeUnknown(str(answer))
    if answer.status == HTTPStatus.CONFLICT:
        return OutcomeUnknown(str(answer))
    return GatewayRefused(str(answer))
