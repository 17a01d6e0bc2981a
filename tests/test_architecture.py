"""The house holds: sizes of rooms, who imports whom, where clocks are read, and what must not be committed.

Each rule is a small function from text to complaints. It is held against the project and against an example
that breaks it, so that a rule which can no longer fail is noticed.
"""

import ast
import re
import shutil
import statistics
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("bot", "billing", "cloud")

MAX_MODULE_LINES = 400
MAX_FUNCTION_LINES = 70
MAX_MEDIAN_LINES = 12

WALL_CLOCKS = {
    "datetime.datetime.now",
    "datetime.datetime.utcnow",
    "datetime.datetime.today",
    "datetime.date.today",
    "time.time",
    "time.time_ns",
    "sqlalchemy.func.now",
    "sqlalchemy.func.current_timestamp",
}
CLOCK_READERS = {
    "billing/clock.py": "the one injected clock",
    "bot/demo/": "stand-ins are other people's machines, with clocks of their own",
    "cloud/drivers/": "time-outs and process start times are the host's; no money depends on them",
}
"""Files or folders that may read the wall clock, and why."""

ONLY_IN = {
    "stripe": ("billing/stripe_calls.py", "billing/stripe_gateway.py", "bot/demo/stripe", "tests/"),
    "qemu.qmp.legacy": (),  # GPL-2.0 only: docs/decisions/0001
}
"""Module -> the places that may import it."""

SECRETS = {
    "a Stripe key": r"\b[sr]k_live_\w|\b[sr]k_test_\w{24}|\bwhsec_\w{32}",
    "a bot token": r"\b\d{8,10}:AA[\w-]{33}\b",
    "a private key": r"-----BEGIN [A-Z ]*PRIVATE KEY-----\n[\w+/=]{40}",
    "a cloud key": r"\bAKIA[A-Z0-9]{16}\b|\bgh[pousr]_\w{36}\b",
    "a package registry": r"\bpypi\.org|\bpythonhosted\.org|\bnpmjs\.(?:org|com)|--(?:extra-)?index-url|--find[-]links",
    "a machine path": r"/(?:opt/(?:pypi|wheels)|work/(?:main|shared)|root/\.\w+/versions|(?:home|Users)/\w+/src)\b",
}
"""What must not be committed -> how it looks."""


# --- the rules


def long_functions(source: str) -> Iterator[str]:
    """Functions of more than 70 lines, signature and docstring included."""
    for name, lines in function_lengths(source):
        if lines > MAX_FUNCTION_LINES:
            yield f"{name} has {lines} lines"


def function_lengths(source: str) -> Iterator[tuple[str, int]]:
    """Each function of a module with its number of lines, from `def` to the end."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node.name, (node.end_lineno or node.lineno) - node.lineno + 1


def imported(source: str, module: str) -> Iterator[str]:
    """Every dotted name that a module imports; `module` is its own dotted name, for relative imports."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parents = module.split(".")[: -node.level]
                base = ".".join([*parents, *([base] if base else [])])
            yield from (f"{base}.{alias.name}" for alias in node.names)


def within(name: str, package: str) -> bool:
    """Whether a dotted name is a package or something in it."""
    return name == package or name.startswith(package + ".")


def feature_of(module: str) -> str | None:
    """The feature that a dotted name belongs to: `deploy`, `admin.prices`; none outside `bot.features`."""
    parts = module.split(".")
    if parts[:2] != ["bot", "features"] or len(parts) < 3:
        return None
    return ".".join(parts[2:4] if parts[2] == "admin" else parts[2:3])


def feature_imports(source: str, module: str) -> Iterator[str]:
    """Features that another feature imports (habit 5)."""
    own = feature_of(module)
    for name in imported(source, module):
        other = feature_of(name)
        if own and other and other != own:
            yield f"{module} imports {name}"


def impure_imports(source: str, module: str) -> Iterator[str]:
    """What a view imports of the database (habit 5)."""
    for name in imported(source, module):
        if within(name, "sqlalchemy") or within(name, "billing.db"):
            yield f"{module} imports {name}"


def misplaced_imports(source: str, path: str) -> Iterator[str]:
    """Imports of libraries that only one place may touch."""
    for name in imported(source, path.removesuffix(".py").replace("/", ".")):
        for library, places in ONLY_IN.items():
            if within(name, library) and not path.startswith(places):
                yield f"{path} imports {name}"


