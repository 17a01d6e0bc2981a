"""The product's own SSH key: it opens the nodes of clusters, and nothing else."""

import os
from contextlib import suppress
from functools import cached_property
from pathlib import Path

from cloud.ssh_keys import generate_host_key, public_of


class ProductKey:
    """A key pair that is made when it is first needed, and kept."""

    def __init__(self, path: Path) -> None:
        """Take the file of the private key; nothing is read or written yet."""
        self._path = path

    @cached_property
    def private(self) -> str:
        """OpenSSH PEM text. Whoever makes it first makes it for all."""
        if not self._path.exists():
            self._make()
        return self._path.read_text()

    @property
    def public(self) -> str:
        """One line for `authorized_keys`."""
        return f"{public_of(self.private)} vmbot"

    def _make(self) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        draft = self._path.with_name(f".{self._path.name}.{os.getpid()}")
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
            file.write(generate_host_key().private)
            file.flush()
            os.fsync(file.fileno())
        with suppress(FileExistsError):  # another process was faster: theirs counts
            os.link(draft, self._path)
        draft.unlink()
