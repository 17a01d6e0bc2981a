"""The product as one or more processes of its own between stand-ins in ours; processes may be killed at any time."""

import asyncio
import json
import os
import random
import signal
import socket
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
from sqlalchemy import func, select

from billing import checks
from billing.db import Database
from billing.models import JobRun
from billing.money import Currency
from bot.demo.clock import MovableClock
from bot.demo.mail import MailBox, serve_smtp
from bot.demo.stripe import StripeStandIn
from bot.demo.stripe.server import TEST_KEY
from bot.demo.telegram import ChatMessage, Person, Telegram
from bot.demo.telegram.serving import serving
from bot.jobs import CADENCE
from tests.crash import points
from tests.flows.world import ADMIN, VISA, is_quiet, session_of

ROOT = Path(__file__).resolve().parents[2]
_SECRET = "whsec_of_a_crash"
PATIENCE = 300.0
"""Seconds that a loaded machine may take for anything."""


class Zygote:
    """Begins processes of the product by fork."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self._began: asyncio.Queue[int] = asyncio.Queue()
        self._ended: dict[int, asyncio.Future[int]] = {}
        self._reading = asyncio.create_task(self._read())

    @classmethod
    async def start(cls, folder: Path) -> "Zygote":
        with (folder / "zygote.log").open("a") as log:
            return cls(
                await asyncio.create_subprocess_exec(
                    *(sys.executable, "-m", "tests.crash.zygote"),
                    cwd=ROOT,
                    stdin=asyncio.subprocess.PIPE,
                    stdout=asyncio.subprocess.PIPE,
                    stderr=log,
                )
            )

    async def begin(self, environment: Mapping[str, str], log: Path) -> int:
        assert self._process.stdin
        order = {"environment": dict(environment), "log": str(log)}
        self._process.stdin.write(json.dumps(order).encode() + b"\n")
        return await asyncio.wait_for(self._began.get(), PATIENCE)

    def end_of(self, pid: int) -> "asyncio.Future[int]":
        """The status with which a process ended, when it has."""
        return self._ended.setdefault(pid, asyncio.get_running_loop().create_future())

    async def stop(self) -> None:
        assert self._process.stdin
        self._process.stdin.close()
        await self._process.wait()
        await self._reading

    async def _read(self) -> None:
        assert self._process.stdout
        async for line in self._process.stdout:
            fact = json.loads(line)
            if "began" in fact:
                self._began.put_nowait(fact["began"])
            else:
                self.end_of(fact["ended"]).set_result(fact["status"])


class Commands:
    """Begins processes as an operator would: `python -m bot run`, imports and all."""

    def __init__(self) -> None:
        self._running: dict[int, asyncio.subprocess.Process] = {}

    async def begin(self, environment: Mapping[str, str], log: Path) -> int:
        with log.open("a") as out:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "bot", "run"), cwd=ROOT, env=dict(environment), stdout=out, stderr=out
            )
        self._running[process.pid] = process
        return process.pid

    def end_of(self, pid: int) -> "asyncio.Future[int]":
        """The status with which a process ended, when it has."""
        return asyncio.ensure_future(self._running[pid].wait())

    async def stop(self) -> None:
        """Nothing is left when its processes are."""


Starter = Zygote | Commands


class Replica:
    """One process of the product, begun again whenever it ends without having been told to."""

    def __init__(self, starter: Starter, environment: Mapping[str, str], log: Path) -> None:
        self._starter = starter
        self._environment = environment
        self._log = log
        self._wanted = True
        self._keeping: asyncio.Task[None] | None = None
        self.pid = 0
        self.kills = 0
        self.port = int(environment["LISTEN"].rpartition(":")[2])

    async def start(self) -> None:
        self._keeping = asyncio.create_task(self._keep())
        await self.answers()

    async def _keep(self) -> None:
        while True:
            self.pid = await self._starter.begin(self._environment, self._log)
            status = await self._starter.end_of(self.pid)
            if not self._wanted:
                return
            self.kills += 1
            if status >= 0 and status != points.STATUS:
                await asyncio.sleep(0.5)  # it gave up by itself

    async def answers(self) -> None:
        """Wait until it serves."""
        async with asyncio.timeout(PATIENCE), httpx.AsyncClient(trust_env=False) as client:
            while True:
                with suppress(httpx.TransportError):
                    if (await client.get(f"http://127.0.0.1:{self.port}/healthz")).is_success:
                        return
                await asyncio.sleep(0.02)

    def kill(self) -> None:
        """`kill -9`."""
        with suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)

    async def dies(self) -> None:
        """`kill -9`, and wait until it is dead; the next one begins."""
        pid = self.pid
        self.kill()
        await asyncio.shield(self._starter.end_of(pid))

    async def stop(self, number: int = signal.SIGTERM) -> int:
        """Tell it to stop, and return how it ended."""
        self._wanted = False
        with suppress(ProcessLookupError):
            os.kill(self.pid, number)
        status = await asyncio.wait_for(asyncio.shield(self._starter.end_of(self.pid)), PATIENCE)
        if self._keeping:
            await self._keeping
        return status


class Balancer:
    """What stands before replicas: passes each connection on to one that answers."""

    def __init__(self) -> None:
        self.ports: list[int] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for port in random.sample(self.ports, len(self.ports)):
            with suppress(OSError):
                back = await asyncio.open_connection("127.0.0.1", port)
                await asyncio.gather(_pass(reader, back[1]), _pass(back[0], writer))
                return
        writer.close()


async def _pass(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    writer.close()


@dataclass
class House:
    """The processes and what is around them."""

    telegram: Telegram
    stripe: StripeStandIn
    clock: MovableClock
    database: Database
    folder: Path
    environment: dict[str, str]
    starter: Starter
    balancer: Balancer
    box: MailBox
    replicas: list[Replica] = field(default_factory=list)

    @property
    def app(self) -> "House":
        """Ourselves: helpers of the flows' tests find database and clock where an application has them."""
        return self

    @property
    def armed(self) -> Path:
        return self.folder / "armed"

    @property
    def kills(self) -> int:
        return sum(replica.kills for replica in self.replicas)

    async def add_replica(self, **more: str) -> Replica:
        port = free_port()
        environment = self.environment | {"LISTEN": f"127.0.0.1:{port}"} | more
        replica = Replica(self.starter, environment, self.folder / f"product-{len(self.replicas)}.log")
        self.replicas.append(replica)
        await replica.start()
        self.balancer.ports.append(port)
        return replica

    def person(self, person_id: int = 1, name: str = "Ann") -> Person:
        return self.telegram.person(person_id, name)

    @property
    def admin(self) -> Person:
        return self.telegram.person(ADMIN, "Olga")

    def pay_page(self, message: ChatMessage, card: str = VISA) -> None:
        """Type a card on the payment page that a message links to."""
        self.stripe.control.pay(session_of(message), card=card)

    async def move(self, by: timedelta) -> None:
        """Move the clock; jobs begin by themselves."""
        self.clock.move(by)
        self.stripe.control.tick()
        await self.settled()

    async def settled(self) -> None:
        """Wait until nothing is left to do or to say."""
        quiet = 0  # what happens between two looks is seen by the second
        try:
            async with asyncio.timeout(PATIENCE):
                while quiet < 2:
                    quiet = quiet + 1 if await self.is_quiet() else 0
                    await asyncio.sleep(0.15)
        except TimeoutError:
            async with self.database.read() as session:
                runs = [
                    (run.name, run.tick_at, run.leased_by, run.error) for run in await session.scalars(select(JobRun))
                ]
            raise TimeoutError(f"it does not come to rest at {self.clock.now()}; its jobs: {runs}") from None

    async def is_quiet(self) -> bool:
        """Whether nothing is left to do or to say now."""
        async with self.database.read() as session:
            failed = await session.scalar(select(func.count()).select_from(JobRun).where(JobRun.error != ""))
        quiet = await is_quiet(self.database, CADENCE, now=self.clock.now())
        return quiet and not failed and not self.telegram.state.updates.pending  # a job that failed comes again

    async def check(self) -> None:
        """What must always be true of the books is true."""
        async with self.database.read() as session:
            found = await checks.differences(session, currency=Currency.of("usd"))
            found += await checks.usage_differences(session)
        assert not found, found

    def machines(self) -> list[str]:
        """Host names of all machines there are."""
        files = (self.folder / "data").rglob("*.json")
        return [str(json.loads(file.read_text()).get("spec", {}).get("hostname", file.stem)) for file in files]


