"""How are a pickle's opcodes' arguments read? Numbers, lines and strings, within bounds."""

from __future__ import annotations

import sys
from struct import Struct
from typing import Any, TypeVar

from prunescope.checkpoint.pickle_values import Bound, Skipped, Truncated

MAX_INTEGER_BYTES = 4096
MAX_LINE = 1 << 20
# A tokenizer inside a pickle is one string of megabytes; no tensor or module has such a name.
MAX_STRING = 1 << 20
MAX_STRINGS = 160 << 20
_NO_FRAME = sys.maxsize
_S = TypeVar("_S", str, bytes)


def size_of(text: str | bytes) -> int:
    """The bytes that a string takes in memory, which is given out in steps of 16."""
    return (sys.getsizeof(text) + 15) & -16


class Reader:
    """The bytes of a pickle and the place in them."""

    def __init__(self, data: bytes, position: int) -> None:
        self.data = data
        self.position = position
        # Where the frame ends that was opened last.
        self.frame_end = _NO_FRAME
        # Bytes of memory that the strings read so far take.
        self.strings = 0

    def open_frame(self, length: int) -> None:
        """Enter a frame of the next `length` bytes.

        Raises:
            Bound: inside another.
        """
        if self.frame_end != _NO_FRAME and self.position <= self.frame_end:
            raise Bound("a frame inside another, which not every Python reads alike")
        self.frame_end = self.position + length

    def leave_frame(self, at: int) -> None:
        """After an opcode at `at` that ends behind the frame: it must have begun there too.

        CPython before 3.13.15 and 3.14.7 read one that begins inside it from another place than
        its argument's, and ran what others took for a string
        (https://github.com/python/cpython/issues/154848).

        Raises:
            Bound: it begins inside.
        """
        if at < self.frame_end:
            raise Bound("an opcode across the end of its frame, which not every Python reads alike")
        self.frame_end = _NO_FRAME

    def move_frame(self, by: int) -> None:
        """Count from another place in the file on."""
        if self.frame_end != _NO_FRAME:
            self.frame_end += by

    def take(self, count: int) -> bytes:
        """The next `count` bytes."""
        end = self._advance(count)
        return self.data[end - count : end]

    def number(self, form: Struct) -> Any:
        """The next number."""
        end = self._advance(form.size)
        return form.unpack_from(self.data, end - form.size)[0]

    def line(self) -> bytes:
        """The bytes up to the next newline, which is passed over."""
        start = self.position
        end = self.data.find(b"\n", start, start + MAX_LINE)
        if end < 0:
            seen = min(MAX_LINE, len(self.data) - start)
            kind = Bound if seen == MAX_LINE else Truncated
            raise kind(f"a text line without an end in {seen} bytes")
        self.position = end + 1
        return self.data[start:end]

    def text(self, length: int) -> str | Skipped:
        """The next `length` bytes as UTF-8."""
        if length > MAX_STRING:
            return self._skipped(length)
        return self.kept(self.take(length).decode("utf-8", "surrogatepass"))

    def blob(self, length: int) -> bytes | Skipped:
        """The next `length` bytes."""
        return self._skipped(length) if length > MAX_STRING else self.kept(self.take(length))

    def integer(self, length: int) -> int:
        """The next `length` bytes as a two's complement number."""
        if not 0 <= length <= MAX_INTEGER_BYTES:
            raise Bound(f"an integer of {length} bytes: over {MAX_INTEGER_BYTES}")
        return int.from_bytes(self.take(length), "little", signed=True)

    def kept(self, text: _S) -> _S:
        """`text`, once its size is added to what the pickle's strings may take together."""
        self.strings += size_of(text)
        self.check_strings()
        return text

    def check_strings(self) -> None:
        """Raise Bound where the strings take more than they may together."""
        if self.strings > MAX_STRINGS:
            raise Bound(f"strings of over {MAX_STRINGS >> 20} MiB together")

    def _advance(self, count: int) -> int:
        end = self.position + count
        if end > len(self.data):
            raise Truncated("the pickle ends inside an opcode's argument")
        self.position = end
        return end

    def _skipped(self, length: int) -> Skipped:
        self._advance(length)
        return Skipped(length)
