"""Writes an initramfs: a cpio archive ("newc") in which everything belongs to root, whoever builds it."""

import stat
from dataclasses import dataclass, field


@dataclass
class Archive:
    """Directories, files and links; its `bytes()` are what a kernel unpacks. Paths have no leading `/`."""

    _entries: dict[str, tuple[int, bytes]] = field(default_factory=dict)

    def directory(self, path: str, mode: int = 0o755) -> None:
        """Add a directory and those above it."""
        above, _, _ = path.rpartition("/")
        if above and above not in self._entries:
            self.directory(above)
        self._entries.setdefault(path, (stat.S_IFDIR | mode, b""))

    def file(self, path: str, data: bytes, mode: int = 0o644) -> None:
        """Add a file with its directory."""
        self._add(path, stat.S_IFREG | mode, data)

    def link(self, path: str, target: str) -> None:
        """Add a symbolic link with its directory."""
        self._add(path, stat.S_IFLNK | 0o777, target.encode())

    def _add(self, path: str, mode: int, data: bytes) -> None:
        above, _, _ = path.rpartition("/")
        if above:
            self.directory(above)
        self._entries[path] = (mode, data)

    def __bytes__(self) -> bytes:
        """Return the archive."""
        parts = [
            _entry(number, path, mode, data)
            for number, (path, (mode, data)) in enumerate(self._entries.items(), start=1)
        ]
        return b"".join(parts) + _entry(0, "TRAILER!!!", 0, b"")


def _entry(number: int, path: str, mode: int, data: bytes) -> bytes:
    name = path.encode() + b"\x00"
    # magic; inode, mode, uid, gid, links, mtime, size, device (2), special device (2), length of name, checksum
    fields = (number, mode, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(name), 0)
    head = b"070701" + b"".join(b"%08X" % value for value in fields) + name
    return head + bytes(-len(head) % 4) + data + bytes(-len(data) % 4)
