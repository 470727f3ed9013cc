"""Calibration windows are chosen by seed, never overlap, and have a digest of their own."""

from __future__ import annotations

import hashlib
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prunescope.errors import PlanError
from prunescope.pruning.calibration import choose_windows

TOKENS = list(range(1000, 1100))


@given(count=st.integers(1, 10), length=st.integers(1, 10), seed=st.integers(0, 2**64 - 1))
def test_windows_are_runs_of_the_text_that_do_not_overlap(
    count: int, length: int, seed: int
) -> None:
    windows = choose_windows(TOKENS, count, length, seed, "x").windows
    assert len(windows) == count
    # Every token of this text is there once, so an overlap would show as a token seen twice.
    seen = [token for window in windows for token in window]
    assert len(seen) == len(set(seen)) == count * length
    for window in windows:
        assert list(window) == list(range(window[0], window[0] + length))


def test_the_seed_decides() -> None:
    first, again, other = (choose_windows(TOKENS, 3, 5, seed, "x") for seed in (1, 1, 2))
    assert first == again
    assert first.windows != other.windows
    assert first.digest != other.digest


def test_the_digest_is_that_of_the_ids_as_little_endian_int64() -> None:
    chosen = choose_windows([0, 1, 255, 256, 49151, 128255], 3, 2, 0, "x")
    flat = [token for window in chosen.windows for token in window]
    assert sorted(flat) == [0, 1, 255, 256, 49151, 128255]
    assert chosen.digest == hashlib.sha256(struct.pack("<6q", *flat)).hexdigest()


def test_a_text_of_exactly_the_windows_is_long_enough() -> None:
    windows = choose_windows(TOKENS[:6], 3, 2, 0, "x").windows
    assert sorted(windows) == [(1000, 1001), (1002, 1003), (1004, 1005)]


def test_a_text_too_short_is_refused_with_its_figures() -> None:
    with pytest.raises(PlanError) as caught:
        choose_windows(TOKENS[:5], 3, 2, 0, "notes.txt")
    assert str(caught.value) == "notes.txt: 5 tokens hold 2 windows of 2, 3 are needed"
