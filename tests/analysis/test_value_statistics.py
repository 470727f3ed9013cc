"""Values come from bits: every pattern of the narrow types, and any cut of any row."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from prunescope.analysis.number_formats import FLOATS, decoded
from prunescope.analysis.value_statistics import Values, statistics

TORCH = {
    "F64": torch.float64, "F32": torch.float32, "BF16": torch.bfloat16, "F16": torch.float16,
    "F8_E5M2": torch.float8_e5m2, "F8_E4M3": torch.float8_e4m3fn,
}  # fmt: skip
NARROW = [name for name, kind in FLOATS.items() if kind.bits <= 16]


def every_pattern(name: str) -> tuple[np.ndarray, np.ndarray]:
    """All bit patterns of a type, and torch's values of them in float64."""
    bits = FLOATS[name].bits
    patterns = np.arange(1 << bits, dtype=f"u{bits // 8}")
    as_torch = torch.from_numpy(patterns.copy()).view(TORCH[name])
    return patterns, as_torch.double().numpy()


def found(bits: np.ndarray, name: str) -> tuple[Values, bool]:
    return statistics(bits, name, np.empty(bits.size + 3, np.uint32))


@pytest.mark.parametrize("name", NARROW)
def test_every_pattern_decodes_as_torch_decodes_it(name: str) -> None:
    patterns, values = every_pattern(name)
    ours = decoded(patterns, name)
    finite = np.isfinite(values)
    assert np.array_equal(np.isfinite(ours), finite)
    assert np.array_equal(ours[finite], values[finite])
    kind = FLOATS[name]
    numbers = [kind.value(int(p)) for p in patterns[finite]]
    assert np.array_equal(numbers, values[finite])
    assert all(math.copysign(1, x) == 1 for x in numbers if x == 0)


@pytest.mark.parametrize("name", NARROW)
def test_each_pattern_alone_has_its_extremes(name: str) -> None:
    patterns, values = every_pattern(name)
    step = 1 if len(patterns) == 256 else 37
    for place in range(0, len(patterns), step):
        one, has_zero = found(patterns[place : place + 1], name)
        value = values[place]
        assert has_zero == (value == 0)
        if np.isfinite(value):
            assert (one.minimum, one.maximum, one.mean, one.std) == (value, value, value, 0)
        else:
            assert (one.count, one.nonfinite) == (0, 1)


@pytest.mark.parametrize("name", FLOATS)
def test_without_a_positive_or_a_negative_number_extremes_are_right(name: str) -> None:
    values = torch.tensor([3.0, 0.5, 2.0, 0.25, 1.5]).to(TORCH[name])
    width = FLOATS[name].bits // 8
    for sign in (1, -1):
        signed = (values.double() * sign).to(TORCH[name])
        bits = np.frombuffer(signed.view(torch.uint8).numpy().tobytes(), f"u{width}")
        measured, has_zero = found(bits, name)
        assert not has_zero
        assert sorted([abs(measured.minimum), abs(measured.maximum)]) == [0.25, 3]
        assert measured.minimum < measured.maximum
        assert measured.absmax == 3


@pytest.mark.parametrize("name", ["F32", "F64"])
def test_patterns_of_the_wide_types(name: str) -> None:
    kind, real = FLOATS[name], {"F32": np.float32, "F64": np.float64}[name]
    limits = np.finfo(real)
    odd = [0.0, -0.0, limits.tiny, -limits.tiny, limits.smallest_subnormal, limits.max, 1.5, -2.75]
    bits = np.array(odd, real).view(f"u{kind.bits // 8}")
    assert [kind.value(int(b)) for b in bits] == odd
    measured, has_zero = found(bits, name)
    assert has_zero
    assert (measured.minimum, measured.maximum) == (-2.75, limits.max)


@given(st.lists(st.lists(st.floats(-1e6, 1e6), max_size=20), min_size=1, max_size=5))
def test_parts_add_up_to_the_whole(parts: list[list[float]]) -> None:
    total = Values()
    for part in parts:
        if part:
            total += found(np.array(part).view(np.uint64), "F64")[0]
    every = np.array([x for part in parts for x in part])
    assert total.count == every.size
    if every.size:
        near = 1e-9 * (1 + abs(every).max())
        assert total.mean == pytest.approx(every.mean(), abs=near)
        assert total.std == pytest.approx(every.std(), abs=near)
        assert (total.minimum, total.maximum) == (every.min(), every.max())
