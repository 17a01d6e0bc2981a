"""Serves cloudalone, whose machines are rows in its database.

Run by the interpreter of cloudalone's own environment, in an empty folder: `hetzner.py PORT`. Prints its address
when it listens. cloudalone imports libvirt wherever it runs, which is needed only for machines that are real.
"""

import asyncio
import os
import sys
from types import ModuleType

import uvicorn

TOKEN = "stand-in"


async def main(port: int) -> None:
    """Make the tables and serve until killed."""
    sys.modules["libvirt"] = ModuleType("libvirt")
    os.environ |= {"CLOUDALONE_TOKEN": TOKEN, "CLOUDALONE_DB": "cloudalone.sqlite", "CLOUDALONE_BACKEND": "stub"}
    from cloudalone import db, models  # noqa: PLC0415 they read the environment at once
    from cloudalone.app import app  # noqa: PLC0415

    async with db.alchemy_config.get_engine().begin() as connection:
        await connection.run_sync(models.Server.metadata.create_all)
    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=port, log_level="warning"))
    serving = asyncio.create_task(server.serve())
    while not server.started:  # noqa: ASYNC110 it tells nobody
        await asyncio.sleep(0.05)
    port = server.servers[0].sockets[0].getsockname()[1]
    print(f"http://127.0.0.1:{port}/v1", flush=True)  # noqa: T201 whoever started it reads this
    await serving


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1])))
