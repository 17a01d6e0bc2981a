"""A customer's public key is checked strictly; what we make ourselves passes the same check."""

import asyncio
import base64
import struct
from pathlib import Path

import asyncssh
import pytest

from cloud import ssh_keys
from cloud.ssh_keys import parse_public_key

ED25519 = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJJRPtJUI1b+N7rEVZKxNl7iWnfOnHY0yl0yZKZ+i5LV"


def made(kind: str, key_size: int = 2048) -> str:
    if kind == "ssh-rsa":
        return asyncssh.generate_private_key(kind, key_size=key_size).export_public_key().decode().strip()
    return asyncssh.generate_private_key(kind).export_public_key().decode().strip()


def blob(*fields: bytes) -> str:
    return base64.b64encode(b"".join(struct.pack(">I", len(f)) + f for f in fields)).decode()


def point(curve: str) -> bytes:
    """A valid point of a curve, taken out of a fresh key."""
    data = base64.b64decode(made(f"ecdsa-sha2-{curve}").split()[1])
    return data[-65:]


@pytest.mark.parametrize(
    "line",
    [
        ED25519,
        made("ssh-rsa", key_size=2048),
        made("ecdsa-sha2-nistp256"),
        made("ecdsa-sha2-nistp384"),
        made("ecdsa-sha2-nistp521"),
        "sk-ssh-ed25519@openssh.com " + blob(b"sk-ssh-ed25519@openssh.com", bytes(range(32)), b"ssh:"),
        "sk-ecdsa-sha2-nistp256@openssh.com "
        + blob(b"sk-ecdsa-sha2-nistp256@openssh.com", b"nistp256", point("nistp256"), b"ssh:"),
    ],
    ids=lambda line: line.split()[0],
)
def test_takes_every_modern_type(line: str) -> None:
    """Each type passes, with whatever spaces around it, and comes back as one normal line."""
    key = parse_public_key(f"  {line}   Ann at   home \n")
    assert key.line == f"{' '.join(line.split()[:2])} Ann at home"
    assert (key.comment, key.type) == ("Ann at home", line.split(maxsplit=1)[0])
    assert key.fingerprint == asyncssh.import_public_key(line).get_fingerprint()
    assert parse_public_key(key.line) == key


def test_an_empty_comment_is_fine() -> None:
    assert parse_public_key(ED25519).line == ED25519
    assert not parse_public_key(ED25519).comment


def test_a_long_comment_is_cut() -> None:
    assert len(parse_public_key(f"{ED25519} {'x' * 900}").comment) == ssh_keys.COMMENT_LENGTH_MAX


SHORT_RSA = made("ssh-rsa", key_size=1024)


@pytest.mark.parametrize(
    ("text", "error", "says"),
    [
        ("", ssh_keys.NoKey, "ssh-keygen"),
        (" \n ", ssh_keys.NoKey, "ssh-keygen"),
        ("-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n", ssh_keys.PrivateKey, "stop using"),
        ("PuTTY-User-Key-File-3: ssh-ed25519", ssh_keys.PrivateKey, "delete the message"),
        (f"{ED25519}\n{ED25519}", ssh_keys.SeveralLines, "one line"),
        (f"{ED25519} a\x00b", ssh_keys.SeveralLines, "one line"),
        (f"{ED25519} \x1b[2J", ssh_keys.SeveralLines, "one line"),
        (f"{ED25519} a\u202eb", ssh_keys.SeveralLines, "one line"),
        (f"{ED25519} a\u2028b", ssh_keys.SeveralLines, "one line"),
        (ED25519 + " " + "x" * 9000, ssh_keys.SeveralLines, "one line"),
        (f'command="sh" {ED25519}', ssh_keys.HasOptions, "from the key type"),
        (f"no-pty,{ED25519}", ssh_keys.WrongType, "ssh-keygen"),
        ("ssh-dss AAAAB3NzaC1kc3M=", ssh_keys.WrongType, "ed25519"),
        ("ssh-ed25519-cert-v01@openssh.com AAAA", ssh_keys.WrongType, "ed25519"),
        ("hello there", ssh_keys.WrongType, "ssh-keygen"),
        (SHORT_RSA, ssh_keys.TooWeak, "1024 bits"),
        ("ssh-ed25519", ssh_keys.Broken, "again"),
        ("ssh-ed25519 AAAA", ssh_keys.Broken, "again"),
        (ED25519[:-8], ssh_keys.Broken, "again"),
        (ED25519 + "AAAA", ssh_keys.Broken, "again"),
        ("ssh-ed25519 ÄÖÜ", ssh_keys.Broken, "again"),
        ("ssh-rsa " + ED25519.split()[1], ssh_keys.Broken, "again"),
        ("ssh-ed25519 " + blob(b"ssh-ed25519", bytes(31)), ssh_keys.Broken, "again"),
        ("ssh-rsa " + blob(b"ssh-rsa", b"\x01\x00\x01", b"\x01" * 2049), ssh_keys.Broken, "again"),
        (
            "ecdsa-sha2-nistp256 " + blob(b"ecdsa-sha2-nistp256", b"nistp384", point("nistp256")),
            ssh_keys.Broken,
            "again",
        ),
        (
            "ecdsa-sha2-nistp256 " + blob(b"ecdsa-sha2-nistp256", b"nistp256", b"\x04" + bytes(64)),
            ssh_keys.Broken,
            "again",
        ),
        (
            "sk-ssh-ed25519@openssh.com " + blob(b"sk-ssh-ed25519@openssh.com", bytes(31), b"ssh:"),
            ssh_keys.Broken,
            "again",
        ),
    ],
)
def test_refuses_everything_else_and_says_what_to_do(text: str, error: type[ssh_keys.BadKey], says: str) -> None:
    with pytest.raises(error) as caught:
        parse_public_key(text)
    assert type(caught.value) is error
    assert says in str(caught.value)


async def test_openssh_agrees_on_the_fingerprint(tmp_path: Path) -> None:
    """`ssh-keygen -l` of the machine, where there is one, shows the same fingerprint."""
    key = parse_public_key(ED25519)
    (tmp_path / "key.pub").write_text(key.line + "\n")
    try:
        process = await asyncio.create_subprocess_exec(
            "ssh-keygen", "-l", "-f", tmp_path / "key.pub", stdout=asyncio.subprocess.PIPE
        )
    except FileNotFoundError:
        pytest.skip("no OpenSSH client here")
    shown, _ = await process.communicate()
    assert key.fingerprint in shown.decode()


def test_host_keys_are_ed25519_and_all_different() -> None:
    private, public = ssh_keys.generate_host_key()
    assert private.startswith("-----BEGIN OPENSSH PRIVATE KEY-----")
    assert parse_public_key(public).type == "ssh-ed25519"
    assert ssh_keys.public_of(private) == public
    assert ssh_keys.fingerprint(public) == parse_public_key(public).fingerprint
    assert ssh_keys.generate_host_key().public != public
