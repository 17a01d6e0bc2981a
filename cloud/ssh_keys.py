"""SSH keys: a customer's public key checked strictly, and host keys made for new machines.

The key line ends up in files that give root on machines, so everything that is not plainly a key is refused:
options, further lines, control characters, certificates, weak or broken keys. Every refusal is its own class
and its text says what to do.
"""

import base64
import binascii
import hashlib
from dataclasses import dataclass
from typing import NamedTuple

import asyncssh

RSA_BITS_MIN = 2048
RSA_BITS_MAX = 16384  # what OpenSSH itself takes
COMMENT_LENGTH_MAX = 200
LINE_LENGTH_MAX = 8192  # an RSA key of 16384 bits takes 2.8 kB
_ED25519_BYTES = 32

_HOW_TO = "Make one with `ssh-keygen -t ed25519` and send the line in the file that ends in .pub."

_CURVES = {
    "ecdsa-sha2-nistp256": "nistp256",
    "ecdsa-sha2-nistp384": "nistp384",
    "ecdsa-sha2-nistp521": "nistp521",
    "sk-ecdsa-sha2-nistp256@openssh.com": "nistp256",
}
# Each begins with its own name; a security key's ends with what it signs for (RFC 4253, PROTOCOL.u2f).
_FIELD_COUNTS = {
    "ssh-ed25519": 2,
    "sk-ssh-ed25519@openssh.com": 3,
    "ssh-rsa": 3,
    **{name: 4 if name.startswith("sk-") else 3 for name in _CURVES},
}
KEY_TYPES = frozenset(_FIELD_COUNTS)


class BadKey(ValueError):
    """Not a public key that we put on a machine; the text is for the customer and says what to do."""


class NoKey(BadKey):
    """Nothing was given."""

    def __init__(self) -> None:
        super().__init__(f"There is no key in that message. {_HOW_TO}")


class PrivateKey(BadKey):
    """The secret half was given: it must be thought of as lost."""

    def __init__(self) -> None:
        super().__init__(
            "That is a private key, which nobody else may see: delete the message and stop using the key. " + _HOW_TO
        )


class SeveralLines(BadKey):
    """More than one line, or characters that do not print."""

    def __init__(self) -> None:
        super().__init__("A public key is one line of printable text. Copy the whole line of the .pub file, once.")


class HasOptions(BadKey):
    """Options of an authorized_keys file stand before the key."""

    def __init__(self) -> None:
        super().__init__("There are options before the key. Send only the part from the key type (ssh-…) on.")


class WrongType(BadKey):
    """Not a type of key that is taken."""

    def __init__(self) -> None:
        super().__init__(f"That is not an SSH public key that works here (ed25519, ecdsa, rsa). {_HOW_TO}")


class TooWeak(BadKey):
    """An RSA key shorter than 2048 bits."""

    def __init__(self, bits: int) -> None:
        super().__init__(f"That RSA key has {bits} bits; at least {RSA_BITS_MIN} are needed. {_HOW_TO}")
        self.bits = bits


class Broken(BadKey):
    """It starts like a key but its content is not one."""

    def __init__(self) -> None:
        super().__init__("That key is damaged or not complete. Copy the whole line of the .pub file again.")


@dataclass(frozen=True, slots=True)
class PublicKey:
    """A checked public key.

    Attributes:
        line: type, base64 and comment, each once separated by one space; safe to write in a key file.
        fingerprint: `SHA256:…`, as `ssh-keygen -l` shows it.
        comment: what stood after the key, may be empty.
        type: `ssh-ed25519` and so on.
    """

    line: str
    fingerprint: str
    comment: str
    type: str


class HostKey(NamedTuple):
    """A machine's own key pair: `private` as OpenSSH PEM text, `public` as one line without comment."""

    private: str
    public: str


def parse_public_key(text: str) -> PublicKey:
    """Return the key that a customer sent, checked and in one form.

    Raises:
        BadKey: one of its subclasses, with a sentence for the customer.
    """
    text = text.strip()
    if not text:
        raise NoKey
    if "PRIVATE KEY" in text or text.startswith("PuTTY-User-Key-File"):
        raise PrivateKey
    if not text.isprintable() or len(text) > LINE_LENGTH_MAX:
        raise SeveralLines
    kind, _, rest = text.partition(" ")
    if kind not in KEY_TYPES:
        raise HasOptions if any(word in KEY_TYPES for word in rest.split(" ")) else WrongType
    encoded, _, comment = rest.strip().partition(" ")
    comment = " ".join(comment.split())[:COMMENT_LENGTH_MAX].strip()
    blob = _decoded(encoded)
    _check_content(kind, blob)
    line = f"{kind} {base64.b64encode(blob).decode()} {comment}".strip()
    return PublicKey(line, _fingerprint(blob), comment, kind)


def fingerprint(line: str) -> str:
    """Return `SHA256:…` of a public key line that we made or checked."""
    return _fingerprint(base64.b64decode(line.split()[1]))


def generate_host_key() -> HostKey:
    """Return a new ed25519 key pair for a machine's SSH server."""
    key = asyncssh.generate_private_key("ssh-ed25519")
    return HostKey(key.export_private_key().decode(), key.export_public_key().decode().strip())


def public_of(private: str) -> str:
    """Return the public line, without comment, of a private host key that we made."""
    line = asyncssh.import_private_key(private).export_public_key().decode()
    return " ".join(line.split()[:2])


def _fingerprint(blob: bytes) -> str:
    return "SHA256:" + base64.b64encode(hashlib.sha256(blob).digest()).decode().rstrip("=")


def _decoded(encoded: str) -> bytes:
    try:
        return base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError) as error:  # ValueError: not ASCII
        raise Broken from error


def _fields(blob: bytes) -> list[bytes]:
    """Return the length-prefixed strings that a key is made of (RFC 4253, 6.6)."""
    fields = []
    while blob:
        length = int.from_bytes(blob[:4], "big")
        if len(blob) < 4 + length:
            raise Broken
        fields.append(blob[4 : 4 + length])
        blob = blob[4 + length :]
    return fields


def _check_content(kind: str, blob: bytes) -> None:
    """Check that the content is exactly one key of the type that the line says."""
    fields = _fields(blob)
    if len(fields) != _FIELD_COUNTS[kind] or fields[0] != kind.encode():
        raise Broken
    if kind == "ssh-rsa":
        _check_rsa_bits(fields[2])
    elif fields[1] != _CURVES[kind].encode() if kind in _CURVES else len(fields[1]) != _ED25519_BYTES:
        raise Broken
    try:
        asyncssh.import_public_key(f"{kind} {base64.b64encode(blob).decode()}")
    except (asyncssh.KeyImportError, ValueError) as error:  # ValueError: a point that is not on its curve
        raise Broken from error


def _check_rsa_bits(modulus: bytes) -> None:
    bits = int.from_bytes(modulus, "big").bit_length()
    if bits < RSA_BITS_MIN:
        raise TooWeak(bits)
    if bits > RSA_BITS_MAX:
        raise Broken
