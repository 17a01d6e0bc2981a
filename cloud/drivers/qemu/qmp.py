"""Says one thing to a running QEMU over its control socket."""

import asyncio
import os
from pathlib import Path

from qemu.qmp import QMPClient, QMPError

from cloud.drivers.base import TryAgain

_SECONDS = 5.0


async def tell(control: Path, command: str) -> object:
    """Send one command to the QEMU that listens at `control`, and return its answer.

    Raises:
        TryAgain: nobody answers there, or it refused.
    """
    client = QMPClient()
    try:
        # A socket's path holds 107 bytes, a machine's folder may be deeper: go through a handle of the folder.
        handle = os.open(control.parent, os.O_PATH | os.O_DIRECTORY)
        try:
            async with asyncio.timeout(_SECONDS):
                await client.connect(f"/proc/self/fd/{handle}/{control.name}")
                try:
                    return await client.execute(command)
                finally:
                    await client.disconnect()
        finally:
            os.close(handle)
    except (OSError, QMPError, EOFError, TimeoutError) as error:
        raise TryAgain(f"The machine's QEMU does not take {command!r} now.") from error
