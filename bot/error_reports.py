"""Errors of the log to Sentry, where `SENTRY_DSN` is set: what failed and where in the code, nothing of anybody's.

What leaves is chosen, not what stays: texts go through what keeps secrets out of the log, and values of variables,
names of machines, people, requests and files beside the code are never sent.
"""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from bot import logs
from bot.logs import Redactor
from bot.settings import CannotStart

if TYPE_CHECKING:
    from sentry_sdk.types import Event, Hint

_KEPT = ("event_id", "timestamp", "level", "logger", "platform", "release", "exception", "logentry", "fingerprint")
_OF_FRAMES = ("filename", "function", "module", "lineno", "in_app")
_CLOSE_SECONDS = 2


def start(dsn: str, redact: Redactor, *, version: str) -> Callable[[], None]:
    """Send each error that is logged from now on; returns what sends the last ones and ends it.

    Args:
        dsn: the project's address, which holds its key.
        redact: takes secrets out of texts.
        version: of this program.

    Raises:
        CannotStart: the library is not installed.
    """
    try:
        import sentry_sdk  # noqa: PLC0415 an extra
        from sentry_sdk.integrations.logging import LoggingIntegration  # noqa: PLC0415
    except ModuleNotFoundError:
        raise CannotStart("SENTRY_DSN needs the library that comes with pip install 'vmbot[sentry]'") from None

    def chosen(event: "Event", _: "Hint") -> "Event":
        return _chosen(event, redact)

    sentry_sdk.init(
        dsn=dsn,
        release=f"vmbot@{version}",
        before_send=chosen,
        default_integrations=False,
        auto_enabling_integrations=False,
        integrations=[LoggingIntegration(level=None, sentry_logs_level=None)],
        include_local_variables=False,
        include_source_context=False,
        auto_session_tracking=False,
        send_client_reports=False,
        max_breadcrumbs=0,
        server_name="",
        shutdown_timeout=_CLOSE_SECONDS,
    )
    return lambda: sentry_sdk.get_client().close(timeout=_CLOSE_SECONDS)


def _chosen(event: "Event", redact: Redactor) -> "Event":
    """Return what is sent of an event."""
    whole: Mapping[str, Any] = dict(event)
    kept: dict[str, Any] = {name: whole[name] for name in _KEPT if name in whole}
    for raised in kept.get("exception", {}).get("values", ()):
        raised.pop("mechanism", None)
        frames = (raised.get("stacktrace") or {}).get("frames", ())
        raised["stacktrace"] = {"frames": [{name: frame.get(name) for name in _OF_FRAMES} for frame in frames]}
    if request := logs.current():
        kept["tags"] = {"request": request}
    clean: Event = _clean(kept, redact)
    return clean


def _clean(value: Any, redact: Redactor) -> Any:  # noqa: ANN401 whatever JSON can hold
    match value:
        case str():
            return redact(value)
        case dict():
            return {key: _clean(each, redact) for key, each in value.items()}
        case list() | tuple():
            return [_clean(each, redact) for each in value]
    return value
