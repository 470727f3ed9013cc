"""Layers dropped, moved or doubled; hidden columns and tokens cut; and several of these at once."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from prunescope.analysis.trace.results import Trace
from prunescope.errors import ArchitectureError
from tests.support.pruning import described
from tests.support.traces import (
    State,
    kept,
    original,
    pruned,
    recorded,
    state_of,
    traced,
    with_state,
)

COLUMNS = [c for c in range(64) if c % 5]
TOKENS = [t for t in range(320) if t % 3]


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Six layers, of which 1 and 2 are pruned."""
    base = tmp_path_factory.mktemp("depth")
    before = original(base / "before", num_hidden_layers=6)
    return before, pruned(before, base / "after")


def renumbered(state: State, order: list[int]) -> State:
    """The layers `order`, numbered from 0."""
    found = {n: t for n, t in state.items() if not n.startswith("model.layers.")}
    for new, old in enumerate(order):
        stem = f"model.layers.{old}."
        for name, tensor in state.items():
            if name.startswith(stem):
                found[f"model.layers.{new}.{name.removeprefix(stem)}"] = tensor
    return found


def narrowed(folder: Path, state: State, space: str, indices: list[int]) -> State:
    """Every axis of a space cut, as the family's table labels axes."""
    roles = described(folder).roles
    found = dict(state)
    for name, tensor in state.items():
        for axis, label in enumerate(roles[name].axes):
            if label == space:
                tensor = tensor.index_select(axis, torch.tensor(indices))
        found[name] = tensor
    return found


def tuned(state: State) -> State:
    generator = torch.Generator().manual_seed(5)
    return {
        name: tensor + 0.01 * torch.randn(tensor.shape, generator=generator)
        for name, tensor in state.items()
    }


def layers(found: Trace) -> list[int | None]:
    return [layer.layer for layer in found.layers]


@pytest.mark.parametrize("change", [lambda s: s, tuned], ids=["as it is", "tuned"])
@pytest.mark.parametrize(
    ("order", "removed", "reordered"),
    [
        ([0, 1, 2, 5], (3, 4), False),
        ([2, 3, 4, 5], (0, 1), False),
        ([0, 2, 1, 3, 4, 5], (), True),
        ([5, 4, 3, 2, 1, 0], (), True),
        ([0, 1, 2, 1, 2, 5], (3, 4), True),
    ],
)
def test_layers_are_found_whatever_their_number(
    pair: tuple[Path, Path],
    tmp_path: Path,
    order: list[int],
    removed: tuple[int, ...],
    reordered: bool,
    change: object,
) -> None:
    before, after = pair
    state = change(renumbered(state_of(after), order))  # type: ignore[operator]
    found = traced(before, with_state(before, tmp_path / "moved", state))

    assert found.ok
    assert layers(found) == order
    assert [layer.position for layer in found.layers] == list(range(len(order)))
    assert (found.removed, found.reordered) == (removed, reordered)
    expected = {n: units for n, units in recorded(after).items() if n in order}
    assert kept(found) == expected


def test_the_comparison_has_the_originals_numbers(pair: tuple[Path, Path], tmp_path: Path) -> None:
    before, after = pair
    state = renumbered(state_of(after), [0, 2, 4, 5])
    found = traced(before, with_state(before, tmp_path / "moved", state))

    assert found.comparison is not None
    retention = {c.layer: c.parameters.retention for c in found.comparison.layers}
    assert [n for n, r in retention.items() if r == 0] == [1, 3]
    assert [n for n, r in retention.items() if r == 1] == [0, 4, 5]
    assert 0 < retention[2] < 1


def test_no_comparison_where_two_layers_are_one(pair: tuple[Path, Path], tmp_path: Path) -> None:
    before, _ = pair
    state = renumbered(state_of(before), [0, 0, 1])
    found = traced(before, with_state(before, tmp_path / "doubled", state))
    assert found.comparison is None
    assert found.reordered


