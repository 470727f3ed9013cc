"""Where do a matrix's zeros lie? N:M groups, empty blocks, rows and columns, from one bit each.

N:M is NVIDIA's semi-structured sparsity: of each M neighbours in a row at least M - N are zero
(2:4: https://arxiv.org/abs/2104.08378). With eight neighbours in a byte, a processor's word holds
sixteen groups of four or eight of eight, and a block of 16 or 32 columns is an element.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from prunescope.analysis.number_formats import FLOATS, Array
from prunescope.extras import require

if TYPE_CHECKING:
    import numpy as np
else:
    np = require("numpy", "weights")

# Rows of a tile, but for the last: whole blocks.
ROWS = 32
# A wide tile is marked in strips of as many columns.
STRIP = 1 << 13
_ONE, _TWO, _FOUR = np.uint64(1), np.uint64(2), np.uint64(4)


def _repeated(byte: int) -> Array:
    """The byte eight times over."""
    return np.uint64(byte * 0x0101_0101_0101_0101)


@dataclass(frozen=True, slots=True)
class Share:
    """So many of so many."""

    count: int
    total: int

    @property
    def ratio(self) -> float:
        """count / total; 0 of nothing."""
        return self.count / self.total if self.total else 0.0

    def __add__(self, other: Share) -> Share:
        return Share(self.count + other.count, self.total + other.total)


def has_zero(bits: Array, dtype: str) -> bool:
    """Whether a zero of either sign is among these elements.

    Args:
        bits: one axis, contiguous: unsigned words of a float type, or integers as they are.
        dtype: theirs.
    """
    if np.count_nonzero(bits) < bits.size:
        return True
    # A float's negative zero is the sign alone: of signed words the lowest.
    signed = bits.view(f"i{bits.itemsize}")
    return dtype in FLOATS and bool(signed.min() == np.iinfo(signed.dtype).min)


@dataclass(slots=True)
class ZeroCount:
    """What was found in some rows of a matrix of `columns` columns.

    Attributes:
        zeros: elements that are zero, whatever their sign.
        two_four, four_eight: groups that satisfy the pattern; of use where columns are a multiple
            of the group.
        blocks16, blocks32: blocks of that many rows and columns that hold zeros alone; those that
            the matrix cuts off count too.
        empty_rows: rows of zeros.
        seen: one bit a column, set where it holds something else than a zero.
    """

    columns: int
    zeros: int = 0
    two_four: int = 0
    four_eight: int = 0
    blocks16: int = 0
    blocks32: int = 0
    empty_rows: int = 0
    seen: Array = field(init=False)

    def __post_init__(self) -> None:
        self.seen = np.zeros((self.columns + 7) // 8, np.uint8)

    def __iadd__(self, other: ZeroCount) -> ZeroCount:
        self.zeros += other.zeros
        self.two_four += other.two_four
        self.four_eight += other.four_eight
        self.blocks16 += other.blocks16
        self.blocks32 += other.blocks32
        self.empty_rows += other.empty_rows
        self.seen |= other.seen
        return self

    @property
    def empty_columns(self) -> int:
        """Columns of zeros among the rows counted."""
        return self.columns - _set(self.seen)

    def add_full(self) -> None:
        """Count rows without a zero."""
        self.seen[:] = 255
        if self.columns % 8:
            self.seen[-1] = 256 - (256 >> self.columns % 8)

    def add(self, bits: Array, dtype: str, scratch: Array) -> None:
        """Count rows of elements.

        Args:
            bits: [rows, columns], as `value_statistics.statistics` takes them; its first row starts
                blocks.
            dtype: theirs.
            scratch: as there, for as many elements as rows and STRIP columns have.
        """
        rows = len(bits)
        filled = np.zeros(rows, bool)
        for start in range(0, self.columns, STRIP):
            strip = bits[:, start : start + STRIP]
            packed = _packed(_marks(strip, dtype, scratch.view(np.uint8)))
            self._groups(packed, strip.size)
            self._blocks(packed, rows, strip.shape[1])
            filled |= packed[:rows].any(axis=1)
            seen = self.seen[start // 8 : (start + strip.shape[1] + 7) // 8]
            seen |= np.bitwise_or.reduce(packed, axis=0)[: seen.size]
        self.empty_rows += rows - int(np.count_nonzero(filled))

    def _groups(self, packed: Array, elements: int) -> None:
        """Bits are summed in pairs, fours and eights at once, as in Hacker's Delight, figure 5-2.

        What breaks a pattern is counted, for padding breaks none.
        """
        words = packed.view(np.uint64)
        self.zeros += elements - _set(words)
        pairs = words - (words >> _ONE & _repeated(0x55))
        fours = (pairs & _repeated(0x33)) + (pairs >> _TWO & _repeated(0x33))
        # 3 or 4 and one more reach the bit of value 4; 5 to 8 and three more that of 8.
        self.two_four += elements // 4 - _set(fours + _repeated(0x11) & _repeated(0x44))
        eights = fours + (fours >> _FOUR) & _repeated(0x0F)
        self.four_eight += elements // 8 - _set(eights + _repeated(0x03) & _repeated(0x08))

    def _blocks(self, packed: Array, rows: int, columns: int) -> None:
        halves = packed.view(np.uint16).reshape(-1, 16, packed.shape[1] // 2)
        found = np.bitwise_or.reduce(halves, axis=1)[: (rows + 15) // 16, : (columns + 15) // 16]
        self.blocks16 += int(np.count_nonzero(found == 0))
        whole = packed.view(np.uint32).reshape(-1, 32, packed.shape[1] // 4)
        found = np.bitwise_or.reduce(whole, axis=1)[:, : (columns + 31) // 32]
        self.blocks32 += int(np.count_nonzero(found == 0))


def _set(words: Array) -> int:
    return int(np.bitwise_count(words).sum(dtype=np.int64))


def _marks(bits: Array, dtype: str, scratch: Array) -> Array:
    """True where an element is no zero, over the bytes of `scratch`."""
    used = 0
    if dtype in FLOATS and bits.itemsize < 4:
        # Doubling drops the sign.
        used = bits.nbytes
        doubled = scratch[:used].view(bits.dtype).reshape(bits.shape)
        bits = np.add(bits, bits, out=doubled)
    elif dtype in FLOATS:
        bits = bits.view(f"f{bits.itemsize}")
    marks = scratch[used : used + bits.size].view(bool).reshape(bits.shape)
    return np.not_equal(bits, 0, out=marks)


def _packed(marks: Array) -> Array:
    """One bit a mark, padded with zeros to whole blocks of rows and whole words of 64 columns."""
    rows, columns = marks.shape
    packed = np.packbits(marks, axis=1)
    if rows % ROWS == 0 and columns % 64 == 0:
        return packed
    padded = np.zeros((-(-rows // ROWS) * ROWS, -(-columns // 64) * 8), np.uint8)
    padded[:rows, : packed.shape[1]] = packed
    return padded