def clock_reads(source: str) -> Iterator[str]:
    """Reads of the wall clock, under whatever name it was imported (rule 1.3)."""
    tree = ast.parse(source)
    names: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.asname or alias.name: alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names |= {alias.asname or alias.name: f"{node.module}.{alias.name}" for alias in node.names}
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute | ast.Name):
            first, _, rest = ast.unparse(node).partition(".")
            full = ".".join(filter(None, [names.get(first, first), rest]))
            if full in WALL_CLOCKS:
                yield f"line {node.lineno}: {full}"


def leaks(text: str) -> Iterator[str]:
    """Secrets, registries and machine paths in a text."""
    for what, pattern in SECRETS.items():
        for match in re.finditer(pattern, text):
            yield f"{what}: {match[0][:12]}…"


def example_settings(text: str) -> set[str]:
    """Names that an `.env` file sets or shows commented out."""
    return set(re.findall(r"^(?:# ?)?([A-Z][A-Z0-9_]*)=", text, re.MULTILINE))


# --- held against the project


def tracked() -> list[Path]:
    """Files of the project: what git tracks, or, outside a checkout, what is there."""
    git = shutil.which("git")
    if git and (ROOT / ".git").exists():
        # safe.directory: a checkout may belong to another user than the one who tests it.
        command = [git, "-c", f"safe.directory={ROOT}", "-C", str(ROOT), "ls-files", "-z"]
        listed = subprocess.run(command, check=True, capture_output=True, text=True).stdout  # noqa: S603 - ours
        paths = [ROOT / name for name in listed.split("\0") if name]
    else:
        paths = [path for path in ROOT.rglob("*") if not any(part[0] == "." for part in path.parts[1:])]
    return [path for path in paths if path.is_file()]


def modules(*folders: str) -> dict[str, str]:
    """Path inside the project -> source, for the Python files of some folders."""
    paths = (path for folder in folders for path in sorted((ROOT / folder).rglob("*.py")))
    return {path.relative_to(ROOT).as_posix(): path.read_text() for path in paths}


def dotted(path: str) -> str:
    return path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")


def test_modules_are_small_rooms() -> None:
    crowded = {
        path: source.count("\n")
        for path, source in modules(*PACKAGES, "tests", "benchmarks", "alembic").items()
        # A migration is as long as what it changes.
        if source.count("\n") > MAX_MODULE_LINES and not path.startswith("alembic/versions/")
    }
    assert not crowded


def test_functions_are_short() -> None:
    found = {path: list(long_functions(source)) for path, source in modules(*PACKAGES, "tests").items()}
    assert not {path: names for path, names in found.items() if names}


def test_the_median_function_is_near_ten_lines() -> None:
    lengths = [lines for source in modules(*PACKAGES).values() for _, lines in function_lengths(source)]
    assert statistics.median(lengths or [0]) <= MAX_MEDIAN_LINES


def test_features_do_not_import_features() -> None:
    sources = modules("bot/features")
    assert not [line for path, source in sources.items() for line in feature_imports(source, dotted(path))]


def test_views_know_no_database() -> None:
    sources = modules("bot/views")
    assert not [line for path, source in sources.items() for line in impure_imports(source, dotted(path))]


def test_guarded_libraries_are_imported_in_their_place_only() -> None:
    sources = modules(*PACKAGES, "tests")
    assert not [line for path, source in sources.items() for line in misplaced_imports(source, path)]


def test_the_wall_clock_is_read_at_the_edges_only() -> None:
    found = {
        path: list(clock_reads(source))
        for path, source in modules(*PACKAGES).items()
        if not path.startswith(tuple(CLOCK_READERS))
    }
    assert not {path: lines for path, lines in found.items() if lines}


def test_alembic_folder_does_not_hide_the_library() -> None:
    assert not (ROOT / "alembic" / "__init__.py").exists()


def test_nothing_secret_or_local_is_committed() -> None:
    found = {}
    for path in tracked():
        text = path.read_bytes().decode("utf-8", errors="replace")
        if complaints := list(leaks(text)):
            found[str(path.relative_to(ROOT))] = complaints
    assert not found


def test_the_changelog_has_a_place_for_what_comes() -> None:
    assert "\n## [Unreleased]\n" in (ROOT / "CHANGELOG.md").read_text()


def test_the_example_shows_every_setting() -> None:
    settings = pytest.importorskip("bot.settings", reason="the settings class is not built yet").Settings
    names = {
        str(field.validation_alias or field.alias or name).upper() for name, field in settings.model_fields.items()
    }
    assert example_settings((ROOT / ".env.example").read_text()) == names


