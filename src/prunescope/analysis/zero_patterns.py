"""Where do a matrix's zeros lie? N:M groups, empty blocks, rows and columns, from one bit each.

N:M is NVIDIA's semi-structured sparsity: of each M neighbours in a row at least M - N are zero
(2:4: https://arxiv.org/abs/2104.08378). Eight neighbours make a byte, and how often each of the 256
bytes occurs says all about groups of four and of eight.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from prunescope.analysis.value_statistics import FLOATS, Array
from prunescope.extras import require

if TYPE_CHECKING:
    import numpy as np
else:
    np = require("numpy", "weights")

# Rows of a tile, but for the last: whole blocks.
ROWS = 32
# A wide tile is marked in strips of as many columns: what they take is bounded.
_STRIP = 1 << 16
_BITS = np.array([n.bit_count() for n in range(256)])
_TWO_OF_FOUR = np.array([(n >> 4).bit_count() <= 2 for n in range(256)], np.int64) + np.array(
    [(n & 15).bit_count() <= 2 for n in range(256)], np.int64
)
_FOUR_OF_EIGHT = _BITS <= 4


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
        return self.columns - int(_BITS[self.seen].sum())

    def add_full(self) -> None:
        """Count rows without a zero."""
        self.seen[:] = 255
        if self.columns % 8:
            self.seen[-1] = 256 - (256 >> self.columns % 8)

    def add(self, bits: Array, dtype: str) -> None:
        """Count rows of elements: `bits` is [rows, columns], and its first row starts blocks."""
        rows = len(bits)
        filled = np.zeros(rows, bool)
        for start in range(0, self.columns, _STRIP):
            strip = bits[:, start : start + _STRIP]
            # Doubling drops a float's sign.
            packed = np.packbits((strip + strip if dtype in FLOATS else strip) != 0, axis=1)
            self._groups(packed, strip.shape[1], rows)
            self._blocks(packed)
            filled |= packed.any(axis=1)
            bytes_seen = self.seen[start // 8 : start // 8 + packed.shape[1]]
            bytes_seen |= np.bitwise_or.reduce(packed, axis=0)
        self.empty_rows += rows - int(np.count_nonzero(filled))

    def _groups(self, packed: Array, width: int, rows: int) -> None:
        histogram = np.bincount(packed.ravel(), minlength=256)
        self.zeros += rows * width - int(histogram @ _BITS)
        self.four_eight += int(histogram @ _FOUR_OF_EIGHT)
        # Where half a byte is padding, that half is no group.
        self.two_four += int(histogram @ _TWO_OF_FOUR) - rows * (width % 8 == 4)

    def _blocks(self, packed: Array) -> None:
        rows, width = packed.shape
        padded = np.zeros((rows, (width + 3) // 4 * 4), np.uint8)
        padded[:, :width] = packed
        starts16, starts32 = np.arange(0, rows, 16), np.arange(0, rows, 32)
        halves = np.bitwise_or.reduceat(padded.view(np.uint16), starts16, axis=0)
        self.blocks16 += int(np.count_nonzero(halves[:, : (width + 1) // 2] == 0))
        blocks = np.bitwise_or.reduceat(padded.view(np.uint32), starts32, axis=0)
        self.blocks32 += int(np.count_nonzero(blocks == 0))
