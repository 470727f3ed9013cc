"""A pruning run without a command line, and tiny models stored in other ways."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
import transformers
from safetensors.torch import load_file, save_file

from prunescope.architecture import Model, describe
from prunescope.checkpoint import open_checkpoint
from prunescope.pruning.calibration import CalibrationSet, choose_windows
from prunescope.pruning.plan import Importance, PruningPlan
from prunescope.pruning.resolving import resolve
from prunescope.pruning.run import Pruned, prune
from prunescope.pruning.scoring import Computing

CALIBRATION = choose_windows(range(1, 300), 3, 16, 0, "made up")
State = dict[str, torch.Tensor]


def plan(importance: Importance = "l2", ratio: float = 0.5, **options: Any) -> PruningPlan:
    """Half of layers 1 and 2, which leaves the first and the last layer of a tiny model whole."""
    ranges = {"attention": (1, 3), "mlp": (1, 3)}
    return PruningPlan(ratio, **ranges | {"importance": importance} | options)


def prune_tiny(
    model: Model, wanted: PruningPlan, calibration: CalibrationSet = CALIBRATION
) -> Pruned:
    """`prune` on the CPU."""
    return prune(model, wanted, resolve(wanted, model), calibration, Computing())


def described(folder: Path) -> Model:
    """The model in `folder`, as prunescope describes it."""
    return describe(open_checkpoint(folder))


def edit_weights(folder: Path, changes: Mapping[str, torch.Tensor | None]) -> None:
    """Change tensors of model.safetensors; None removes one."""
    state = load_file(folder / "model.safetensors") | changes
    kept = {name: tensor for name, tensor in state.items() if tensor is not None}
    save_file(kept, folder / "model.safetensors", metadata={"format": "pt"})


def store_as_torch(folder: Path, state: Mapping[str, torch.Tensor]) -> Path:
    """Put a pytorch_model.bin with `state` in the place of model.safetensors."""
    (folder / "model.safetensors").unlink()
    torch.save(dict(state), folder / "pytorch_model.bin")
    return folder


def few_words(vocabulary: int) -> CalibrationSet:
    """Windows like `CALIBRATION`'s, for a model with fewer tokens."""
    return choose_windows([5 * n % vocabulary for n in range(300)], 3, 16, 0, "made up")


def without(
    original: Path, kept: Mapping[str, Mapping[str, Mapping[str, Any]]], columns: Mapping[str, str]
) -> torch.nn.Module:
    """transformers' own model in `original`, its removed units cut off by zeros.

    Args:
        kept: layer → group → what pruning.json says of it.
        columns: space → the parameter of a layer whose last axis lies in it; `name[3]` is a part.
    """
    network = transformers.AutoModelForCausalLM.from_pretrained(original).eval()
    for layer, groups in kept.items():
        for group in groups.values():
            for space, units in group["kept"].items():
                name, _, number = space.rstrip("]").partition("[")
                if name not in columns:
                    continue
                weight = network.model.layers[int(layer)].get_parameter(columns[name]).detach()
                part = weight[int(number)] if number else weight
                rows = network.model.layers[0].self_attn.head_dim if name == "heads" else 1
                stays = torch.zeros(part.shape[-1] // rows, 1)
                stays[units] = 1
                part.mul_(stays.expand(-1, rows).flatten())
    return network
