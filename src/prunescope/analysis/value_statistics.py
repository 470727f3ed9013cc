"""What are a tensor's values like? Mean, spread and extremes, from the bits of each piece of it.

Extremes come from integer comparisons: IEEE 754 numbers are a sign and a magnitude whose bits sort
as the values do. Sums come from float32, into which the narrow types are shifted lane by lane: an
element with e exponent bits, its sign in the top bit of a word, is that word shifted right by 8 - e
with the sign repeated, times 2^(127 - bias) (https://en.wikipedia.org/wiki/Minifloat; for F8:
https://arxiv.org/abs/2209.05433).
"""

from __future__ import annotations

from dataclasses import dataclass
from math import inf, isfinite, ldexp, sqrt
from typing import TYPE_CHECKING, Any

from prunescope.extras import require

if TYPE_CHECKING:
    import numpy as np
else:
    np = require("numpy", "weights")

Array = Any  # numpy's arrays of any dtype
# Elements that are summed in float32 before float64 takes over.
_SEGMENT = 1024
_ONES: dict[int, Array] = {
    4: np.ones((_SEGMENT, 1), np.float32),
    8: np.ones((_SEGMENT, 1), np.float64),
}
# Squares of what lies between are ordinary float32 numbers, even the sum of a segment of them.
_TINY, _HUGE = 1e-15, 1e15


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


@dataclass(frozen=True, slots=True)
class Values:
    """Statistics of the finite values among some elements.

    Attributes:
        count: finite elements.
        nonfinite: NaN and infinite ones.
        mean: of the finite.
        squares: sum of their squared distances from the mean.
        minimum, maximum: of the finite; inf and -inf where there are none.
    """

    count: int = 0
    nonfinite: int = 0
    mean: float = 0.0
    squares: float = 0.0
    minimum: float = inf
    maximum: float = -inf

    @property
    def std(self) -> float:
        """Standard deviation of the elements themselves: divided by n, not n - 1."""
        return sqrt(self.squares / self.count) if self.count else 0.0

    @property
    def absmax(self) -> float:
        """Largest magnitude; 0 of nothing."""
        return max(-self.minimum, self.maximum, 0.0)

    def __add__(self, other: Values) -> Values:
        """Statistics of both sets together.

        Source: Chan, Golub and LeVeque, "Updating Formulae and a Pairwise Algorithm for Computing
        Sample Variances", 1979 (http://i.stanford.edu/pub/cstr/reports/cs/tr/79/773/CS-TR-79-773.pdf).
        """
        count = self.count + other.count
        apart = other.mean - self.mean
        share = other.count / count if count else 0.0
        return Values(
            count,
            self.nonfinite + other.nonfinite,
            self.mean + apart * share,
            self.squares + other.squares + apart * apart * self.count * share,
            min(self.minimum, other.minimum),
            max(self.maximum, other.maximum),
        )


def statistics(bits: Array, dtype: str, scratch: Array) -> tuple[Values, bool]:
    """Statistics of a row of elements, and whether a zero is among them.

    Args:
        bits: one axis, contiguous: unsigned words of a float type, or integers as they are.
        dtype: a key of `FLOATS` or `INTEGERS`.
        scratch: a row of uint32 to overwrite, as many as there are elements and three: allocated
            anew for each piece, memory takes longer to get than to fill.
    """
    # A spread beyond float64 is infinite, and signalling NaNs are no news: no warnings of either.
    with np.errstate(over="ignore", invalid="ignore"):
        return _statistics(bits, dtype, scratch)


def _statistics(bits: Array, dtype: str, scratch: Array) -> tuple[Values, bool]:
    if dtype in INTEGERS:
        low, high = float(bits.min()), float(bits.max())
        has_zero = low <= 0 <= high and np.count_nonzero(bits) < bits.size
        wide = np.float32 if bits.itemsize == 1 else np.float64
        return _summed(bits.astype(wide), bits, dtype, low, high), has_zero
    kind = FLOATS[dtype]
    signed = bits.view(f"i{bits.itemsize}")
    top, bottom = int(bits.max()), int(bits.min())
    most, least = int(signed.max()), int(signed.min())
    sign = 1 << (kind.bits - 1)
    has_zero = bottom == 0 or least == -sign
    # Of negative numbers the one with the largest bits is the lowest.
    low_bits, high_bits = (top if top >= sign else bottom), (most if most >= 0 else bottom)
    if max(low_bits & (sign - 1), high_bits & (sign - 1)) >= kind.infinity:
        return _exact(bits, dtype), has_zero
    low, high = kind.value(low_bits), kind.value(high_bits)
    magnitude = max(-low, high)
    if kind.bits < 64 and magnitude and not _TINY < magnitude < _HUGE:
        return _exact(bits, dtype), has_zero
    return _summed(_floats(bits, kind, scratch), bits, dtype, low, high), has_zero


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


def _floats(bits: Array, kind: Floats, scratch: Array) -> Array:
    """The elements as floats wide enough to sum: in any order, and with zeros where they do not
    fill a word."""
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


def _summed(floats: Array, bits: Array, dtype: str, low: float, high: float) -> Values:
    """`floats` are the elements of `bits`, and perhaps zeros."""
    count = bits.size
    total = squares = 0.0
    whole = floats.size - floats.size % _SEGMENT
    if whole:
        segments = floats[:whole].reshape(-1, 1, _SEGMENT)
        # Row by column: numpy hands each segment to BLAS as one dot product.
        total = float(np.matmul(segments, _ONES[floats.itemsize]).sum(dtype=np.float64))
        squares = float(np.matmul(segments, segments.swapaxes(1, 2)).sum(dtype=np.float64))
    if whole < floats.size:
        rest = floats[whole:].astype(np.float64)
        total += float(rest.sum())
        squares += float(rest @ rest)
    mean = total / count
    apart = squares - total * mean
    if apart < 0.5 * squares:
        # Values far from zero, as in a norm: their spread would drown in rounding.
        return _exact(bits, dtype)
    return Values(count, 0, mean, apart, low, high)


def _exact(bits: Array, dtype: str) -> Values:
    """The same by two passes in float64."""
    every = decoded(bits, dtype)
    values = every[np.isfinite(every)]
    if not values.size:
        return Values(nonfinite=every.size)
    total = float(values.sum())
    # The largest float64 numbers, divided first, have a sum too.
    mean = total / values.size if isfinite(total) else float((values / values.size).sum())
    apart = values - mean
    squares = float((apart * apart).sum())
    # Adding 0 drops a zero's sign.
    low, high = float(values.min()) + 0.0, float(values.max()) + 0.0
    return Values(values.size, every.size - values.size, mean, squares, low, high)