def test_a_layer_of_another_model_is_none_of_these(pair: tuple[Path, Path], tmp_path: Path) -> None:
    before, _ = pair
    other = state_of(original(tmp_path / "other", seed=9, num_hidden_layers=6))
    state = renumbered(state_of(before), [0, 1, 2]) | {
        name.replace("layers.0.", "layers.3."): tensor
        for name, tensor in other.items()
        if "layers.0." in name
    }
    found = traced(before, with_state(before, tmp_path / "mixed", state))
    assert layers(found) == [0, 1, 2, None]
    assert not found.ok


@pytest.mark.parametrize("change", [lambda s: s, tuned], ids=["as it is", "tuned"])
@pytest.mark.parametrize("order", [list(range(6)), [0, 1, 2, 5]])
def test_hidden_columns_cut_on_top_of_everything_else(
    pair: tuple[Path, Path], tmp_path: Path, order: list[int], change: object
) -> None:
    before, after = pair
    state = narrowed(after, state_of(after), "hidden", COLUMNS)
    state = change(renumbered(state, order))  # type: ignore[operator]
    found = traced(before, with_state(before, tmp_path / "narrow", state))

    assert found.ok
    assert found.spaces["hidden"].kept == tuple(COLUMNS)
    assert found.spaces["hidden"].original == 64
    assert layers(found) == order
    assert kept(found) == recorded(after)


@pytest.mark.parametrize("change", [lambda s: s, tuned], ids=["as it is", "tuned"])
@pytest.mark.parametrize("columns", [list(range(64)), COLUMNS])
def test_tokens_cut_too(
    pair: tuple[Path, Path], tmp_path: Path, columns: list[int], change: object
) -> None:
    before, after = pair
    state = narrowed(after, state_of(after), "hidden", columns)
    state = change(narrowed(after, state, "vocab", TOKENS))  # type: ignore[operator]
    found = traced(before, with_state(before, tmp_path / "small", state))

    assert found.ok
    assert found.spaces["vocab"].kept == tuple(TOKENS)
    assert ("hidden" in found.spaces) == (columns == COLUMNS)
    assert kept(found) == recorded(after)


def test_hidden_columns_of_a_model_cut_everywhere_are_told_by_its_norms(tmp_path: Path) -> None:
    before = original(tmp_path / "before")
    ranges = {"attention": (0, 4), "mlp": (0, 4)}
    after = pruned(before, tmp_path / "after", **ranges)
    state = narrowed(after, state_of(after), "vocab", TOKENS)
    state = narrowed(after, state, "hidden", COLUMNS)
    found = traced(before, with_state(before, tmp_path / "small", state))
    assert found.ok
    assert found.spaces["hidden"].kept == tuple(COLUMNS)
    assert kept(found) == recorded(after)


def test_hidden_columns_in_another_order(pair: tuple[Path, Path], tmp_path: Path) -> None:
    before, after = pair
    columns = [2, 1, 0, *range(3, 9), 60, 20, 10, *range(30, 50)]
    state = narrowed(after, state_of(after), "hidden", columns)
    found = traced(before, with_state(before, tmp_path / "moved", state))
    assert found.ok
    assert found.spaces["hidden"].kept == tuple(columns)
    assert not found.spaces["hidden"].in_order
    assert kept(found) == recorded(after)
    assert all(member.identical for member in found.members)


def test_hidden_columns_that_nothing_tells(tmp_path: Path) -> None:
    before = original(tmp_path / "before")
    after = pruned(before, tmp_path / "after", attention=(0, 4), mlp=(0, 4))
    state = narrowed(after, state_of(after), "vocab", TOKENS)
    state = narrowed(after, state, "hidden", COLUMNS)
    small = with_state(before, tmp_path / "small", tuned(state))
    with pytest.raises(ArchitectureError, match="hidden size 51, in the original 64: no tensor"):
        traced(before, small)
    with pytest.raises(ArchitectureError, match="hidden size 64, in the original 51: not pruned"):
        traced(small, before)


def test_a_tensor_narrower_than_its_model(pair: tuple[Path, Path], tmp_path: Path) -> None:
    before, _ = pair
    state = state_of(before)
    name = "model.layers.3.mlp.up_proj.weight"
    state[name] = state[name][:, :60]
    with pytest.raises(ArchitectureError, match=f"'{name}' has 60 hidden entries, where the model"):
        traced(before, with_state(before, tmp_path / "narrow", state))
