"""User data says who may log in and which host key is shown, and lets nothing else through."""

import json
from typing import Any

import pytest

from cloud import ssh_keys
from cloud.cloud_init import user_data

HOST_KEY = ssh_keys.generate_host_key()
CUSTOMER = ssh_keys.generate_host_key().public + ' Ann\'s "laptop": {x}'


def config(keys: tuple[str, ...] = (CUSTOMER,)) -> Any:
    text = user_data(hostname="web-1", user="user", authorized_keys=keys, host_key=HOST_KEY.private)
    assert text.startswith("#cloud-config\n")
    return json.loads(text.removeprefix("#cloud-config\n"))


def test_says_who_may_log_in() -> None:
    assert config()["hostname"] == "web-1"
    (user,) = config()["users"]
    assert user["name"] == "user"
    assert user["ssh_authorized_keys"] == [CUSTOMER]
    assert user["sudo"] == "ALL=(ALL) NOPASSWD:ALL"


def test_nobody_logs_in_with_a_password_or_as_root() -> None:
    made = config()
    assert (made["ssh_pwauth"], made["disable_root"]) == (False, True)
    assert made["users"][0]["lock_passwd"] is True


def test_the_guest_shows_our_host_key_and_no_other() -> None:
    made = config()
    assert made["ssh_deletekeys"] is True
    assert made["ssh_keys"] == {"ed25519_private": HOST_KEY.private, "ed25519_public": HOST_KEY.public}


def test_what_is_no_key_is_not_passed_on() -> None:
    with pytest.raises(ssh_keys.HasOptions):
        config((f'command="reboot" {CUSTOMER}',))
