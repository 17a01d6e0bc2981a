"""The HTTP side of `/v1`: keys, versions, limits, idempotency, faults, and the log of what was asked."""

import asyncio
import base64
import binascii
import json
import time
from collections import deque
from collections.abc import Sequence
from http import HTTPStatus

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from bot.demo.stripe import checkout, refunds
from bot.demo.stripe.core import API_VERSION, Caller, Core, new_id
from bot.demo.stripe.errors import ApiError, Json, broken, malformed, too_many, unauthorized
from bot.demo.stripe.expand import render
from bot.demo.stripe.faults import Fault, Faults, Plan, refusal
from bot.demo.stripe.idempotency import Answer, Keys
from bot.demo.stripe.params import check, decode
from bot.demo.stripe.routes import Endpoint, find

_LOG = 10_000
_GARBAGE = "<html><head><title>502 Bad Gateway</title></head><body>upstream"
_SHOWN = 4


class Dropped(Response):
    """An answer that begins and then breaks off: the client sees the connection closed."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002 - ASGI's signature
        """Promise a body and send none; the server closes the connection."""
        headers = [(b"content-type", b"application/json"), (b"content-length", b"64")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})


class Api:
    """Answers requests to `/v1`.

    Attributes:
        log: what was asked: method, path, params, idempotency_key, status, request_id, replayed, fault. A request
            whose answer was lost has status 0.
        rate_limit: requests per second of real time, None for any number.
    """

    def __init__(self, core: Core, keys: Sequence[str], faults: Faults, rate_limit: int | None = None) -> None:
        self._core = core
        self._api_keys = tuple(keys)
        self._faults = faults
        self._keys = Keys(core)
        self._recent: deque[float] = deque()
        self.rate_limit = rate_limit
        self.log: deque[Json] = deque(maxlen=_LOG)
        self.closing = asyncio.Event()

    def tick(self) -> None:
        """Do what has become due by the clock: sessions that expire, refunds that fail."""
        checkout.due(self._core)
        refunds.due(self._core)
        self._core.store.flush()

    async def handle(self, request: Request) -> Response:
        """One request."""
        text = request.url.query
        if request.method == "POST":
            text = (await request.body()).decode(errors="replace")
        path = "/v1/" + request.path_params["path"]
        entry: Json = {
            "at": self._core.now(),
            "method": request.method,
            "path": path,
            "params": {},
            "idempotency_key": request.headers.get("idempotency-key") if request.method == "POST" else None,
            "status": 0,
            "request_id": new_id("req_", 14),
            "replayed": False,
            "fault": None,
        }
        self.log.append(entry)
        try:
            entry["params"] = decode(text)
            self._admit(request)
            return await self._serve(request, entry)
        except ApiError as error:
            refused = self._answer(entry, Answer(error.status, _error_body(entry, error), entry["request_id"]))
            if error.error.get("code") == "lock_timeout":
                refused.headers["Stripe-Should-Retry"] = "true"
            return refused

    def _admit(self, request: Request) -> None:
        self._check_key(request.headers.get("authorization", ""))
        version = request.headers.get("stripe-version", API_VERSION)
        if version != API_VERSION:
            raise malformed(f"Invalid Stripe API version: {version}. This server speaks {API_VERSION}.", param=None)
        if self.rate_limit is not None:
            at = time.monotonic()
            while self._recent and self._recent[0] <= at - 1:
                self._recent.popleft()
            if len(self._recent) >= self.rate_limit:
                raise too_many("rate_limit", "Request rate limit exceeded.")
            self._recent.append(at)

    def _check_key(self, header: str) -> None:
        scheme, _, given = header.partition(" ")
        key = given.strip() if scheme.lower() == "bearer" else ""
        if scheme.lower() == "basic":
            try:
                key = base64.b64decode(given, validate=True).decode().partition(":")[0]
            except (binascii.Error, UnicodeDecodeError):
                key = ""
        if not key:
            raise unauthorized(
                "You did not provide an API key. You need to provide your API key in the Authorization header, using "
                "Bearer auth (e.g. 'Authorization: Bearer YOUR_SECRET_KEY')."
            )
        if key not in self._api_keys:
            raise unauthorized(f"Invalid API Key provided: {'*' * 8}{key[-_SHOWN:]}")

    async def _serve(self, request: Request, entry: Json) -> Response:
        self.tick()
        found = find(entry["method"], entry["path"])
        if found is None:
            message = (
                f"Unrecognized request URL ({entry['method']}: {entry['path']}). If you are trying to list objects, "
                "remove the trailing slash. If you are trying to retrieve an object, make sure you passed a valid "
                "(non-empty) identifier in your code."
            )
            raise ApiError(HTTPStatus.NOT_FOUND, {"message": message, "type": "invalid_request_error"}, executed=False)
        plan = self._faults.take(entry["method"], entry["path"])
        if plan is not None:
            entry["fault"] = str(plan.fault)
            spoilt = await self._before(request, plan)
            if spoilt is not None:
                return spoilt
        answer = await self._once(entry, *found, plan)
        if plan is not None:
            spoilt = await self._after(request, plan)
            if spoilt is not None:
                return spoilt
        return self._answer(entry, answer)

    async def _before(self, request: Request, plan: Plan) -> Response | None:
        error = refusal(plan.fault)
        if error is not None:
            raise error
        if plan.fault is Fault.HANG_BEFORE:
            await self._hang(request, plan.seconds)
        if plan.fault in {Fault.HANG_BEFORE, Fault.DROP_BEFORE}:
            return Dropped()
        return Response(_GARBAGE, media_type="application/json") if plan.fault is Fault.GARBAGE_BEFORE else None

    async def _after(self, request: Request, plan: Plan) -> Response | None:
        if plan.fault is Fault.HANG_AFTER:
            await self._hang(request, plan.seconds)
        if plan.fault in {Fault.HANG_AFTER, Fault.DROP_AFTER}:
            return Dropped()
        return Response(_GARBAGE, media_type="application/json") if plan.fault is Fault.GARBAGE_AFTER else None

    async def _hang(self, request: Request, seconds: float) -> None:
        """Say nothing until the client gives up, the server closes, or the time is over."""
        gone = asyncio.ensure_future(_disconnected(request))
        closing = asyncio.ensure_future(self.closing.wait())
        await asyncio.wait({gone, closing}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        for task in (gone, closing):
            task.cancel()
        await asyncio.gather(gone, closing, return_exceptions=True)

    async def _once(self, entry: Json, endpoint: Endpoint, ids: tuple[str, ...], plan: Plan | None) -> Answer:
        """Carry it out, or answer as the first time if its idempotency key was seen."""
        key, path, params = entry["idempotency_key"], entry["path"], entry["params"]
        if key is not None:
            kept = self._keys.begin(key, path, params)
            if kept is not None:
                entry["replayed"] = True
                return kept
        answer: Answer | None = None
        try:
            if plan is not None and plan.fault is Fault.SLOW:
                await asyncio.sleep(plan.seconds)
            answer = self._execute(entry, endpoint, ids, plan)
        finally:
            if key is not None:
                self._keys.finish(key, path, params, answer)
            self._core.store.flush()
        return answer

    def _execute(self, entry: Json, endpoint: Endpoint, ids: tuple[str, ...], plan: Plan | None) -> Answer:
        """Nothing here waits, so no two requests are ever half done together.

        Raises:
            ApiError: one that came before anything began, so it is not kept for the key.
        """
        self._core.caller = Caller(entry["request_id"], entry["idempotency_key"])
        try:
            params = check(endpoint.schema, entry["params"])
            wanted = params.pop("expand", [])
            if plan is not None and plan.fault is Fault.ERROR_INSTEAD:
                raise broken(executed=True)
            shown = render(self._core, endpoint.handler(self._core, params, *ids), wanted)
            if plan is not None and plan.fault is Fault.ERROR_AFTER:
                raise broken(executed=True)
            return Answer(HTTPStatus.OK, json.dumps(shown, indent=2), entry["request_id"])
        except ApiError as error:
            if not error.executed:
                raise
            return Answer(error.status, _error_body(entry, error), entry["request_id"])
        finally:
            self._core.caller = Caller()

    def _answer(self, entry: Json, answer: Answer) -> Response:
        entry["status"] = int(answer.status)
        headers = {"Request-Id": entry["request_id"], "Stripe-Version": API_VERSION}
        if entry["idempotency_key"] is not None:
            headers |= {"Idempotency-Key": entry["idempotency_key"], "Original-Request": answer.request_id}
        if entry["replayed"]:
            headers["Idempotent-Replayed"] = "true"
        if answer.status >= HTTPStatus.BAD_REQUEST and not _may_retry(entry, answer):
            headers["Stripe-Should-Retry"] = "false"
        return Response(answer.body, answer.status, headers, media_type="application/json")


def _may_retry(entry: Json, answer: Answer) -> bool:
    again = {HTTPStatus.CONFLICT, HTTPStatus.TOO_MANY_REQUESTS}
    return answer.status in again or entry["fault"] == Fault.ERROR_BEFORE


def _error_body(entry: Json, error: ApiError) -> str:
    url = f"https://dashboard.stripe.com/test/logs/{entry['request_id']}"
    return json.dumps({"error": {**error.error, "request_log_url": url}}, indent=2)


async def _disconnected(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
