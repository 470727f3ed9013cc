"""Cuts that leave the right shapes and the wrong weights: each is shown for what it is."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from prunescope.analysis.trace.results import HeadPair, Trace
from tests.support.tiny import BIASES, edit_json
from tests.support.traces import (
    State,
    cut,
    head_rows,
    kept,
    original,
    state_of,
    traced,
    with_state,
)

LAYER = "model.layers.1."
ATTENTION, MLP = LAYER + "self_attn.", LAYER + "mlp."


@pytest.fixture(scope="module")
def before(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return original(tmp_path_factory.mktemp("broken") / "before", **BIASES)


def after(before: Path, folder: Path, state: State) -> Trace:
    return traced(before, with_state(before, folder / "after", state))


def cut_heads(state: State, heads: list[int], kv_heads: list[int]) -> None:
    for name, axis, rows in (
        ("q_proj", 0, head_rows(heads)),
        ("o_proj", 1, head_rows(heads)),
        ("k_proj", 0, head_rows(kv_heads)),
        ("v_proj", 0, head_rows(kv_heads)),
    ):
        cut(state, f"{ATTENTION}{name}.weight", axis, rows)
        if axis == 0:
            cut(state, f"{ATTENTION}{name}.bias", 0, rows)


def test_q_and_kv_cut_by_the_same_rows_are_mispaired_head_by_head(
    before: Path, tmp_path: Path
) -> None:
    # Query heads 0..7 were trained with KV heads 0, 0, 1, 1, 2, 2, 3, 3. Two of each are cut, as
    # the reference run cut 256 rows of q, k, v and o alike: 6 heads now share 2 KV heads.
    state = state_of(before)
    cut_heads(state, [0, 1, 2, 4, 5, 7], [1, 3])
    found = after(before, tmp_path, state)

    assert not found.ok
    assert [layer.ok for layer in found.layers] == [True, False, True, True]
    layer = found.layers[1]
    # Every tensor agrees with its partners: only the pairing is wrong.
    assert all(space.ok for space in layer.spaces.values())
    assert layer.pairing is not None
    assert layer.pairing.pairs == (
        HeadPair(0, 0, trained=0, met=1),
        HeadPair(1, 1, trained=0, met=1),
        HeadPair(2, 2, trained=1, met=1),
        HeadPair(3, 4, trained=2, met=3),
        HeadPair(4, 5, trained=2, met=3),
        HeadPair(5, 7, trained=3, met=3),
    )
    assert [pair.head for pair in layer.pairing.mispaired] == [0, 1, 4, 5]


def test_whole_groups_are_paired_as_before(before: Path, tmp_path: Path) -> None:
    state = state_of(before)
    cut_heads(state, [2, 3, 6, 7], [1, 3])
    found = after(before, tmp_path, state)
    assert found.ok
    assert kept(found)[1]["heads"] == (2, 3, 6, 7)


def test_query_heads_that_cannot_share_the_kv_heads(before: Path, tmp_path: Path) -> None:
    state = state_of(before)
    cut_heads(state, [0, 1, 2, 3, 4], [0, 1, 2])
    pairing = after(before, tmp_path, state).layers[1].pairing
    assert pairing is not None
    assert (pairing.even, pairing.ok, pairing.pairs) == (False, False, ())


def test_kv_heads_left_in_another_order_are_told_by_their_heads(
    before: Path, tmp_path: Path
) -> None:
    state = state_of(before)
    cut_heads(state, list(range(8)), [1, 0, 2, 3])
    layer = after(before, tmp_path, state).layers[1]
    assert layer.spaces["kv_heads"].kept == (1, 0, 2, 3)
    assert not layer.spaces["kv_heads"].in_order
    assert layer.pairing is not None
    assert [pair.head for pair in layer.pairing.mispaired] == [0, 1, 2, 3]


def test_channels_moved_together_are_sound_but_not_in_order(before: Path, tmp_path: Path) -> None:
    state = state_of(before)
    order = torch.randperm(96, generator=torch.Generator().manual_seed(3)).tolist()
    for name, axis in (("gate_proj", 0), ("up_proj", 0), ("down_proj", 1)):
        cut(state, f"{MLP}{name}.weight", axis, order)
    for name in ("gate_proj", "up_proj"):
        cut(state, f"{MLP}{name}.bias", 0, order)
    found = after(before, tmp_path, state)

    assert found.ok
    space = found.layers[1].spaces["channels"]
    assert space.kept == tuple(order)
    assert not space.in_order
    assert all(member.identical for member in found.members)


def test_up_and_gate_moved_but_not_down_disagree(before: Path, tmp_path: Path) -> None:
    state = state_of(before)
    order = [1, 0, *range(2, 96)]
    for name in ("gate_proj", "up_proj"):
        cut(state, f"{MLP}{name}.weight", 0, order)
        cut(state, f"{MLP}{name}.bias", 0, order)
    space = after(before, tmp_path, state).layers[1].spaces["channels"]

    assert space.kept == tuple(order)
    disagreeing = {m.tensor.removeprefix(MLP): m.disagreeing for m in space.members}
    assert disagreeing == {
        "gate_proj.weight": 0,
        "up_proj.weight": 0,
        "down_proj.weight": 2,
    }
    assert not space.ok


def test_down_columns_that_were_forgotten(before: Path, tmp_path: Path) -> None:
    state = state_of(before)
    for name in ("gate_proj", "up_proj"):
        cut(state, f"{MLP}{name}.weight", 0, range(10, 90))
        cut(state, f"{MLP}{name}.bias", 0, range(10, 90))
    space = after(before, tmp_path, state).layers[1].spaces["channels"]

    assert space.kept == tuple(range(10, 90))
    assert [(m.disagreeing, m.ok) for m in space.members] == [(0, True), (0, True), (96, False)]


@pytest.mark.parametrize("name", ["q_proj", "k_proj"])
def test_a_bias_that_was_forgotten_or_cut_elsewhere(
    before: Path, tmp_path: Path, name: str
) -> None:
    heads, kv_heads = [2, 3, 6, 7], [1, 3]
    for case in ("forgotten", "elsewhere"):
        state = state_of(before)
        bias = state[f"{ATTENTION}{name}.bias"]
        cut_heads(state, heads, kv_heads)
        wrong = bias if case == "forgotten" else bias[: len(bias) // 2]
        state[f"{ATTENTION}{name}.bias"] = wrong
        (tmp_path / case).mkdir()
        found = after(before, tmp_path / case, state)
        member = next(m for m in found.members if m.tensor == f"{ATTENTION}{name}.bias")
        assert not member.identical
        assert member.ok == (case == "elsewhere")
        assert found.ok == member.ok
        assert case == "forgotten" or member.drift > 0.5


def test_rows_that_are_no_whole_heads(before: Path, tmp_path: Path) -> None:
    # Half of every head, as a library does that knows channels but no heads.
    rows = [head * 8 + row for head in range(8) for row in range(4)]
    state = state_of(before)
    cut(state, f"{ATTENTION}q_proj.weight", 0, rows)
    cut(state, f"{ATTENTION}q_proj.bias", 0, rows)
    cut(state, f"{ATTENTION}o_proj.weight", 1, rows)
    layer = after(before, tmp_path, state).layers[1]

    heads = layer.spaces["heads"]
    assert (heads.whole, heads.rows, heads.original) == (False, 1, 64)
    assert heads.kept == tuple(rows)
    assert heads.agrees
    assert not heads.ok
    assert layer.pairing is None


def test_weights_of_another_model_are_not_found(before: Path, tmp_path: Path) -> None:
    other = state_of(original(tmp_path / "other", seed=1, **BIASES))
    state = state_of(before)
    mlp = [n for n in state if n.startswith(MLP)]
    found = after(before, tmp_path, state | {name: other[name] for name in mlp})

    space = found.layers[1].spaces["channels"]
    assert set(space.kept) == {-1}
    assert [member.untraced for member in space.members] == [96, 96, 96]
    assert [layer.ok for layer in found.layers] == [True, False, True, True]


def test_weights_that_are_no_numbers_are_neither_hidden_nor_fatal(
    before: Path, tmp_path: Path
) -> None:
    state = state_of(before)
    state[f"{MLP}up_proj.weight"][5, 7] = torch.nan
    state[f"{ATTENTION}q_proj.weight"][5] = torch.inf
    found = after(before, tmp_path, state)
    drift = {m.tensor: m.drift for m in found.members if not m.identical}
    assert drift[f"{MLP}up_proj.weight"] != drift[f"{MLP}up_proj.weight"]
    assert drift[f"{ATTENTION}q_proj.weight"] == float("inf")
    assert len(drift) == 2
    assert [m.tensor for m in found.members if not m.finite] == [
        f"{ATTENTION}q_proj.weight",
        f"{MLP}up_proj.weight",
    ]
    # They agree with their partners, yet nobody would call the layer sound.
    assert [layer.ok for layer in found.layers] == [True, False, True, True]
    assert not found.ok


def test_nan_that_the_original_has_was_not_put_there_by_pruning(
    before: Path, tmp_path: Path
) -> None:
    state = state_of(before)
    state[f"{MLP}up_proj.weight"][5, 7] = torch.nan
    spoilt = with_state(before, tmp_path / "spoilt", state)
    assert traced(spoilt, spoilt).ok


def test_a_bias_trained_from_zero_is_changed_not_broken(before: Path, tmp_path: Path) -> None:
    state = state_of(before)
    state[f"{ATTENTION}q_proj.bias"][:] = 0
    zero = with_state(before, tmp_path / "zero", state)
    state[f"{ATTENTION}q_proj.bias"][:] = 0.1
    found = traced(zero, with_state(before, tmp_path / "trained", state))
    changed = [m for m in found.members if not m.identical]
    assert [(m.drift, m.finite) for m in changed] == [(float("inf"), True)]
    assert found.ok


def test_a_model_of_which_nothing_is_found_is_called_unrelated(
    before: Path, tmp_path: Path
) -> None:
    found = traced(before, original(tmp_path / "other", seed=1, **BIASES))
    assert found.unrelated
    assert not found.ok
    assert not traced(before, before).unrelated


def test_a_config_that_gives_another_head_size(before: Path, tmp_path: Path) -> None:
    folder = with_state(before, tmp_path / "copy", state_of(before))
    edit_json(folder / "config.json", {"head_dim": 24})
    # The original's own config counts: 64 rows of q are no whole heads of 24.
    found = traced(folder, before)
    assert not found.ok
    assert not found.layers[0].spaces["heads"].whole
