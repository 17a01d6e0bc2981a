"""What this process has done since its start, counted as it goes; each process tells its own."""

import logging

from prometheus_client import CollectorRegistry, Counter, Histogram

PROCESS = CollectorRegistry()
ANSWERS = Histogram(
    "bot_answer_seconds",
    "Time from taking an update up to its answer.",
    ["kind"],
    buckets=(0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
    registry=PROCESS,
)
DROPPED = Counter("bot_updates_dropped_total", "Updates of people who flood, dropped unread.", registry=PROCESS)
_LOGGED = Counter("bot_log_messages_total", "Lines of the log that ask for attention.", ["level"], registry=PROCESS)
_WARNINGS, _ERRORS = _LOGGED.labels("warning"), _LOGGED.labels("error")


class Attention(logging.Handler):
    """Counts warnings and errors."""

    def emit(self, record: logging.LogRecord) -> None:
        """Count one."""
        (_ERRORS if record.levelno >= logging.ERROR else _WARNINGS).inc()
