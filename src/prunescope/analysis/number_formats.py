"""Which numbers do a tensor's bits stand for? The types that weights come in, and their decoding.

A narrow float is float32 but for where its bits lie: an element with e exponent bits, its sign in
the top bit of a word, is that word shifted right by 8 - e with the sign repeated, times
2^(127 - bias) (https://en.wikipedia.org/wiki/Minifloat; for F8: https://arxiv.org/abs/2209.05433).
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ldexp
from typing import TYPE_CHECKING, Any

from prunescope.extras import require

if TYPE_CHECKING:
    import numpy as np
else:
    np = require("numpy", "weights")

Array = Any  # numpy's arrays of any dtype


@dataclass(frozen=True, slots=True)
class Floats:
    """A float type: bits in all, bits of its exponent, and whether it has infinities."""

    bits: int
    exponent: int
    has_inf: bool = True

    @property
    def infinity(self) -> int:
        """The magnitude from which on bits are no finite number."""
        if not self.has_inf:
            # F8_E4M3 gives one pattern to NaN and all others to numbers.
            return (1 << (self.bits - 1)) - 1
        return ((1 << self.exponent) - 1) << (self.bits - 1 - self.exponent)

    @property
    def bias(self) -> int:
        """What is added to an exponent that is stored."""
        return (1 << (self.exponent - 1)) - 1

    def value(self, bits: int) -> float:
        """The number, neither infinite nor NaN, that `bits` stand for."""
        mantissa_bits = self.bits - 1 - self.exponent
        exponent = bits >> mantissa_bits & ((1 << self.exponent) - 1)
        mantissa = bits & ((1 << mantissa_bits) - 1)
        if exponent:
            mantissa |= 1 << mantissa_bits
        magnitude = ldexp(mantissa, max(exponent, 1) - self.bias - mantissa_bits)
        # A zero has no sign here.
        return -magnitude if bits >> (self.bits - 1) and magnitude else magnitude


FLOATS = {
    "F64": Floats(64, 11),
    "F32": Floats(32, 8),
    "BF16": Floats(16, 8),
    "F16": Floats(16, 5),
    "F8_E5M2": Floats(8, 5),
    "F8_E4M3": Floats(8, 4, has_inf=False),
}
INTEGERS = {
    "I8": "i1", "U8": "u1", "I16": "i2", "U16": "u2", "I32": "i4", "U32": "u4", "I64": "i8",
    "U64": "u8",
}  # fmt: skip


def decoded(bits: Array, dtype: str) -> Array:
    """The elements in float64, exactly where float64 can."""
    if dtype in INTEGERS:
        return bits.astype(np.float64)
    kind = FLOATS[dtype]
    if kind.bits >= 32:
        return bits.view(f"f{bits.itemsize}").astype(np.float64)
    words = bits.astype(np.uint32) << np.uint32(32 - kind.bits)
    if kind.exponent == 8:
        with np.errstate(invalid="ignore"):
            return words.view(np.float32).astype(np.float64)
    values = _shifted(words, kind, words).view(np.float32).astype(np.float64) * _scale(kind)
    magnitudes = bits & bits.dtype.type((1 << (kind.bits - 1)) - 1)
    values[magnitudes >= kind.infinity] = np.nan
    return values


def _scale(kind: Floats) -> float:
    return float(2.0 ** (127 - kind.bias))


def _shifted(words: Array, kind: Floats, out: Array) -> Array:
    """Words whose top bits are elements, as the bits of float32 numbers."""
    np.right_shift(words.view(np.int32), np.int32(8 - kind.exponent), out=out.view(np.int32))
    mantissa = kind.bits - 1 - kind.exponent
    kept = 0x80000000 | ((1 << (kind.exponent + mantissa)) - 1) << (23 - mantissa)
    return np.bitwise_and(out, np.uint32(kept), out=out)


def summable(bits: Array, kind: Floats, scratch: Array) -> Array:
    """The elements in float32 or wider: in any order, and with zeros where they do not fill a word.

    `scratch`, a row of uint32 as long as the elements and three, is overwritten.
    """
    if kind.bits >= 32:
        return bits.view(f"f{bits.itemsize}")
    lanes = 32 // kind.bits
    if bits.size % lanes:
        bits = np.concatenate([bits, np.zeros(-bits.size % lanes, bits.dtype)])
    packed = bits.view(np.uint32)
    for lane in range(lanes):
        words = scratch[lane * packed.size : (lane + 1) * packed.size]
        if lane:
            np.left_shift(packed, np.uint32(kind.bits * lane), out=words)
        if kind.exponent < 8:
            _shifted(words if lane else packed, kind, words)
        elif not lane:
            np.bitwise_and(packed, np.uint32(0xFFFF0000), out=words)
    floats = scratch[: bits.size].view(np.float32)
    if kind.exponent < 8:
        np.multiply(floats, np.float32(_scale(kind)), out=floats)
    return floats
