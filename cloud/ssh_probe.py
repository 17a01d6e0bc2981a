"""Does a machine's SSH server answer, and with the host key that we gave it?"""

import asyncio
from enum import StrEnum

import asyncssh

from cloud.ssh_keys import fingerprint


class Answer(StrEnum):
    """What an SSH server showed."""

    SILENT = "silent"
    """Nothing that speaks SSH answered in time."""
    OTHER_KEY = "other key"
    """Something answered, but not the machine that we made."""
    OUR_KEY = "our key"


async def probe_host_key(host: str, port: int, public: str, *, seconds: float = 10.0) -> Answer:
    """Return whether the SSH server at `host`:`port` shows the host key whose public line is `public`.

    Logs in nowhere: the connection ends after the key exchange. Takes at most `seconds`.
    """
    try:
        async with asyncio.timeout(seconds):
            key = await asyncssh.get_server_host_key(
                host, port, config=[], server_host_key_algs=[public.split(maxsplit=1)[0]]
            )
    except asyncssh.KeyExchangeFailed:
        return Answer.OTHER_KEY  # it has no key of our type at all
    except (OSError, asyncssh.Error, TimeoutError):
        return Answer.SILENT
    if key is None:
        return Answer.SILENT
    same = key.get_fingerprint() == fingerprint(public)
    return Answer.OUR_KEY if same else Answer.OTHER_KEY
