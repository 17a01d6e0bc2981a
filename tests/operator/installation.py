"""The product as an operator gets it: a wheel, in an environment of its own, far from any checkout."""

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
NO_INDEX = ("No matching distribution found", "Could not find a version that satisfies the requirement")
"""What pip says where no package index answers."""


class Missing(Exception):
    """The product cannot be installed here; the message says why."""


@dataclass(frozen=True)
class Installation:
    """An environment with the product in it, and the folder that its commands are typed in."""

    environment: Path
    folder: Path

    @property
    def python(self) -> Path:
        """Its interpreter."""
        return self.environment / "bin" / "python"

    def within(self, folder: Path) -> "Installation":
        """The same program, typed in another folder."""
        folder.mkdir(parents=True, exist_ok=True)
        return Installation(self.environment, folder)

    def run(self, *arguments: str, settings: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
        """Run `python -m bot` with these settings and no others."""
        return subprocess.run(  # noqa: S603 our own program
            [self.python, "-m", "bot", *arguments],
            cwd=self.folder,
            env=environment(settings),
            capture_output=True,
            text=True,
            check=False,
        )

    def script(self, code: str) -> str:
        """Run a piece of Python, and return what it prints."""
        result = subprocess.run(  # noqa: S603 our own program
            [self.python, "-c", code],
            cwd=self.folder,
            env=environment({}),
            capture_output=True,
            text=True,
            check=False,
        )
        assert result.returncode == 0, result.stderr
        return result.stdout.strip()

    @asynccontextmanager
    async def running(self, *arguments: str, settings: Mapping[str, str]) -> AsyncIterator[asyncio.subprocess.Process]:
        """The program while the context lasts; its standard output can be read. Ended by SIGTERM."""
        process = await asyncio.create_subprocess_exec(
            self.python, "-m", "bot", *arguments,
            cwd=self.folder, env=environment(settings), stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
        )  # fmt: skip
        try:
            yield process
        finally:
            if process.returncode is None:
                process.terminate()
            await asyncio.wait_for(process.wait(), 60)


def environment(settings: Mapping[str, str]) -> dict[str, str]:
    """An environment that knows nothing of the checkout."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "TMPDIR") if name in os.environ}
    return {**kept, "PYTHONDONTWRITEBYTECODE": "1", **settings}


def newest_commit() -> str:
    """The name of what is committed last."""
    return git("rev-parse", "HEAD").decode().strip()


def checked_out(commit: str, into: Path) -> Path:
    """What a stranger gets who clones the repository at a commit: nothing that is not committed."""
    into.mkdir(parents=True)
    packed = git("archive", "--format=tar", commit)
    subprocess.run(["tar", "-x", "-C", into], input=packed, check=True)  # noqa: S603, S607 whichever tar is here
    return into


def git(*arguments: str) -> bytes:
    """What git says of this checkout.

    Raises:
        Missing: it is none, or git does not know.
    """
    result = subprocess.run(  # noqa: S603 our own words
        ["git", *arguments],  # noqa: S607 whichever git is here
        cwd=ROOT,
        capture_output=True,
        check=False,
    )
    if result.returncode:
        raise Missing(f"this is no checkout that can do git {' '.join(arguments)}")
    return result.stdout


def build(source: Path, into: Path) -> Path:
    """Build the wheel of a checkout."""
    _pip(Path(sys.executable), "wheel", "--no-deps", "--wheel-dir", str(into), str(source))
    (wheel,) = into.glob("*.whl")
    return wheel


def install(wheel: Path, environment_: Path, *extras: str, folder: Path) -> Installation:
    """Make an empty environment and install a wheel into it, at the versions that were tested."""
    subprocess.run([sys.executable, "-m", "venv", environment_], check=True)  # noqa: S603 our own words
    python = environment_ / "bin" / "python"
    wanted = f"{wheel}[{','.join(extras)}]" if extras else str(wheel)
    _pip(python, "install", "--constraint", str(ROOT / "constraints.txt"), wanted)
    return Installation(environment_, folder)


def _pip(python: Path, command: str, *arguments: str) -> None:
    flags = ["--quiet", "--no-input", "--disable-pip-version-check"]
    result = subprocess.run(  # noqa: S603 our own words
        [python, "-m", "pip", command, *flags, *arguments], capture_output=True, text=True, check=False
    )
    if any(words in result.stderr for words in NO_INDEX):
        raise Missing("no package index answers here")
    assert result.returncode == 0, result.stderr
