"""Products by fork: everything is imported once, and each process begins in a moment, as often as it is killed.

Reads a line of JSON for each process to begin, `{"environment": …, "log": …}`, from standard input, and writes
`{"began": pid}` and, when one ends, `{"ended": pid, "status": …}`. Ends, and has all of them end, with its parent.
"""

import ctypes
import json
import os
import selectors
import signal
import ssl
import sys
import traceback
from types import ModuleType
from unittest import mock

from sqlalchemy.orm import configure_mappers

from bot import doctor, menu, pace  # noqa: F401 imported here, once for all
from bot.__main__ import main
from bot.app import App
from bot.settings import Settings
from tests.crash import points

_END_WITH_PARENT = 1  # PR_SET_PDEATHSIG
_SOME_SETTINGS = {
    "BOT_TOKEN": "1:none",
    "STRIPE_API_KEY": "sk_test_none",
    "DATABASE_URL": "postgresql+asyncpg://nobody@127.0.0.1:1/nothing",
    "COMPUTE": "simulated",
    "SELLER_NAME": "Nobody",
    "ADMIN_IDS": "1",
}


def warm_up() -> None:
    """Do once what each process would do again: much is imported when it is first needed."""
    # All that these processes talk to speaks plain HTTP: the list of all authorities is not read for it.
    ssl.SSLContext.load_verify_locations = lambda *_, **__: None  # type: ignore[method-assign]
    # Twenty requests at each start that belong to no flow, and a second between two messages: half of each life.
    menu.publish = _nothing
    pace._CHAT_SECONDS = 0.1
    configure_mappers()
    with mock.patch.dict(os.environ, _SOME_SETTINGS, clear=True):
        App(Settings.load())


async def _nothing(*_: object, **__: object) -> None:
    pass


def serve() -> None:
    """Begin processes until the input ends."""
    _end_with_parent()
    warm_up()
    alarm, ring = os.pipe()
    os.set_blocking(ring, False)
    signal.set_wakeup_fd(ring)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    waiting = selectors.DefaultSelector()
    waiting.register(sys.stdin.fileno(), selectors.EVENT_READ)
    waiting.register(alarm, selectors.EVENT_READ)
    text = b""
    while True:
        for key, _ in waiting.select():
            data = os.read(key.fd, 65536)
            if key.fd == alarm:
                _reap()
                continue
            if not data:
                return
            *lines, text = (text + data).split(b"\n")
            for line in lines:
                _begin(json.loads(line))


def _begin(order: dict[str, object]) -> None:
    pid = os.fork()
    if pid:
        _say({"began": pid})
        return
    try:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        _end_with_parent()
        log = os.open(str(order["log"]), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        nothing = os.open(os.devnull, os.O_RDONLY)
        for number, source in enumerate((nothing, log, log)):
            os.dup2(source, number)
        os.environ.clear()
        os.environ.update({str(key): str(value) for key, value in dict(order["environment"]).items()})  # type: ignore[call-overload]
        # What typesets is a process that imports the program that began it: none of ours is needed there.
        sys.modules["__main__"] = ModuleType("__main__")
        points.install()
        code = main(["run"])
    except BaseException:  # noqa: BLE001 nothing may go on from here
        traceback.print_exc()
        code = 70
    os._exit(code)


def _reap() -> None:
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if not pid:
            return
        _say({"ended": pid, "status": os.waitstatus_to_exitcode(status)})


def _say(fact: dict[str, int]) -> None:
    sys.stdout.write(json.dumps(fact) + "\n")
    sys.stdout.flush()


def _end_with_parent() -> None:
    ctypes.CDLL(None).prctl(_END_WITH_PARENT, signal.SIGKILL)


if __name__ == "__main__":
    serve()