def lint_imports(folder: Path) -> subprocess.CompletedProcess[str]:
    """import-linter over a folder that has a `pyproject.toml`."""
    command = [str(Path(sys.executable).with_name("lint-imports")), "--no-logo", "--no-cache"]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)  # noqa: S603 - ours


def test_imports_go_downwards_only() -> None:
    result = lint_imports(ROOT)
    assert result.returncode == 0, result.stdout


# --- held against bad examples


@pytest.mark.parametrize(
    ("rule", "bad", "good"),
    [
        (long_functions, "def f():\n" + "    x = 1\n" * 70, "def f():\n" + "    x = 1\n" * 69),
        (clock_reads, "from datetime import datetime as d\nd.now()", "def f(now): return now.datetime.now"),
        (clock_reads, "import datetime as dt\ndt.datetime.utcnow()", "import datetime as dt\ndt.datetime(1, 1, 1)"),
        (clock_reads, "from time import time\ntime()", "from time import monotonic\nmonotonic()"),
        (clock_reads, "import time\nf = time.time", "import time\nf = time.monotonic"),
        (clock_reads, "from sqlalchemy import func\nfunc.now()", "from sqlalchemy import func\nfunc.sum(1)"),
        (leaks, "STRIPE_API_KEY=sk_" + "live_1", "STRIPE_API_KEY=sk_test_demo"),
        (leaks, "1234567890" + ":AA" + "x" * 33, "at 10:30 in the 1234567890th second"),
        (leaks, "pip install --index" + "-url x", "pip install -c constraints.txt ."),
        (leaks, "see https://pypi" + ".org/x", "see the registry"),
        (leaks, "cd /work/" + "main", "cd /root/.ssh"),
        (leaks, "-----BEGIN PRIVATE KEY-----\n" + "A" * 40, "-----BEGIN PRIVATE KEY-----"),
    ],
)
def test_rules_about_one_text_can_fail(rule: Callable[[str], Iterator[str]], bad: str, good: str) -> None:
    assert list(rule(bad))
    assert not list(rule(good))


@pytest.mark.parametrize(
    ("rule", "place", "bad", "good"),
    [
        (feature_imports, "bot.features.deploy", "from bot.features import home", "from bot import callbacks"),
        (feature_imports, "bot.features.deploy", "from .home import show", "from .deploy import x"),
        (feature_imports, "bot.features.admin.prices", "import bot.features.admin.users", "import bot.view"),
        (impure_imports, "bot.views.home", "from sqlalchemy.orm import Session", "from bot.view import View"),
        (impure_imports, "bot.views.home", "from billing import db", "from billing import money"),
        (misplaced_imports, "billing/cards.py", "from stripe import StripeClient", "import stripes"),
        (misplaced_imports, "cloud/drivers/qemu/machine.py", "from qemu.qmp import legacy", "from qemu import qmp"),
    ],
)
def test_rules_about_places_can_fail(
    rule: Callable[[str, str], Iterator[str]], place: str, bad: str, good: str
) -> None:
    assert list(rule(bad, place))
    assert not list(rule(good, place))


def test_allowed_places_may_import_stripe() -> None:
    assert not list(misplaced_imports("import stripe", "billing/stripe_gateway.py"))
    assert not list(misplaced_imports("import stripe", "bot/demo/stripe/server.py"))


def test_settings_are_found_in_an_example() -> None:
    assert example_settings("# A word: see X=1\nBOT_TOKEN=\n# SMTP_URL=smtp://x\n#LISTEN=y\n") == {
        "BOT_TOKEN",
        "SMTP_URL",
        "LISTEN",
    }


@pytest.mark.parametrize(
    ("where", "what", "passes"),
    [
        ("billing/x.py", "import bot", False),
        ("cloud/x.py", "import bot", False),
        ("billing/x.py", "import cloud", False),
        ("cloud/drivers/x.py", "import sqlalchemy", False),
        ("cloud/drivers/x.py", "import billing", False),
        ("bot/x.py", "import billing", True),
    ],
)
def test_the_layers_can_fail(tmp_path: Path, where: str, what: str, *, passes: bool) -> None:
    (tmp_path / "pyproject.toml").write_bytes((ROOT / "pyproject.toml").read_bytes())
    for package in (*PACKAGES, "cloud/drivers"):
        (tmp_path / package).mkdir()
        (tmp_path / package / "__init__.py").touch()
    (tmp_path / where).write_text(what + "\n")
    result = lint_imports(tmp_path)
    assert (" 0 broken" in result.stdout) is passes, result.stdout
    assert ("1 broken" in result.stdout) is not passes, result.stdout
