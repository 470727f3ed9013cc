"""The two orders of a head's rows, written out, and that each undoes the other."""

from __future__ import annotations

import pytest

from prunescope.architecture.row_order import halves_from_pairs, pairs_from_halves


def test_a_head_of_eight_rows_by_hand() -> None:
    # Meta turns rows 0 and 1, transformers 0 and 4: its row 4 is Meta's 1.
    assert halves_from_pairs(8) == (0, 2, 4, 6, 1, 3, 5, 7)
    assert pairs_from_halves(8) == (0, 4, 1, 5, 2, 6, 3, 7)


@pytest.mark.parametrize("head_dim", [2, 6, 128])
def test_one_order_undoes_the_other(head_dim: int) -> None:
    halves = halves_from_pairs(head_dim)
    assert [halves[row] for row in pairs_from_halves(head_dim)] == list(range(head_dim))
