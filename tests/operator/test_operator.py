"""A new operator's first months, from outside: install, sell, back up, upgrade, restore, move to PostgreSQL."""

import asyncio
import subprocess
import sys
import zipfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest

from billing.clock import SystemClock
from bot.demo.telegram import Person
from tests.flows.world import ADMIN, KEY, Surroundings, session_of, surroundings
from tests.operator.installation import Installation, Missing, build, checked_out

pytestmark = pytest.mark.slow

Settings = dict[str, str]
PATIENCE = 120


@pytest.fixture(scope="session")
def older(commit: str, installed: Installation, tmp_path_factory: pytest.TempPathFactory) -> Installation:
    """The program as it was at the commit before, with the libraries of the one of now."""
    folder = tmp_path_factory.mktemp("older")
    try:
        wheel = build(checked_out(f"{commit}~1", folder / "clone"), folder)
    except Missing as missing:
        pytest.skip(str(missing))
    environment = folder / "environment"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", environment], check=True)  # noqa: S603 our own words
    where = "import sysconfig; print(sysconfig.get_path('purelib'))"
    libraries = Path(installed.script(where))
    ours = Path(Installation(environment, folder).script(where))
    with zipfile.ZipFile(wheel) as packed:
        packed.extractall(ours)
    (ours / "libraries.pth").write_text(f"{libraries}\n")  # looked into after our own
    return Installation(environment, folder)


def settings_of(around: Surroundings, folder: Path, port: int) -> Settings:
    """What an operator writes into `.env`."""
    made = around.settings(folder, f"sqlite:///{folder / 'data' / 'vmbot.sqlite3'}")
    return {
        "BOT_TOKEN": made.bot_token.get_secret_value(),
        "TELEGRAM_API_URL": made.telegram_api_url,
        "STRIPE_API_KEY": made.stripe_api_key.get_secret_value(),
        "STRIPE_API_URL": made.stripe_api_url,
        "ADMIN_IDS": str(ADMIN),
        "COMPUTE": "simulated",
        "LISTEN": f"127.0.0.1:{port}",
        "DATA_DIR": str(folder / "data"),
    }


async def works(program: Installation, *arguments: str, settings: Settings) -> str:
    """Run a command that has to succeed, and return what it printed; the stand-ins go on answering."""
    result = await asyncio.to_thread(program.run, *arguments, settings=settings)
    assert result.returncode == 0, f"{arguments}: {result.stdout}{result.stderr}"
    return result.stdout


@asynccontextmanager
async def serving(program: Installation, settings: Settings) -> AsyncIterator[None]:
    """The program while it runs, from its first answer on; stopped as a service is."""
    async with program.running("run", settings=settings) as process, httpx.AsyncClient(trust_env=False) as client:
        for _ in range(10 * PATIENCE):
            assert process.returncode is None, "the program ended"
            try:
                if (await client.get(f"http://{settings['LISTEN']}/readyz")).status_code == 200:
                    break
            except httpx.TransportError:
                pass
            await asyncio.sleep(0.1)
        yield


async def sees(person: Person, command: str, *parts: str) -> None:
    await person.send(command)
    await person.wait_for_text(*parts, timeout_s=PATIENCE)


async def test_the_first_months(
    older: Installation, installed: Installation, empty_postgres_url: str, tmp_path: Path
) -> None:
    """Whatever is done to the database, Ann finds her machine and the books agree."""
    before, now = older.within(tmp_path), installed.within(tmp_path)
    async with surroundings(SystemClock()) as around:
        server = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0)
        settings = settings_of(around, tmp_path, server.sockets[0].getsockname()[1])
        server.close()
        ann = around.telegram.person(1, "Ann")

        # The version before: a customer, a card, a machine.
        await works(before, "migrate", settings=settings)
        async with serving(before, settings):
            await ann.start()
            await sees(ann, f"/sshkey {KEY}", "Key added")
            await sees(ann, "/addcard", "payment page")
            around.stripe.control.pay(session_of(ann.last))
            await ann.wait_for_text("is saved", timeout_s=PATIENCE)
            await sees(ann, "/deploy vm small web", "held until")
            await ann.press("Deploy web")
            await ann.wait_for_text("success", timeout_s=PATIENCE)

        # Upgrade, with a copy first.
        await works(now, "backup", "monday.sqlite3", settings=settings)
        await works(now, "migrate", settings=settings)
        assert "FAIL" not in await works(now, "doctor", settings=settings)
        async with serving(now, settings):
            await sees(ann, "/vms", "web", "success")
            await sees(ann, "/apply 5 for a course", "5")
        await works(now, "job", "check", settings=settings)

        # A mistake: back to Monday, before Ann asked for anything.
        await works(now, "restore", "monday.sqlite3", settings=settings)
        await works(now, "job", "check", settings=settings)
        await works(now, "job", "meter", settings=settings)

        # The business has grown.
        larger = settings | {"DATABASE_URL": empty_postgres_url.replace("+asyncpg", "")}
        assert "the books agree" in await works(now, "move", "data/vmbot.sqlite3", settings=larger)
        assert "postgresql, schema current" in await works(now, "doctor", settings=larger)
        await works(now, "backup", "tuesday.dump", settings=larger)
        async with serving(now, larger):
            await sees(ann, "/usage", "web")
        await works(now, "restore", "tuesday.dump", settings=larger)
        await works(now, "job", "check", settings=larger)
        async with serving(now, larger):
            await sees(ann, "/cards", "Visa •4242")
