"""How requests go to Telegram: by aiohttp, at a fraction of the processor time of the library's own transport.

The words on the wire are the same. `make bench` measures it beside the library's own.
"""

import aiohttp
import httpx
from telegram._utils.defaultvalue import DefaultValue
from telegram._utils.types import ODVInput
from telegram.error import NetworkError, TimedOut
from telegram.request import BaseRequest, RequestData

_SECONDS = 5.0
"""For a connection, an answer, a free place; as the library's own."""
_UPLOAD_SECONDS = 20.0


class AiohttpRequest(BaseRequest):
    """Sends requests by aiohttp."""

    def __init__(self, *, at_once: int = 1, pool_seconds: float = 1.0) -> None:
        """Take how many requests go at the same time, and how long one may wait for its place."""
        self._at_once = at_once
        self._pool_seconds = pool_seconds
        self._session: aiohttp.ClientSession | None = None

    @property
    def read_timeout(self) -> float:
        """Seconds to wait for an answer, unless a call says otherwise."""
        return _SECONDS

    async def initialize(self) -> None:
        """Open; opening again changes nothing."""
        if self._session is None:
            # Certificates are those that httpx takes, which Stripe's library speaks with; a proxy is the environment's.
            connector = aiohttp.TCPConnector(limit=self._at_once, ssl=httpx.create_ssl_context())
            self._session = aiohttp.ClientSession(
                connector=connector, trust_env=True, headers={"User-Agent": self.USER_AGENT}
            )

    async def shutdown(self) -> None:
        """Close every connection."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def do_request(
        self,
        url: str,
        method: str,
        request_data: RequestData | None = None,
        read_timeout: ODVInput[float] = BaseRequest.DEFAULT_NONE,
        write_timeout: ODVInput[float] = BaseRequest.DEFAULT_NONE,
        connect_timeout: ODVInput[float] = BaseRequest.DEFAULT_NONE,
        pool_timeout: ODVInput[float] = BaseRequest.DEFAULT_NONE,
    ) -> tuple[int, bytes]:
        """Send a request; return status and body of the answer.

        Raises:
            TimedOut: no connection, place or answer in time.
            NetworkError: anything else that kept the answer away.
        """
        if self._session is None:
            raise RuntimeError("this request is not initialized")
        uploads = bool(request_data and request_data.multipart_data)
        answer_within = _given(read_timeout, _SECONDS)
        if uploads and answer_within is not None:
            answer_within += _given(write_timeout, _UPLOAD_SECONDS) or 0
        place_within, connect_within = _given(pool_timeout, self._pool_seconds), _given(connect_timeout, _SECONDS)
        timeout = aiohttp.ClientTimeout(
            connect=None if place_within is None or connect_within is None else place_within + connect_within,
            sock_connect=connect_within,
            sock_read=answer_within,
        )
        try:
            async with self._session.request(
                method, url, data=_body(request_data), timeout=timeout, allow_redirects=False
            ) as answer:
                return answer.status, await answer.read()
        except TimeoutError as error:
            raise TimedOut from error
        except (aiohttp.ClientError, OSError) as error:
            raise NetworkError(f"{type(error).__name__}: {error}") from error


def _given(value: ODVInput[float], otherwise: float) -> float | None:
    return otherwise if isinstance(value, DefaultValue) else value


def _body(request_data: RequestData | None) -> aiohttp.FormData | dict[str, str] | None:
    if request_data is None:
        return None
    files = request_data.multipart_data
    if not files:
        return request_data.json_parameters
    form = aiohttp.FormData(request_data.json_parameters, quote_fields=False)
    for name, (filename, content, kind) in files.items():
        form.add_field(name, content, filename=filename, content_type=kind)
    return form
