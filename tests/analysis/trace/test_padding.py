"""Zeros that make layers alike are told from units that nothing explains."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from prunescope.analysis.trace.results import PADDING
from tests.support.commands import prunescope
from tests.support.tiny import BIASES
from tests.support.traces import original, pruned, recorded, state_of, traced, with_state


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """An original, and what `convert --uniform` makes of a pruned copy of it."""
    folder = tmp_path_factory.mktemp("padded")
    before = original(folder / "before", **BIASES)
    pruned(before, folder / "after")
    done = prunescope("convert", "after", "padded", "--uniform", cwd=folder)
    assert done.returncode == 0, done.stderr
    return before, folder / "padded"


def test_padding_is_named_and_what_is_left_is_found(folders: tuple[Path, Path]) -> None:
    before, after = folders
    found = traced(before, after)
    assert found.ok
    assert all(member.identical for member in found.members)
    for number, spaces in recorded(after.parent / "after").items():
        layer = found.layers[number]
        assert layer.pairing is not None
        assert layer.pairing.ok
        for name, kept in spaces.items():
            space = layer.spaces[name]
            assert tuple(unit for unit in space.kept if unit != PADDING) == kept
            assert space.padded == space.original - len(kept) > 0


def test_noise_in_place_of_padding_is_not_explained(
    folders: tuple[Path, Path], tmp_path: Path
) -> None:
    before, after = folders
    state = state_of(after)
    name = "model.layers.1.mlp.up_proj.weight"
    empty = (state[name] == 0).all(1)
    state[name][empty] = torch.randn(int(empty.sum()), state[name].shape[1])
    found = traced(before, with_state(after, tmp_path / "noisy", state))
    space = found.layers[1].spaces["channels"]
    # gate and down have zeros there, and up what nobody trained.
    assert space.untraced == int(empty.sum())
    assert [layer.ok for layer in found.layers] == [True, False, True, True]
