"""The units that score highest stay, in their order."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prunescope.errors import PlanError
from prunescope.pruning.groups import Group
from prunescope.pruning.selection import select
from prunescope.pruning.targets import Target


def target(units: int, remove: int) -> Target:
    return Target(Group(7, "mlp", units, {"channels": 1}, ()), remove)


def test_the_lowest_scores_go_and_both_lists_ascend() -> None:
    cut = select(target(5, 2), [0.5, 0.1, 0.9, 0.2, 0.7])
    assert cut.kept == [0, 2, 4]
    assert cut.removed == [1, 3]
    assert cut.scores == [0.5, 0.1, 0.9, 0.2, 0.7]


def test_of_equal_scores_the_first_units_go() -> None:
    assert select(target(5, 3), [1.0, 0.0, 1.0, 1.0, 1.0]).kept == [3, 4]


def test_nothing_to_remove_keeps_all() -> None:
    cut = select(target(3, 0), [3.0, 1.0, 2.0])
    assert (cut.kept, cut.removed) == ([0, 1, 2], [])


@given(st.lists(st.floats(0, 1), min_size=1, max_size=30).flatmap(
    lambda scores: st.tuples(st.just(scores), st.integers(0, len(scores) - 1))
))  # fmt: skip
def test_no_unit_that_goes_scores_above_one_that_stays(case: tuple[list[float], int]) -> None:
    scores, remove = case
    cut = select(target(len(scores), remove), scores)
    assert len(cut.removed) == remove
    assert sorted(cut.kept + cut.removed) == list(range(len(scores)))
    assert max([scores[u] for u in cut.removed], default=0) <= min(scores[u] for u in cut.kept)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_a_score_that_is_not_finite_is_refused_and_says_where(bad: float) -> None:
    with pytest.raises(PlanError) as caught:
        select(target(3, 1), [1.0, bad, 2.0])
    assert str(caught.value) == (
        "the mlp scores of layer 7 are not finite: "
        "the weights or their gradients hold NaN or infinity"
    )
