"""What a stranger installs has everything in it: tried in an empty environment outside the checkout."""

import asyncio
import json
import re
import subprocess
import zipfile
from importlib.metadata import version
from pathlib import Path

import httpx
import pytest

from tests.operator.installation import Installation

pytestmark = pytest.mark.slow

SETTINGS = {
    "BOT_TOKEN": "123456:a_token_of_nobodys",
    "STRIPE_API_KEY": "sk_test_nobodys",
    "TELEGRAM_API_URL": "http://127.0.0.1:9",
    "STRIPE_API_URL": "http://127.0.0.1:9",
    "COMPUTE": "simulated",
}
DEMO_SECONDS = 120


def test_every_file_of_the_packages_is_in_the_wheel(source: Path, wheel: Path) -> None:
    """Migrations, templates, catalogues, pages of the demo, scripts for machines."""
    listed = [path for name in ("billing", "bot", "cloud", "alembic") for path in (source / name).rglob("*")]
    wanted = {re.sub("^alembic/", "bot/alembic/", str(path.relative_to(source))) for path in listed if path.is_file()}
    with zipfile.ZipFile(wheel) as packed:
        assert wanted - set(packed.namelist()) == set()
    assert len(wanted) > 300


def test_it_runs_from_the_environment_and_not_from_the_checkout(installed: Installation) -> None:
    found = Path(installed.script("import bot, billing, cloud; print(bot.__file__)"))
    assert found.is_relative_to(installed.environment)
    assert installed.run("--version", settings={}).stdout == f"{version('vmbot')}\n"
    script = subprocess.run(  # noqa: S603 our own program
        [installed.environment / "bin" / "vmbot", "--version"], capture_output=True, text=True, check=True
    )
    assert script.stdout == f"{version('vmbot')}\n"


def test_migrate_and_doctor_and_a_job(installed: Installation, tmp_path: Path) -> None:
    """Telegram and Stripe do not answer here, which is what doctor has to say."""
    here = installed.within(tmp_path)
    migrated = here.run("migrate", settings={})
    assert migrated.returncode == 0, migrated.stderr
    doctor = here.run("doctor", settings=SETTINGS)
    assert doctor.returncode == 1
    lines = dict(re.findall(r"^(?:ok|FAIL) +(\w+): (.*)$", doctor.stdout, flags=re.MULTILINE))
    assert lines["database"] == "sqlite, schema current", doctor.stdout + doctor.stderr
    assert lines["telegram"].startswith("TELEGRAM_API_URL does not answer")
    assert here.run("job", "meter", settings=SETTINGS).returncode == 0


def test_documents_words_and_scripts_are_found(installed: Installation) -> None:
    """What the program reads from files of its own when it is asked for them."""
    code = """
from datetime import date
from bot.charts import Bar, Chart, draw
from bot.i18n import _, speaking
from bot.invoice_pdf import InvoiceDocument, Line, Party, render_invoice
from cloud import k3s
party, line = Party(name="Ann"), Line(name="web", item="small", amount="$1.00")
with speaking("ar"):
    print(_("Deployment") != "Deployment")
print(draw([Chart("x", (Bar("a", 1),))])[:4] == b"\\x89PNG")
document = InvoiceDocument(kind="invoice", number="1", issued=date(2026, 2, 1), currency="USD", seller=party,
    customer=party, lines=(line,), net="$1.00", total="$1.00")
print(render_invoice(document)[:4] == b"%PDF")
print((k3s.Path(k3s.__file__).parent / "k3s.sh").is_file())
"""
    assert installed.script(code).split() == ["True"] * 4


async def test_the_demo_starts_there(installed: Installation, tmp_path: Path) -> None:
    """With its chat page, and a product that answers a customer."""
    here = installed.within(tmp_path)
    async with here.running("demo", "--folder", "demo", settings={"COMPUTE": "simulated"}) as process:
        assert process.stdout is not None
        url = ""
        async with asyncio.timeout(DEMO_SECONDS):
            while not url:
                line = (await process.stdout.readline()).decode()
                assert line, "the demo ended"
                found = re.search(r"Open (http://\S+)", line)
                url = found[1] if found else ""
        async with httpx.AsyncClient(trust_env=False, timeout=30) as client:
            page = await client.get(url)
            assert "Add a person" in page.text
            for name in re.findall(r'(?:src|href)="([^"#:]+)"', page.text):
                assert (await client.get(f"{url}/{name.lstrip('/')}")).status_code == 200, name
            await client.post(f"{url}/telegram/client/people/1001/start", json={})
            assert await greeted(client, url)


async def greeted(client: httpx.AsyncClient, url: str) -> bool:
    """Wait for the product's answer in Ann's chat."""
    for _ in range(DEMO_SECONDS * 10):
        answer = await client.get(f"{url}/telegram/client/chats/1001", params={"person": 1001})
        if "Hello" in json.dumps(answer.json()):
            return True
        await asyncio.sleep(0.1)
    return False
