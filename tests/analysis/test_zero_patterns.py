"""Zeros packed into bits give what a look at every element gives."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from prunescope.analysis.sparsity import _band, _Held
from prunescope.analysis.zero_marks import ROWS, Scratch, has_zero
from prunescope.analysis.zero_patterns import ZeroCount

WIDTHS = {"F64": 8, "F32": 4, "BF16": 2, "F16": 2, "F8_E5M2": 1, "F8_E4M3": 1}
INTEGERS = {
    "I8": "i1", "U8": "u1", "I16": "i2", "U16": "u2", "I32": "i4", "U32": "u4", "I64": "i8",
    "U64": "u8",
}  # fmt: skip
DTYPES = [*WIDTHS, *INTEGERS]
FIGURES = (
    "zeros", "two_four", "four_eight", "blocks16", "blocks32", "empty_rows", "empty_columns",
)  # fmt: skip


def elements(zero: Any, dtype: str, seed: int) -> Any:
    """Any bits at all, NaN and denormals too, but for zeros, of either sign, where `zero` says."""
    random = np.random.default_rng(seed)
    kind = np.dtype(INTEGERS.get(dtype) or f"u{WIDTHS[dtype]}")
    raw = random.integers(0, 256, (*zero.shape, kind.itemsize), dtype=np.uint8)
    # The lowest bit: neither zero then has it, whatever the others are.
    raw[..., 0] |= 1
    raw[zero] = 0
    if dtype in WIDTHS:
        # The sign, in the last byte.
        raw[..., -1] |= np.where(zero & (random.random(zero.shape) < 0.5), 0x80, 0).astype("u1")
    return raw.view(kind)[..., 0]


def expected(zero: Any) -> dict[str, int]:
    """Every figure from the truth about each element, by the plainest expression for it."""
    rows, columns = zero.shape
    found = {
        "zeros": int(zero.sum()),
        "empty_rows": int(zero.all(1).sum()),
        "empty_columns": int(zero.all(0).sum()),
    }
    for name, group in (("two_four", 4), ("four_eight", 8)):
        if columns % group == 0:
            found[name] = int((zero.reshape(-1, group).sum(1) >= group // 2).sum())
    for side in (16, 32):
        corners = [(r, c) for r in range(0, rows, side) for c in range(0, columns, side)]
        blocks = (zero[r : r + side, c : c + side] for r, c in corners)
        found[f"blocks{side}"] = sum(bool(block.all()) for block in blocks)
    return found


def check(found: ZeroCount, zero: Any) -> None:
    for name, count in expected(zero).items():
        assert getattr(found, name) == count, name


@st.composite
def masks(draw: st.DrawFn) -> Any:
    """Where zeros are: by chance, and in whole rows, columns and blocks."""
    rows, columns = draw(st.integers(1, 100)), draw(st.integers(1, 200))
    random = np.random.default_rng(draw(st.integers(0, 9999)))
    share = draw(st.sampled_from([0, 0, 0.001, 0.3, 0.5, 0.9, 1]))
    zero = random.random((rows, columns)) < share
    if draw(st.booleans()):
        zero[random.integers(0, rows, 3)] = True
        zero[:, random.integers(0, columns, 3)] = True
        top, left = 32 * random.integers(0, 3), 32 * random.integers(0, 6)
        zero[top : top + 32, left : left + 32] = True
    return zero


@settings(deadline=None, max_examples=200)
@given(zero=masks(), dtype=st.sampled_from(DTYPES), seed=st.integers(0, 99))
def test_each_dtype_and_any_width(zero: Any, dtype: str, seed: int) -> None:
    bits = elements(zero, dtype, seed)
    found = ZeroCount(zero.shape[1])
    found.add(bits, dtype, Scratch(1 << 16))
    check(found, zero)
    assert has_zero(bits.reshape(-1), dtype) == zero.any()


@settings(
    deadline=None, max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    zero=masks(), dtype=st.sampled_from(["F32", "BF16", "F8_E4M3", "I16"]),
    piece=st.sampled_from([1, 7, 64, 300]), strip=st.sampled_from([32, 64, 96, 128]),
    tile=st.sampled_from([64, 2048]), values=st.booleans(),
)  # fmt: skip
def test_wherever_pieces_strips_and_tiles_end(
    monkeypatch: pytest.MonkeyPatch, zero: Any, dtype: str, piece: int, strip: int, tile: int,
    values: bool,
) -> None:  # fmt: skip
    monkeypatch.setattr("prunescope.analysis.zero_marks._PIECE", piece)
    monkeypatch.setattr("prunescope.analysis.zero_patterns.STRIP", strip)
    monkeypatch.setattr("prunescope.analysis.sparsity._TILE", tile)
    bits = elements(zero, dtype, 0)
    found, _ = _band(bits, dtype, values, _Held())
    check(found, zero)
    # No room but for the fewest rows.
    found = ZeroCount(zero.shape[1])
    found.add(bits, dtype, Scratch(ROWS * 128))
    check(found, zero)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("order", [(0, 1, 0), (1, 0, 0), (0, 0, 1), (1, 1, 1), (0, 0, 0)], ids=str)
def test_tiles_with_zeros_beside_tiles_without(
    monkeypatch: pytest.MonkeyPatch, dtype: str, order: tuple[int, ...]
) -> None:
    monkeypatch.setattr("prunescope.analysis.sparsity._TILE", ROWS * 72)
    zero = np.zeros((ROWS * len(order), 72), bool)
    for tile, has in enumerate(order):
        zero[ROWS * tile + 5, 71] = zero[ROWS * (tile + 1) - 1, 3] = has
    found, _ = _band(elements(zero, dtype, 1), dtype, False, _Held())
    check(found, zero)


@pytest.mark.parametrize("broken", [None, (0, 0), (63, 252), (32, 128)], ids=str)
def test_groups_of_exactly_half_zeros_and_one_with_less(broken: tuple[int, int] | None) -> None:
    # Where every four has two zeros every eight has four; one more element must be seen in both.
    zero = np.tile(np.array([[True, False, False, True], [False, True, True, False]]), (32, 64))
    if broken:
        zero[broken[0], broken[1] : broken[1] + 4] = [False, False, True, False]
    found = ZeroCount(256)
    found.add(elements(zero, "BF16", 2), "BF16", Scratch(1 << 16))
    check(found, zero)
    assert (found.two_four, found.four_eight) == ((4096, 2048) if not broken else (4095, 2047))


def test_what_was_worked_in_leaves_nothing_behind() -> None:
    scratch = Scratch(1 << 16)
    ZeroCount(200).add(np.ones((64, 200), np.uint16), "BF16", scratch)
    zero = np.ones((3, 5), bool)
    found = ZeroCount(5)
    found.add(elements(zero, "BF16", 0), "BF16", scratch)
    check(found, zero)


def test_counts_of_parts_are_those_of_the_whole() -> None:
    zero = np.random.default_rng(3).random((96, 40)) < 0.4
    zero[:, 7] = True
    bits = elements(zero, "F16", 3)
    whole, parts = ZeroCount(40), ZeroCount(40)
    whole.add(bits, "F16", Scratch(1 << 16))
    for start in (0, 32, 64):
        part = ZeroCount(40)
        part.add(bits[start : start + 32], "F16", Scratch(1 << 16))
        parts += part
    assert [getattr(whole, name) for name in FIGURES] == [getattr(parts, name) for name in FIGURES]
    check(whole, zero)
