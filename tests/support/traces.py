"""A traced pair of small models, and what was kept of one as its pruning.json says."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

from prunescope.analysis.trace.results import Trace
from prunescope.analysis.trace.run import trace
from prunescope.checkpoint import open_checkpoint
from tests.support.pruning import described, plan, prune_tiny
from tests.support.tiny import tiny_folder

# Eight query heads share four KV heads; wide enough for sketches to tell rows apart.
SHAPE: dict[str, Any] = {
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_attention_heads": 8,
    "num_key_value_heads": 4,
}
HEAD_DIM = 8
State = dict[str, torch.Tensor]


def original(folder: Path, **changes: Any) -> Path:
    return tiny_folder(folder, **SHAPE | changes)


def pruned(source: Path, folder: Path, importance: str = "random", **options: Any) -> Path:
    """Half of the groups and channels of layers 1 and 2, by the project's own pruning."""
    prune_tiny(described(source), plan(importance, **options)).save(folder)  # type: ignore[arg-type]
    return folder


def traced(before: Path, after: Path) -> Trace:
    return trace(open_checkpoint(before), open_checkpoint(after))


def recorded(folder: Path) -> dict[int, dict[str, tuple[int, ...]]]:
    """Layer → space → kept units, of the layers that pruning.json names."""
    layers = json.loads((folder / "pruning.json").read_text("utf-8"))["layers"]
    return {
        int(number): {
            space: tuple(units)
            for group in groups.values()
            for space, units in group["kept"].items()
        }
        for number, groups in layers.items()
    }


def kept(found: Trace) -> dict[int, dict[str, tuple[int, ...]]]:
    """Original layer → space → kept units, of layers that lost some."""
    return {
        layer.layer: {name: space.kept for name, space in layer.spaces.items()}
        for layer in found.layers
        if layer.layer is not None
        and any(len(space.kept) < space.original for space in layer.spaces.values())
    }


def state_of(folder: Path) -> State:
    """The weights of a folder, whichever of the two files holds them."""
    if (folder / "model.safetensors").exists():
        return load_file(folder / "model.safetensors")
    state: State = torch.load(folder / "pytorch_model.bin", weights_only=True)
    return state


def with_state(source: Path, folder: Path, state: State) -> Path:
    """A folder with the config of `source` and other weights."""
    folder.mkdir()
    (folder / "config.json").write_text((source / "config.json").read_text("utf-8"), "utf-8")
    contiguous = {name: tensor.contiguous().clone() for name, tensor in state.items()}
    save_file(contiguous, folder / "model.safetensors", {"format": "pt"})
    return folder


def cut(state: State, name: str, axis: int, rows: Sequence[int]) -> None:
    """Keep `rows` of an axis of one tensor."""
    state[name] = state[name].index_select(axis, torch.tensor(rows))


def head_rows(heads: Sequence[int]) -> list[int]:
    return [head * HEAD_DIM + row for head in heads for row in range(HEAD_DIM)]
