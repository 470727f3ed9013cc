"""Files and folders that are bytes in memory, as the readers see them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from prunescope.checkpoint.storage import File, Folder, check_name


@dataclass(frozen=True)
class MemoryFile(File):
    """A file of these bytes."""

    data: bytes
    title: str = "input"

    def __str__(self) -> str:
        return self.title

    @property
    def name(self) -> str:
        return self.title

    @property
    def size(self) -> int:
        return len(self.data)

    def read(self, offset: int, length: int) -> bytes:
        return self.data[offset : offset + length]


@dataclass(frozen=True)
class MemoryFolder(Folder):
    """A folder of these files."""

    files: Mapping[str, bytes]

    def __str__(self) -> str:
        return "folder"

    def names(self) -> list[str]:
        return sorted(self.files)

    def has(self, name: str) -> bool:
        return name in self.files

    def file(self, name: str) -> MemoryFile:
        check_name(self, name)
        return MemoryFile(self.files.get(name, b""), name)

    def total_bytes(self) -> int:
        return sum(map(len, self.files.values()))
