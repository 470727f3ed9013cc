"""Where do a matrix's zeros lie? N:M groups, empty blocks, rows and columns, from one bit each.

N:M is NVIDIA's semi-structured sparsity: of each M neighbours in a row at least M - N are zero
(2:4: https://arxiv.org/abs/2104.08378). With eight neighbours in a byte, a processor's word holds
sixteen groups of four or eight of eight, and a block of 16 or 32 columns is an element.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from prunescope.analysis.number_formats import Array
from prunescope.analysis.zero_marks import ROWS, Scratch, packed, words_in
from prunescope.extras import require

if TYPE_CHECKING:
    import numpy as np
else:
    np = require("numpy", "weights", "bitwise_count")

# A wide matrix is counted in strips of as many columns, whole blocks of them.
STRIP = 1 << 16
_ONE, _TWO, _FOUR = np.uint64(1), np.uint64(2), np.uint64(4)
# A byte eight times over, for all bytes of a word at once.
_X03, _X08, _X0F, _X11, _X33, _X44, _X55 = (
    np.uint64(byte * 0x0101_0101_0101_0101) for byte in (0x03, 0x08, 0x0F, 0x11, 0x33, 0x44, 0x55)
)


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
        return self.columns - int(np.bitwise_count(self.seen).sum(dtype=np.int64))

    def add_full(self) -> None:
        """Count rows without a zero."""
        self.seen[:] = 255
        if self.columns % 8:
            self.seen[-1] = 256 - (256 >> self.columns % 8)

    def add(self, bits: Array, dtype: str, scratch: Scratch) -> None:
        """Count rows of elements.

        Args:
            bits: [rows, columns], as `has_zero` takes them; its first row starts blocks.
            dtype: theirs.
        """
        step = len(scratch.packed) // words_in(min(self.columns, STRIP)) // ROWS * ROWS
        for top in range(0, len(bits), step):
            tile = bits[top : top + step]
            filled = np.zeros(len(tile), np.uint64)
            for start in range(0, self.columns, STRIP):
                strip = tile[:, start : start + STRIP]
                words = packed(strip, dtype, scratch)
                self._groups(words[: len(tile)], strip.size, scratch)
                seen = self.seen[start // 8 : -(-(start + strip.shape[1]) // 8)]
                seen |= self._blocks(words, *strip.shape)[: seen.size]
                filled |= np.bitwise_or.reduce(words[: len(tile)], axis=1)
            self.empty_rows += len(tile) - int(np.count_nonzero(filled))

    def _groups(self, words: Array, elements: int, scratch: Scratch) -> None:
        """Bits are summed in pairs, fours and eights at once, as in Hacker's Delight, figure 5-2.

        What breaks a pattern is counted, for padding breaks none. Everything is made in place:
        each of these arrays would else be new memory.
        """
        flat = words.reshape(-1)
        size = flat.size
        sums, more, counts = scratch.sums[:size], scratch.more[:size], scratch.counts[:size]
        self.zeros += elements - _set(flat, counts)
        # Pairs: of two bits ab, 2a + b - a is their sum.
        np.right_shift(flat, _ONE, out=more)
        np.bitwise_and(more, _X55, out=more)
        np.subtract(flat, more, out=sums)
        # Fours.
        np.right_shift(sums, _TWO, out=more)
        np.bitwise_and(more, _X33, out=more)
        np.bitwise_and(sums, _X33, out=sums)
        np.add(sums, more, out=sums)
        # 3 or 4 and one more reach the bit of value 4; 5 to 8 and three more that of 8.
        np.add(sums, _X11, out=more)
        np.bitwise_and(more, _X44, out=more)
        broken = _set(more, counts)
        self.two_four += elements // 4 - broken
        self.four_eight += elements // 8
        if not broken:
            # Two groups of 2:4 are one of 4:8.
            return
        np.right_shift(sums, _FOUR, out=more)
        np.add(sums, more, out=sums)
        np.bitwise_and(sums, _X0F, out=sums)
        np.add(sums, _X03, out=sums)
        np.bitwise_and(sums, _X08, out=sums)
        self.four_eight -= _set(sums, counts)

    def _blocks(self, words: Array, rows: int, columns: int) -> Array:
        """Count empty blocks; returns `seen` of these columns."""
        low = np.bitwise_or.reduce(words.reshape(-1, 16, words.shape[1]), axis=1)
        high = low[::2] | low[1::2]
        self.blocks16 += _empty(low.view(np.uint16), rows, columns, 16)
        self.blocks32 += _empty(high.view(np.uint32), rows, columns, 32)
        seen: Array = np.bitwise_or.reduce(high, axis=0).view(np.uint8)
        return seen


def _empty(blocks: Array, rows: int, columns: int, side: int) -> int:
    """Blocks without a mark; those of padding alone are no blocks."""
    found = blocks[: -(-rows // side), : -(-columns // side)]
    return int(found.size - np.count_nonzero(found))


def _set(words: Array, counts: Array) -> int:
    """How many bits are set; `counts` is overwritten."""
    return int(np.bitwise_count(words, out=counts).sum(dtype=np.int64))
