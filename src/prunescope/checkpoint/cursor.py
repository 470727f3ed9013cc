"""How is a header of unknown length read, from near or far? Forward only, in growing chunks."""

from __future__ import annotations

import struct
import sys
from typing import Any, NoReturn

from prunescope.checkpoint.storage import File
from prunescope.errors import CheckpointError

# The vocabulary in a GGUF header has megabytes: few requests, and little more than is needed.
_FIRST_CHUNK = 1 << 20
_LAST_CHUNK = 16 << 20
MAX_TEXT = 16 << 20
# Memory of all texts and numbers that are kept: chat templates and names make a hundredth.
MAX_KEPT = 64 << 20
_NUMBER = 40
# The tokens and merges of the largest public vocabularies make a quarter of this.
MAX_SKIPPED = 4_000_000
_LENGTH = struct.Struct("<Q")


class Cursor:
    """A place in a little-endian header that only moves forward, and never past the file's end."""

    def __init__(self, file: File, what: str) -> None:
        """`what` names the header in errors."""
        self.file = file
        self._what = what
        self._data = b""
        self._at = 0
        self._base = 0
        self._chunk = _FIRST_CHUNK
        self._skipped = 0
        self._kept = 0

    @property
    def position(self) -> int:
        """Bytes from the start of the file."""
        return self._base + self._at

    def number(self, code: str) -> Any:
        """The number of struct's type `code` that lies here."""
        layout = struct.Struct("<" + code)
        return layout.unpack(self.take(layout.size))[0]

    def numbers(self, code: str, count: int) -> tuple[Any, ...]:
        """The next `count` numbers of struct's type `code`."""
        layout = struct.Struct("<" + code)
        self._check_room(count * layout.size)
        self._keep(count * _NUMBER)
        return tuple(n for (n,) in layout.iter_unpack(self.take(count * layout.size)))

    def text(self) -> str:
        """The UTF-8 text of at most 16 MiB that follows its length (8 bytes)."""
        length, start = self.number("Q"), self.position
        if length > MAX_TEXT:
            self._check_room(length)
            raise CheckpointError(self.file, f"text of {length} bytes at byte {start}")
        try:
            text = self.take(length).decode("utf-8")
        except UnicodeDecodeError:
            raise CheckpointError(self.file, f"text at byte {start} is not UTF-8") from None
        self._keep(sys.getsizeof(text))
        return text

    def take(self, length: int) -> bytes:
        """The next `length` bytes."""
        self._fetch(length)
        start = self._at
        self._at += length
        return self._data[start : self._at]

    def skip(self, length: int) -> None:
        """Move on; what is passed over is not read."""
        self._check_room(length)
        if self._at + length <= len(self._data):
            self._at += length
        else:
            self._base, self._at, self._data = self.position + length, 0, b""

    def skip_texts(self, count: int) -> None:
        """Move past `count` texts.

        Raises:
            CheckpointError: with those before, more than any model needs.
        """
        self._skipped += count
        if self._skipped > MAX_SKIPPED:
            self._refuse()
        # Half a million times: what lies at hand is passed without a call.
        length_at, size = _LENGTH.unpack_from, _LENGTH.size
        for _ in range(count):
            end = self._at + size
            if end > len(self._data):
                self._fetch(size)
                end = self._at + size
            end += length_at(self._data, self._at)[0]
            if end <= len(self._data):
                self._at = end
            else:
                self.skip(end - self._at)

    def _keep(self, nbytes: int) -> None:
        self._kept += nbytes
        if self._kept > MAX_KEPT:
            self._refuse()

    def _refuse(self) -> NoReturn:
        raise CheckpointError(self.file, f"{self._what} has more entries than any model needs")

    def _fetch(self, length: int) -> None:
        """Have the next `length` bytes at hand."""
        missing = self._at + length - len(self._data)
        if missing <= 0:
            return
        self._check_room(length)
        rest = self._data[self._at :]
        more = self.file.read(self.position + len(rest), max(missing, self._chunk))
        self._base, self._at, self._data = self.position, 0, rest + more
        self._chunk = min(2 * self._chunk, _LAST_CHUNK)
        if len(self._data) < length:
            raise CheckpointError(self.file, f"truncated inside {self._what} (byte {self._base})")

    def _check_room(self, length: int) -> None:
        if length > self.file.size - self.position:
            raise CheckpointError(
                self.file, f"truncated inside {self._what} (byte {self.position})"
            )
