"""What guests are told is what cloud-init takes: held against its own `cloud-init schema`."""

import json
import os
import subprocess
from pathlib import Path

import pytest

from cloud.cloud_init import HEADER, user_data
from cloud.k3s import Member, Release, join_token
from cloud.ssh_keys import generate_host_key
from tests.contract import environments

KEY = generate_host_key()
MEMBERS = {
    "machine": None,
    "control plane": Member(Release(), join_token(KEY.private), "", private=True),
    "worker": Member(Release(), join_token(KEY.private), "2001:db8::1", private=False),
}
EC2_BYTES_MAX = 16 * 1024
"""The least that a cloud takes."""


def told(member: Member | None) -> str:
    keys = [KEY.public, f'{generate_host_key().public} Ann\'s "laptop": {{x}} # ü']
    return user_data(hostname="web-1", user="user", authorized_keys=keys, host_key=KEY.private, member=member)


def complaint(text: str, folder: Path) -> str:
    """What `cloud-init schema` says against a text; nothing when it is valid."""
    python = environments.python_of(environments.CLOUD_INIT)
    file = folder / "user-data"
    file.write_text(text)
    done = subprocess.run(  # noqa: S603 a program that we installed
        [python, "-m", "cloudinit.cmd.main", "schema", "--config-file", str(file)],
        env=os.environ | {"PYTHONPATH": str(environments.CLOUD_INIT.modules)},
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )
    return "" if done.returncode == 0 and "Valid" in done.stdout else done.stdout + done.stderr


@pytest.mark.parametrize("who", MEMBERS)
def test_cloud_init_takes_it(who: str, tmp_path: Path) -> None:
    assert complaint(told(MEMBERS[who]), tmp_path) == ""


def test_cloud_init_would_complain(tmp_path: Path) -> None:
    """The test above can fail."""
    config = json.loads(told(None).removeprefix(HEADER))
    assert "ssh_pwauth" in complaint(HEADER + json.dumps(config | {"ssh_pwauth": 17}), tmp_path)


@pytest.mark.parametrize("who", MEMBERS)
def test_every_cloud_takes_so_much(who: str) -> None:
    """With room for twenty keys of a customer."""
    assert len(told(MEMBERS[who]).encode()) < EC2_BYTES_MAX / 2
