"""A point on the front is one that no other beats."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from prunescope.analysis.pareto import front

POINTS = st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), max_size=8)


def test_a_smaller_or_better_model_is_on_the_front() -> None:
    #         large, good   small, bad    as small, worse  between, beaten by none  as large, worse
    points = [(8.0, 10.0), (6.0, 30.0), (6.0, 31.0), (7.0, 20.0), (8.0, 11.0)]
    assert front(points) == (1, 3, 0)


def test_nothing_has_no_front_and_equals_share_it() -> None:
    assert front([]) == ()
    assert front([(1, 1), (1, 1)]) == (0, 1)


@given(POINTS)
def test_whatever_is_off_the_front_is_beaten_by_something_on_it(
    points: list[tuple[float, float]],
) -> None:
    best = front(points)
    for index, (x, y) in enumerate(points):
        others = [points[other] for other in best if points[other] != (x, y)]
        beaten = any(a <= x and b <= y for a, b in others)
        assert beaten is (index not in best)


@given(POINTS)
def test_along_the_front_more_parameters_buy_less_perplexity(
    points: list[tuple[float, float]],
) -> None:
    best = [points[index] for index in front(points)]
    assert [x for x, _ in best] == sorted(x for x, _ in best)
    assert [y for _, y in best] == sorted((y for _, y in best), reverse=True)
