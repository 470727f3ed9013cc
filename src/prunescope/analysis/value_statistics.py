"""What are a tensor's values like? Mean, spread and extremes, from the bits of each piece of it.

Extremes come from integer comparisons: IEEE 754 numbers are a sign and a magnitude whose bits sort
as the values do. Sums come from float32, a segment at a time.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import inf, isfinite, sqrt
from typing import TYPE_CHECKING

from prunescope.analysis.number_formats import FLOATS, INTEGERS, Array, decoded, summable
from prunescope.extras import require

if TYPE_CHECKING:
    import numpy as np
else:
    np = require("numpy", "weights")

# Elements that are summed in float32 before float64 takes over.
_SEGMENT = 1024
_ONES: dict[int, Array] = {
    4: np.ones((_SEGMENT, 1), np.float32),
    8: np.ones((_SEGMENT, 1), np.float64),
}
# Squares of what lies between are ordinary float32 numbers, even the sum of a segment of them.
_TINY, _HUGE = 1e-15, 1e15


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
    return _summed(summable(bits, kind, scratch), bits, dtype, low, high), has_zero


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
