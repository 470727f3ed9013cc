"""Which elements are no zeros? One bit for each, or a look for the first zero of either sign."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prunescope.analysis.number_formats import FLOATS, Array
from prunescope.extras import require

if TYPE_CHECKING:
    import numpy as np
else:
    np = require("numpy", "weights")

# Rows of a tile, but for the last, are a multiple of this: whole blocks.
ROWS = 32
# Elements marked together: enough that calls, each of which waits for Python's lock, are few, and
# few enough for the caches. A tile, of which one bit an element is left, is larger.
_PIECE = 1 << 20


class Scratch:
    """What a thread works in: memory fresh from the system takes longer to get than to fill.

    Attributes:
        doubled: a piece without its signs, in bytes.
        marks: a piece, an element a byte.
        packed: a tile, an element a bit.
        sums, more: sums of its bits.
        counts: how many bits of each word are set.

    Args:
        elements: of a tile: whole words, and ROWS of the widest rows that `packed` gets.
    """

    __slots__ = ("counts", "doubled", "marks", "more", "packed", "sums")

    def __init__(self, elements: int) -> None:
        piece, words = max(_PIECE, elements // ROWS), elements // 64
        self.doubled = np.empty(2 * piece, np.uint8)
        self.marks = np.empty(piece, bool)
        self.packed, self.sums, self.more = (np.empty(words, np.uint64) for _ in range(3))
        self.counts = np.empty(words, np.uint8)


def has_zero(bits: Array, dtype: str) -> bool:
    """Whether a zero of either sign is among these elements.

    Args:
        bits: one axis, contiguous: unsigned words of a float type, or integers as they are.
        dtype: theirs.
    """
    unsigned, signed = (bits.view(f"{kind}{bits.itemsize}") for kind in "ui")
    lowest = np.iinfo(signed.dtype).min
    for start in range(0, bits.size, _PIECE):
        piece = slice(start, start + _PIECE)
        if not unsigned[piece].min():
            return True
        # A float's negative zero is the sign alone: of signed words the lowest.
        if dtype in FLOATS and signed[piece].min() == lowest:
            return True
    return False


def words_in(columns: int) -> int:
    """Words of 64 bits that a row of as many columns takes."""
    return -(-columns // 64)


def packed(strip: Array, dtype: str, scratch: Scratch) -> Array:
    """One bit an element, set where it is no zero: [rows, words] of uint64, over `scratch.packed`.

    Padded with zeros to whole blocks of rows and whole words of columns.

    Args:
        strip: [rows, columns], of elements as `has_zero` takes them.
        dtype: theirs.
    """
    rows, columns = strip.shape
    shape = -(-rows // ROWS) * ROWS, words_in(columns)
    words = scratch.packed[: shape[0] * shape[1]].reshape(shape)
    octets = words.view(np.uint8)
    used = -(-columns // 8)
    octets[rows:] = 0
    octets[:, used:] = 0
    step = max(1, _PIECE // columns)
    for start in range(0, rows, step):
        marks = _marks(strip[start : start + step], dtype, scratch)
        octets[start : start + len(marks), :used] = np.packbits(marks, axis=1)
    return words


def _marks(bits: Array, dtype: str, scratch: Scratch) -> Array:
    """A byte or a truth value for each element, not 0 where it is no zero."""
    if dtype in FLOATS and bits.itemsize < 4:
        # Doubling drops the sign.
        doubled = scratch.doubled[: bits.nbytes].view(bits.dtype).reshape(bits.shape)
        bits = np.add(bits, bits, out=doubled)
    elif dtype in FLOATS:
        bits = bits.view(f"f{bits.itemsize}")
    if bits.itemsize == 1:
        return bits
    return np.not_equal(bits, 0, out=scratch.marks[: bits.size].reshape(bits.shape))