@asynccontextmanager
async def open_house(
    folder: Path, database_url: str, *, webhook: bool = True, starter: Starter | None = None, **more: str
) -> AsyncIterator[House]:
    """Stand-ins, a database and what begins processes, by fork unless told otherwise; no replica yet."""
    clock = MovableClock(folder / "clock")

    def seconds() -> int:
        return int(clock.now().timestamp())

    telegram = Telegram(now=seconds, retry_s=0.05, query_s=PATIENCE)
    stripe = StripeStandIn(now=seconds)
    balancer = Balancer()
    front = await asyncio.start_server(balancer.serve, "127.0.0.1", 0)
    public = f"http://127.0.0.1:{front.sockets[0].getsockname()[1]}"
    database = Database(database_url)
    box = MailBox(folder / "mail")
    starter = starter or await Zygote.start(folder)
    async with (
        telegram.serving() as telegram_url,
        serving(stripe.app, before_stop=None) as stripe_url,
        serve_smtp(box) as smtp,
    ):
        stripe.base_url = stripe_url
        await stripe.start()
        stripe.control.add_webhook(f"{public}/stripe", _SECRET)
        environment: dict[str, Any] = {
            "PATH": os.environ["PATH"],
            "PYTHONDONTWRITEBYTECODE": "1",
            "BOT_TOKEN": telegram.token,
            "TELEGRAM_API_URL": telegram_url,
            "STRIPE_API_KEY": TEST_KEY,
            "STRIPE_API_URL": stripe_url,
            "STRIPE_WEBHOOK_SECRET": _SECRET,
            "DATABASE_URL": database_url,
            "DATA_DIR": str(folder / "data"),
            "CLOCK_FILE": str(folder / "clock"),
            "ADMIN_IDS": str(ADMIN),
            "COMPUTE": "simulated",
            "SELLER_NAME": "VM Shop",
            "SMTP_URL": f"smtp://127.0.0.1:{smtp}",
            "MAIL_FROM": "shop@example.com",
            "CRASH_ARMED": str(folder / "armed"),
            **({"PUBLIC_URL": public} if webhook else {}),
            **more,
        }
        house = House(telegram, stripe, clock, database, folder, environment, starter, balancer, box)
        try:
            yield house
        finally:
            for replica in house.replicas:
                if replica._wanted:
                    await replica.stop(signal.SIGKILL)
            await starter.stop()
            front.close()
            await stripe.close()
            await database.close()


def say(figures: str) -> None:
    """Print what a rig has counted; `make crash` shows it."""
    print(f"\n  {figures}")  # noqa: T201 what it is for


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
