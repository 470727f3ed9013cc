"""Which bytes of a remote file are here already? The first and the last that were fetched."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from threading import RLock
from typing import Any

from prunescope.checkpoint.remote.replies import MAX_STREAMED, TransferError
from prunescope.checkpoint.storage import File, Folder, check_name
from prunescope.errors import CheckpointError

# Most headers of shards fit, and the end of a torch archive of thousands of tensors.
CHUNK = 64 << 10
# JSON is read to its end; the shard index of a 70B model has 70 KB.
JSON_CHUNK = 1 << 20
_MAX_AHEAD = 4 << 20


class NotThere(TransferError):
    """The place answers, and has no such file or keeps it to itself."""


class Absent(CheckpointError):
    """`NotThere`, with the file's name."""


@dataclass(frozen=True, slots=True)
class Piece:
    """Bytes of a file that arrived together.

    Attributes:
        total: length of the whole file.
        ranged: whether any part of the file can be had, or only its start.
    """

    start: int
    data: bytes
    total: int
    ranged: bool = True

    def slice(self, offset: int, length: int) -> bytes | None:
        """`length` bytes of the file from `offset`; None where they are not all here."""
        begin = offset - self.start
        if begin < 0 or begin + length > len(self.data):
            return None
        return self.data[begin : begin + length]


# Fetches `length` bytes from `offset`, of a file whose first `known` bytes are here.
Fetch = Callable[[int, int, int], Piece]


class RemoteFile(File):
    """A file far away. One request brings its length and its head; few readers need a third."""

    def __init__(self, name: str, place: str, fetch: Fetch, size: int | None = None) -> None:
        """`place` is what errors name; `size` is what a listing says, where there is one."""
        self._name = name
        self._place = place
        self._fetch = fetch
        self._size = size
        self._head: Piece | None = None
        self._last: Piece | None = None
        self._absent: Absent | None = None
        self._ahead = CHUNK
        self._lock = RLock()

    def __str__(self) -> str:
        return self._place

    @property
    def name(self) -> str:
        """The last part of its path."""
        return self._name

    @property
    def size(self) -> int:
        """Its length in bytes: as listed, or as the first answer says."""
        with self._lock:
            return self._first().total if self._size is None else self._size

    def exists(self) -> bool:
        """Whether its place has it, as far as strangers are told."""
        try:
            with self._lock:
                self._first()
        except Absent:
            return False
        return True

    def read(self, offset: int, length: int) -> bytes:
        """`length` bytes from `offset`, fewer at the end of the file."""
        with self._lock:
            length = max(0, min(length, self.size - offset))
            if not length:
                return b""
            head = self._first()
            for known in (head, self._last):
                data = known.slice(offset, length) if known else None
                if data is not None:
                    return data
            piece = self._get(offset, self._planned(head, offset, length))
            if piece.start == 0:
                self._head = piece
            else:
                self._last = piece
            return piece.data[offset - piece.start :][:length]

    def _first(self) -> Piece:
        if self._absent:
            raise self._absent
        if self._head is None:
            wanted = JSON_CHUNK if self._name.endswith(".json") else CHUNK
            self._head = self._get(0, wanted if self._size is None else min(wanted, self._size))
        return self._head

    def _planned(self, head: Piece, offset: int, length: int) -> int:
        """How much to fetch: more and more for a reader that goes through a header in order."""
        if not head.ranged:
            # Each request starts anew, so that doubling keeps their sum in bounds.
            ahead = min(len(head.data), MAX_STREAMED - offset)
        else:
            last = self._last or head
            in_order = last.start < offset <= last.start + len(last.data)
            self._ahead = min(2 * self._ahead, _MAX_AHEAD) if in_order else CHUNK
            ahead = self._ahead
        return min(max(length, ahead), self.size - offset)

    def _get(self, offset: int, length: int) -> Piece:
        if not length:
            return Piece(offset, b"", self._size or 0)
        try:
            piece = self._fetch(offset, length, len(self._head.data) if self._head else 0)
        except NotThere as err:
            self._absent = Absent(self, str(err))
            raise self._absent from None
        except TransferError as err:
            raise CheckpointError(self, str(err)) from None
        if self._size is not None and piece.total != self._size:
            cause = f"has {piece.total} bytes, not {self._size} as before: it changed"
            raise CheckpointError(self, cause)
        self._size = piece.total
        return piece


class RemoteFolder(Folder):
    """What lies under one address; each file is asked for once."""

    def __init__(self, place: str) -> None:
        """`place` is what errors name."""
        self._place = place
        self._files: dict[str, File] = {}
        self._lock = RLock()

    def __str__(self) -> str:
        return self._place

    def file(self, name: str) -> File:
        """The file `name`, once it is sure not to lead out of the folder."""
        check_name(self, name)
        with self._lock:
            if name not in self._files:
                self._files[name] = self._make(name)
            return self._files[name]

    @abstractmethod
    def _make(self, name: str) -> File: ...

    @property
    @abstractmethod
    def traffic(self) -> tuple[int, int]:
        """Requests sent and bytes received so far."""


class Listed(RemoteFolder):
    """A remote folder whose files are known by name and length."""

    def __init__(self, place: str, sizes: dict[str, int | None]) -> None:
        """`sizes`: by path from the folder; None where the listing does not say."""
        super().__init__(place)
        self._sizes = sizes

    def names(self) -> list[str]:
        """The names of the files directly in it, sorted."""
        return sorted(name for name in self._sizes if "/" not in name)

    def has(self, name: str) -> bool:
        """Whether the listing has `name`."""
        return name in self._sizes

    def total_bytes(self) -> int | None:
        """Length of every listed file; None where one is not known."""
        known = [size for size in self._sizes.values() if size is not None]
        return sum(known) if len(known) == len(self._sizes) else None


def is_length(value: Any) -> bool:
    """Whether a stranger's `value` can be a file's length."""
    return type(value) is int and 0 <= value < 1 << 63
