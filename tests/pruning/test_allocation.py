"""The allocation loses the least score that a budget allows: no other one loses less."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prunescope.errors import PlanError
from prunescope.pruning.allocation import allocate
from prunescope.pruning.groups import Group
from prunescope.pruning.selection import select, spread
from prunescope.pruning.targets import Target


def target(units: int, step: int = 1, least: int = 1, lanes: int = 1) -> Target:
    return Target(Group(1, "mlp", units, {"channels": 1}, (), lanes=lanes), 0, step, least, True)


def loss(targets: list[Target], scores: list[list[float]]) -> float:
    """Of what goes."""
    return sum(
        each[unit]
        for t, each in zip(targets, scores, strict=True)
        for unit in select(t, each).removed
    )


# Equal scores, and savings of few sizes: what a model has, and where ties are.
SCORES = st.lists(st.one_of(st.sampled_from([0.0, 1.0, 2.5]), st.floats(0, 100)), min_size=2,
                  max_size=6)  # fmt: skip
SMALL = st.lists(st.tuples(SCORES, st.integers(1, 9), st.integers(1, 3)), min_size=1, max_size=4)


def best(
    targets: list[Target], scores: list[list[float]], savings: list[int], wanted: int
) -> float:
    """Of all ways there are."""
    return min(
        loss([replace(t, remove=n) for t, n in zip(targets, counts, strict=True)], scores)
        for counts in product(*(t.choices for t in targets))
        if sum(s * n for s, n in zip(savings, counts, strict=True)) >= wanted
    )


@settings(max_examples=150, deadline=None)
@given(SMALL, st.floats(0, 1))
def test_nothing_that_saves_as_much_loses_less(
    cases: list[tuple[list[float], int, int]], share: float
) -> None:
    targets = [target(len(scores), step) for scores, _, step in cases]
    scores = [scores for scores, _, _ in cases]
    savings = [saving for _, saving, _ in cases]
    most = sum(s * t.choices[-1] for s, t in zip(savings, targets, strict=True))
    wanted = int(most * share)
    found = list(allocate(targets, scores, savings, wanted))
    assert sum(s * t.remove for s, t in zip(savings, found, strict=True)) >= wanted
    assert all(t.remove in t.choices for t in found)
    expected = best(targets, scores, savings, wanted)
    assert loss(found, scores) == pytest.approx(expected, abs=1e-9, rel=1e-12)


@settings(max_examples=50, deadline=None)
@given(st.data())
def test_groups_and_channels_are_shared_out_exactly(data: st.DataObject) -> None:
    # Two sizes whose ratio is no whole number, as a GQA group's and a channel's mostly are.
    layers = data.draw(st.integers(1, 2))
    groups = st.lists(st.floats(0, 1e-3), min_size=3, max_size=3)
    channels = st.lists(st.floats(0, 1e-5), min_size=6, max_size=6)
    scores = [data.draw(each) for each in [groups] * layers + [channels] * layers]
    targets = [target(len(each)) for each in scores]
    savings = [294] * layers + [17] * layers
    wanted = data.draw(st.integers(1, layers * (2 * 294 + 5 * 17)))
    found = list(allocate(targets, scores, savings, wanted))
    assert sum(s * t.remove for s, t in zip(savings, found, strict=True)) >= wanted
    assert loss(found, scores) == pytest.approx(best(targets, scores, savings, wanted), rel=1e-12)


def test_saving_more_where_that_loses_less() -> None:
    # A score below nothing says that the unit does harm.
    scores = [[1.0, -3.0, 2.0], [-1.0, 5.0]]
    found = allocate([target(3), target(2)], scores, [2, 3], 1)
    assert [t.remove for t in found] == [1, 1]


def test_many_units_of_a_size_are_no_matter() -> None:
    # 27 layers of 1536 channels: the sum of the lowest of all, whichever their layer.
    scores = [[float((31 * unit + 17 * layer) % 40009) for unit in range(1536)]
              for layer in range(27)]  # fmt: skip
    targets = [target(1536) for _ in scores]
    found = list(allocate(targets, scores, [1728] * 27, 1728 * 9000))
    every = sorted(score for each in scores for score in each)
    assert sum(t.remove for t in found) == 9000
    assert loss(found, scores) == sum(every[:9000])


def test_among_equals_the_choice_is_the_same_each_time() -> None:
    scores = [[1.0] * 8, [1.0] * 8, [4.0] * 3]
    targets = [target(8), target(8), target(3)]
    first = allocate(targets, scores, [5, 5, 20], 60)
    assert first == allocate(targets, scores, [5, 5, 20], 60)
    assert sum(s * t.remove for s, t in zip([5, 5, 20], first, strict=True)) == 60


def test_floors_and_lanes_hold() -> None:
    # Four lanes of two heads each: one of each lane goes, or none.
    lanes = replace(target(8, step=4, lanes=4), least=4)
    (found,) = allocate([lanes], [[float(n) for n in range(8)]], [10], 40)
    assert found.remove == 4
    assert select(found, [float(n) for n in range(8)]).removed == [0, 2, 4, 6]
    with pytest.raises(PlanError, match="saves less"):
        allocate([lanes], [[1.0] * 8], [10], 41)


def test_scores_that_are_no_numbers_are_refused() -> None:
    with pytest.raises(PlanError, match="not finite"):
        allocate([target(2)], [[1.0, float("nan")]], [1], 1)


def test_one_ranking_takes_the_lowest_wherever_they_are() -> None:
    scores = [[1.0, 2.0, 3.0, 4.0], [10.0, 20.0, 0.5, 40.0]]
    targets = [replace(target(4), remove=2), replace(target(4), remove=2)]
    # 0.5, 1, 2 and 3 are the lowest of all; the first layer keeps one at least.
    assert [t.remove for t in spread(_weighted(targets), scores)] == [3, 1]
    held = [replace(t, least=2) for t in targets]
    assert [t.remove for t in spread(_weighted(held), scores)] == [2, 2]


def _weighted(targets: list[Target]) -> list[Target]:
    """With a tensor of one column, so that a unit is a parameter."""
    from prunescope.architecture import Role
    from prunescope.checkpoint import TensorInfo
    from prunescope.checkpoint.storage import LocalFile
    from prunescope.pruning.groups import Member

    made = []
    for t in targets:
        info = TensorInfo("w", (t.group.units,), "F32", LocalFile("w"), 0, 4 * t.group.units)
        made.append(replace(t, group=replace(t.group, members=(Member(info, Role.GATE, 0, 1),))))
    return made
