"""Rules of protection that are read off the source; each is held against an example that breaks it."""

import ast
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]

NETWORK = {
    "aiohttp", "aiosmtplib", "asyncssh", "hcloud", "http.client", "httpx", "libcloud", "proxmoxer", "requests",
    "smtplib", "socket", "stripe", "urllib.request",
}  # fmt: skip
"""What can open a connection."""

TALKERS = {
    "billing/leases.py": "names this machine",
    "billing/stripe_calls.py": "STRIPE_API_URL",
    "billing/stripe_gateway.py": "STRIPE_API_URL",
    "bot/doctor.py": "PUBLIC_URL and LISTEN",
    "bot/mail.py": "SMTP_URL",
    "bot/server.py": "listens",
    "bot/transport.py": "TELEGRAM_API_URL",
    "cloud/cluster.py": "a machine of ours, at the address that its cloud tells",
    "cloud/drivers/": "the cloud of the settings, and its machines",
    "cloud/ssh_keys.py": "reads keys only",
    "cloud/ssh_probe.py": "a machine of ours, at the address that its cloud tells",
}
"""Who may import that, and where the address comes from: never from what a person typed."""

SECRET = re.compile(r"secret|token|signature|password|hash", re.IGNORECASE)


def sources() -> Iterator[tuple[str, str]]:
    """Each module of the product with its text; the demo's stand-ins are other people's machines."""
    for package in ("billing", "bot", "cloud"):
        for path in sorted((ROOT / package).rglob("*.py")):
            name = str(path.relative_to(ROOT))
            if not name.startswith("bot/demo/"):
                yield name, path.read_text()


def network_imports(source: str) -> Iterator[str]:
    """What a module imports that can open a connection; an address that is only taken apart is none."""
    for node in ast.walk(ast.parse(source)):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [node.module or "", *(f"{node.module}.{alias.name}" for alias in node.names)]
        yield from (name for name in names for lib in NETWORK if name == lib or name.startswith(f"{lib}."))
        if isinstance(node, ast.Attribute) and node.attr in {"open_connection", "create_connection"}:
            yield node.attr


def hasty_comparisons(source: str) -> Iterator[str]:
    """Comparisons of secrets by `==`, which takes the longer the more of it is right."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Compare) and any(isinstance(op, ast.Eq | ast.NotEq) for op in node.ops):
            sides = [side for side in (node.left, *node.comparators) if not isinstance(side, ast.Constant)]
            if any(SECRET.search(_name(side)) for side in sides):
                yield ast.unparse(node)


def _name(node: ast.expr) -> str:
    """What a side of a comparison is called."""
    match node:
        case ast.Attribute(attr=name) | ast.Name(id=name):
            return name
        case ast.Call(func=function):
            return _name(function)
    return ""


def shell_calls(source: str) -> Iterator[str]:
    """Commands that a shell would read."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            shell = any(word.arg == "shell" for word in node.keywords)
            if shell or called in {"os.system", "os.popen", "asyncio.create_subprocess_shell"}:
                yield called


def test_connections_are_opened_in_known_places_only() -> None:
    found = {name for name, source in sources() if any(network_imports(source))}
    assert {name for name in found if not name.startswith(tuple(TALKERS))} == set()
    assert {place for place in TALKERS if not any(name.startswith(place) for name in found)} == set()


COMPARED_IN_SQL = {
    "billing/vouchers.py": "an index finds the hash of a hundred random bits: time tells nothing of the code",
    "cloud/former.py": "same",
}


def test_secrets_are_compared_in_constant_time() -> None:
    found = {name: list(hasty_comparisons(source)) for name, source in sources() if name not in COMPARED_IN_SQL}
    assert {name: lines for name, lines in found.items() if lines} == {}


def test_nothing_is_handed_to_a_shell() -> None:
    assert {name for name, source in sources() if any(shell_calls(source))} == set()


@pytest.mark.parametrize(
    ("rule", "bad", "good"),
    [
        (network_imports, "import httpx", "from urllib.parse import urlsplit"),
        (network_imports, "from urllib import request", "import json"),
        (network_imports, "await asyncio.open_connection(host, port)", "await asyncio.sleep(1)"),
        (hasty_comparisons, "given == self._secret", "hmac.compare_digest(given, self._secret)"),
        (hasty_comparisons, "_hash(token) != row.token_hash", "row.amount == 5"),
        (shell_calls, "subprocess.run(text, shell=True)", "subprocess.run([name, text])"),
        (shell_calls, "os.system(text)", "os.kill(pid, 9)"),
    ],
)
def test_rules_can_fail(rule: Callable[[str], Iterator[str]], bad: str, good: str) -> None:
    assert list(rule(bad))
    assert not list(rule(good))


@pytest.mark.slow
def test_no_library_has_a_known_hole() -> None:
    """By the tool `pip-audit`, where it is installed and its database can be reached."""
    tool = Path(sys.executable).with_name("pip-audit")
    command = str(tool) if tool.exists() else shutil.which("pip-audit")
    if command is None:
        pytest.skip("pip-audit is not installed: pip install pip-audit")
    audited = [
        command,
        "--progress-spinner=off",
        "--disable-pip",
        "--no-deps",
        "--format=json",
        "-r",
        "constraints.txt",
    ]
    done = subprocess.run(audited, cwd=ROOT, capture_output=True, text=True, check=False)  # noqa: S603 our own words
    found = json.loads(done.stdout)["dependencies"] if done.stdout.startswith("{") else []
    if all("skip_reason" in one for one in found):
        pytest.skip("the database of pip-audit cannot be reached from here")
    assert [one for one in found if one.get("vulns") or "skip_reason" in one] == []
