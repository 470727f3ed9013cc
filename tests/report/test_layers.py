"""Layers that are alike share a row, and only these."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from prunescope.report.layers import collapsed


def test_equal_neighbours_share_a_row() -> None:
    rows = [[str(n), "cut" if 3 <= n < 30 else "whole"] for n in range(32)]

    assert collapsed(rows) == [["0-2 ×3", "whole"], ["3-29 ×27", "cut"], ["30-31 ×2", "whole"]]
    assert collapsed(rows, every=True) == rows


def test_what_is_missing_between_two_layers_keeps_them_apart() -> None:
    assert collapsed([["1", "x"], ["3", "x"], ["4", "x"]]) == [["1", "x"], ["3-4 ×2", "x"]]


def test_what_is_no_number_stays_alone() -> None:
    assert collapsed([["?", "x"], ["?", "x"]]) == [["?", "x"], ["?", "x"]]


def test_two_numbers_go_up_together() -> None:
    rows = [["0", "0", "x"], ["1", "1", "x"], ["5", "2", "x"], ["6", "3", "x"], ["7", "9", "x"]]

    assert collapsed(rows, 2) == [["0-1 ×2", "0-1 ×2", "x"], ["5-6 ×2", "2-3 ×2", "x"], rows[4]]


@given(st.lists(st.sampled_from("abc")))
def test_the_rows_can_be_told_from_what_is_shown(cells: list[str]) -> None:
    again = []
    for number, cell in collapsed([[str(n), c] for n, c in enumerate(cells)]):
        first, _, times = number.partition(" ×")
        start = int(first.partition("-")[0])
        again += [[str(n), cell] for n in range(start, start + int(times or 1))]
    assert again == [[str(n), c] for n, c in enumerate(cells)]
