"""Rows that equal each other, and rows that are merely alike."""

from __future__ import annotations

from pathlib import Path
from time import process_time

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from prunescope.analysis.trace.alignment import align
from prunescope.analysis.trace.matching import same_keys, settle_ties
from tests.support.traces import cut, original, state_of, traced, with_state

MLP = "model.layers.1.mlp."
PROJECTIONS = (("gate_proj", 0), ("up_proj", 0), ("down_proj", 1))


def placed(original: list[int], pruned: list[int]) -> tuple[list[int], list[bool]]:
    """Keys of rows, original and pruned → where each came from, and whether that is a guess."""
    before, after = np.array(original, np.uint64), np.array(pruned, np.uint64)
    kept, tied, rivals = same_keys(before, after)
    match = settle_ties(kept, after[tied], before[rivals], tied, rivals)
    return match.kept.tolist(), match.ambiguous.tolist()


def test_of_equal_rows_order_leaves_one_or_several() -> None:
    # 7 lies between 1 and 2, and behind both.
    assert placed([1, 7, 2, 7, 3], [1, 7, 2, 3]) == ([0, 1, 2, 4], [False] * 4)
    assert placed([1, 7, 2, 7, 3], [2, 7, 3]) == ([2, 3, 4], [False] * 3)
    assert placed([1, 7, 2, 7, 3], [1, 7, 3]) == ([0, 1, 4], [False, True, False])
    # Nothing was removed: nothing is in doubt.
    assert placed([0, 0, 0, 5], [0, 0, 0, 5]) == ([0, 1, 2, 3], [False] * 4)
    assert placed([0, 0, 0, 5], [0, 0, 5]) == ([0, 1, 3], [True, True, False])
    # Moved rows: any of the equal ones that is free.
    assert placed([1, 7, 2, 7], [7, 2, 1, 7]) == ([1, 2, 0, 3], [True, False, False, True])
    assert placed([1, 2], [1, 9]) == ([0, -1], [False, False])
    assert placed([], []) == ([], [])


@given(st.data())
@settings(deadline=None)
def test_what_is_certain_is_true(data: st.DataObject) -> None:
    rows = data.draw(st.lists(st.integers(0, 6), max_size=24))
    keep = data.draw(st.lists(st.booleans(), min_size=len(rows), max_size=len(rows)))
    truth = [row for row, kept in enumerate(keep) if kept]
    found, guessed = placed(rows, [rows[row] for row in truth])

    assert [rows[row] for row in found] == [rows[row] for row in truth]
    assert found == sorted(set(found))
    for place, true, guess in zip(found, truth, guessed, strict=True):
        assert guess or place == true


@given(
    st.integers(0, 1 << 30), st.integers(1, 40), st.floats(0.1, 1), st.sampled_from([0, 0.05, 0.3])
)
@settings(deadline=None, max_examples=60)
def test_changed_rows_are_aligned(seed: int, count: int, share: float, noise: float) -> None:
    random = np.random.default_rng(seed)
    before = random.standard_normal((count, 64), np.float32)
    truth = np.flatnonzero(random.random(count) < share)
    after = before[truth] + noise * random.standard_normal((len(truth), 64), np.float32)
    match = align(before, after.astype(np.float32))
    assert match.kept.tolist() == truth.tolist()


def test_rows_nearly_equal_are_placed_in_order() -> None:
    # Twenty pairs of twins: of two that look alike, order says which is which.
    random = np.random.default_rng(1)
    before = np.repeat(random.standard_normal((20, 64), np.float32), 2, axis=0)
    before += 1e-3 * random.standard_normal(before.shape, np.float32)
    truth = np.delete(np.arange(40), [4, 5, 17, 30])
    after = before[truth] + 0.05 * random.standard_normal((36, 64), np.float32)
    match = align(before, after.astype(np.float32))

    wrong = match.kept != truth
    # Where one of two twins is gone, either may be; and it is said that this is a guess.
    assert set(truth[wrong]) <= {16, 31}
    assert truth[match.ambiguous].tolist() == [16, 31]


def test_unrelated_rows_are_not_matched() -> None:
    random = np.random.default_rng(2)
    before = random.standard_normal((500, 64), np.float32)
    after = random.standard_normal((400, 64), np.float32)
    assert set(align(before, after).kept.tolist()) == {-1}


def test_a_pair_of_equal_channels_is_reported(tmp_path: Path) -> None:
    before = original(tmp_path / "before")
    state = state_of(before)
    for name, axis in PROJECTIONS:
        rows = torch.arange(96)
        rows[11] = 10
        cut(state, f"{MLP}{name}.weight", axis, rows.tolist())
    twins = with_state(before, tmp_path / "twins", state)
    for name, axis in PROJECTIONS:
        cut(state, f"{MLP}{name}.weight", axis, [c for c in range(96) if c not in (11, 40)])
    found = traced(twins, with_state(before, tmp_path / "after", state))

    space = found.layers[1].spaces["channels"]
    assert found.ok
    assert space.ambiguous == 1
    assert space.kept == tuple(c for c in range(96) if c not in (11, 40))


def test_rows_empty_in_one_tensor_are_told_by_the_others(tmp_path: Path) -> None:
    before = original(tmp_path / "before")
    state = state_of(before)
    state[f"{MLP}gate_proj.weight"][20:60] = 0
    # Beginnings alone do not tell these apart.
    state[f"{MLP}up_proj.weight"][:, :40] = 1
    empty = with_state(before, tmp_path / "empty", state)
    channels = [c for c in range(96) if c % 4]
    for name, axis in PROJECTIONS:
        cut(state, f"{MLP}{name}.weight", axis, channels)
    found = traced(empty, with_state(before, tmp_path / "after", state))

    space = found.layers[1].spaces["channels"]
    assert found.ok
    assert space.ambiguous == 0
    assert space.kept == tuple(channels)
    assert all(member.identical for member in found.members)


def test_a_model_of_zeros_says_that_it_cannot_tell(tmp_path: Path) -> None:
    before = original(tmp_path / "before")
    nothing = {name: torch.zeros_like(tensor) for name, tensor in state_of(before).items()}
    zeros = with_state(before, tmp_path / "zeros", nothing)
    for name, axis in PROJECTIONS:
        cut(nothing, f"{MLP}{name}.weight", axis, range(50))
    found = traced(zeros, with_state(before, tmp_path / "after", nothing))
    assert found.ok
    assert found.layers[1].spaces["channels"].ambiguous == 50
    assert [layer.layer for layer in found.layers] == [0, 1, 2, 3]


def test_rounding_does_not_tell_twins_apart() -> None:
    # Equal but for what float32 makes of sums in another order: nothing was removed.
    random = np.random.default_rng(4)
    before = np.repeat(random.standard_normal((50, 64), np.float32), 3, axis=0)
    after = before * (1 + 1e-7 * random.standard_normal(before.shape)).astype(np.float32)
    match = align(before, after)
    assert match.kept.tolist() == list(range(150))
    assert not match.ambiguous.any()


def test_many_equal_rows_that_were_moved_are_placed_in_no_time() -> None:
    count = 60_000
    begun = process_time()
    # Behind a row that stood before them all, none of them can be in order.
    kept, ambiguous = placed([1, *[7] * count], [*[7] * count, 1])

    assert sorted(kept[:-1]) == list(range(1, count + 1))
    assert (kept[-1], ambiguous) == (0, [True] * count + [False])
    # Each looked for from the front would take a minute.
    assert process_time() - begun < 5
