"""Idempotency keys, as Stripe publishes them: same key and same parameters, same answer, for a day."""

from dataclasses import dataclass

from bot.demo.stripe.core import Core
from bot.demo.stripe.errors import Json, idempotency, malformed

_KIND = "_idempotency"
_DAY = 86400
_MAX_KEY = 255


@dataclass(frozen=True)
class Answer:
    """What a request was answered with."""

    status: int
    body: str
    request_id: str


class Keys:
    """The keys in use and those whose answer is kept."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._running: set[str] = set()

    def begin(self, key: str, path: str, params: Json) -> Answer | None:
        """Take a key for a request.

        Returns:
            The kept answer of the same request, or None: go ahead, then `finish`.

        Raises:
            ApiError: 400 for a key used for something else or too long, 409 for one in use right now.
        """
        if len(key) > _MAX_KEY:
            raise malformed(f"Idempotency keys can be at most {_MAX_KEY} characters long.", param=None)
        if key in self._running:
            raise idempotency(
                "There is currently another in-progress request using this Idempotent Key (that probably means you "
                f"submitted twice, and the other request is still going through): {key}. Try again later.",
                status=409,
                code="idempotency_key_in_use",
            )
        kept = self._core.store.get(_KIND, key)
        if kept is not None and kept["created"] > self._core.now() - _DAY:
            return self._replay(key, kept, path, params)
        self._running.add(key)
        return None

    def _replay(self, key: str, kept: Json, path: str, params: Json) -> Answer:
        if kept["path"] != path:
            raise idempotency(
                "Keys for idempotent requests can only be used for the same endpoint they were first used for "
                f"('{path}' vs '{kept['path']}'). Try using a key other than '{key}' if you meant to execute a "
                "different request."
            )
        if kept["params"] != params:
            raise idempotency(
                "Keys for idempotent requests can only be used with the same parameters they were first used with. "
                f"Try using a key other than '{key}' if you meant to execute a different request."
            )
        return Answer(kept["status"], kept["body"], kept["request_id"])

    def finish(self, key: str, path: str, params: Json, answer: Answer | None) -> None:
        """Let go of the key; with an answer, keep it for a day."""
        self._running.discard(key)
        if answer is not None:
            kept = {
                "path": path,
                "params": params,
                "status": answer.status,
                "body": answer.body,
                "request_id": answer.request_id,
                "created": self._core.now(),
            }
            self._core.store.put(_KIND, key, kept)
