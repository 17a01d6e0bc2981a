"""The command line, as typed: what it answers, how fast, and with which exit code."""

import asyncio
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

from bot import __main__ as command_line
from bot import migrate
from bot.migrate import Schema

ROOT = Path(__file__).resolve().parents[1]


def run(folder: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the program in a folder without settings, and with these."""
    return subprocess.run(  # noqa: S603 our own program
        [sys.executable, "-W", "error", "-m", "bot", *arguments],
        cwd=folder,
        env={"PYTHONPATH": str(ROOT)} | environment,
        capture_output=True,
        text=True,
        check=False,
    )


def test_help_lists_the_commands_and_imports_nothing_large(tmp_path: Path) -> None:
    script = (
        "import sys; from bot.__main__ import main\n"
        "try: main(['--help'])\n"
        "except SystemExit: pass\n"
        "sys.exit(bool({'sqlalchemy', 'pydantic', 'telegram', 'stripe'} & set(sys.modules)))"
    )
    result = subprocess.run(  # noqa: S603 our own program
        [sys.executable, "-c", script], cwd=tmp_path, env={"PYTHONPATH": str(ROOT)}, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    for command in ("run", "migrate", "job", "doctor", "demo"):
        assert f"\n    {command} " in result.stdout


def test_jobs_are_those_of_the_contract(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        command_line.main(["job", "--help"])
    assert caught.value.code == 0
    shown = capsys.readouterr().out
    names = ["meter", "invoice", "settle", "remind", "reap", "reconcile", "deliver", "requests", "check"]
    assert list(command_line.JOBS) == names
    assert all(f"\n  {name} " in shown for name in names)


@pytest.mark.parametrize("arguments", [["job", "nope"], ["job"], ["nope"], ["--nope"]])
def test_a_wrong_call_is_refused(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        command_line.main(arguments)
    assert caught.value.code == 2
    assert "usage: python -m bot" in capsys.readouterr().err


def test_the_version_is_that_of_the_package(capsys: pytest.CaptureFixture[str]) -> None:
    assert command_line.main(["--version"]) == 0
    assert capsys.readouterr().out == f"{version('vmbot')}\n"


@pytest.mark.parametrize("arguments", [[], ["run"], ["job", "meter"], ["doctor"]])
def test_a_missing_setting_stops_the_start_with_one_line(tmp_path: Path, arguments: list[str]) -> None:
    result = run(tmp_path, *arguments, STRIPE_API_KEY="sk_test_demo")
    assert result.returncode == 2
    assert result.stdout == ""
    assert result.stderr == (
        "BOT_TOKEN is missing: expected the token that @BotFather gave: digits, a colon, letters\n"
    )


def test_a_secret_is_not_printed_when_it_is_malformed(tmp_path: Path) -> None:
    result = run(tmp_path, BOT_TOKEN="1:token", STRIPE_API_KEY="mistyped_secret")
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr == "STRIPE_API_KEY: expected a secret or restricted key of Stripe, sk_… or rk_…\n"


def test_migrate_needs_the_database_only_and_can_be_repeated(tmp_path: Path) -> None:
    for _ in range(2):
        result = run(tmp_path, "migrate", DATA_DIR="kept/here")
        assert result.returncode == 0, result.stderr
    url = f"sqlite+aiosqlite:///{tmp_path}/kept/here/vmbot.sqlite3"
    assert asyncio.run(migrate.state(url)) is Schema.CURRENT


def test_migrate_says_in_one_line_that_the_database_is_out_of_reach(tmp_path: Path) -> None:
    result = run(tmp_path, "migrate", DATABASE_URL="postgresql://me:hidden@127.0.0.1:1/shop")
    assert result.returncode == 1
    assert result.stderr.startswith("DATABASE_URL: postgresql+asyncpg://me:***@127.0.0.1:1/shop cannot be reached: ")
    assert result.stderr.count("\n") == 1
    assert "hidden" not in result.stderr


def test_a_job_says_in_one_line_that_there_is_no_folder_for_the_database(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    secrets = {"BOT_TOKEN": "1:a", "STRIPE_API_KEY": "sk_test_x", "COMPUTE": "simulated"}
    result = run(tmp_path, "job", "meter", DATABASE_URL=f"sqlite:///{tmp_path}/file/x.db", **secrets)
    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr == "DATABASE_URL: its folder cannot be made: File exists\n"


def test_move_is_one_command(tmp_path: Path) -> None:
    assert run(tmp_path, "migrate", DATA_DIR="old").returncode == 0
    moved = run(tmp_path, "move", "old/vmbot.sqlite3", DATA_DIR="new")
    assert moved.returncode == 0, moved.stderr
    assert moved.stdout == "9 rows are there, each compared with the source, and the books agree\n"
    for source, said in (
        ("none.sqlite3", "SOURCE: there is no file none.sqlite3\n"),
        (
            "mysql://me:hidden@there/shop",
            "SOURCE: expected sqlite:///FILE or postgresql://USER:PASSWORD@HOST/DATABASE\n",
        ),
    ):
        refused = run(tmp_path, "move", source, DATA_DIR="new")
        assert (refused.returncode, refused.stderr) == (2, said)
