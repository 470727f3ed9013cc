"""Faults planted in a pruned model of SmolLM2's shape: one of three GQA groups and 384 of 1536
channels are gone from layers 3 to 26.

Each has the true shapes of something that went wrong somewhere; none of its weights is made up.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import torch

State = dict[str, torch.Tensor]
# What is changed, given the original's weights and the pruned model's.
Fault = Callable[[State, State], State]
HEAD, WEIGHTS = 64, "pytorch_model.bin"
LAYER = "model.layers.5."


def rows(heads: list[int]) -> torch.Tensor:
    return torch.tensor([head * HEAD + row for head in heads for row in range(HEAD)])


def mispaired(original: State, pruned: State) -> State:
    """Query heads 0 to 5, which KV heads 0 and 1 served; but KV heads 0 and 2."""
    kept = {"q_proj": rows([*range(6)]), "k_proj": rows([0, 2]), "v_proj": rows([0, 2])}
    names = {f"{LAYER}self_attn.{module}.weight": index for module, index in kept.items()}
    o = f"{LAYER}self_attn.o_proj.weight"
    return {name: original[name][index] for name, index in names.items()} | {
        o: original[o][:, rows([*range(6)])]
    }


def uncut_columns(original: State, pruned: State) -> State:
    """gate and up lost 384 rows, down none of its columns."""
    name = f"{LAYER}mlp.down_proj.weight"
    return {name: original[name]}


def other_columns(original: State, pruned: State) -> State:
    """gate and up keep every fourth channel but the last, down the first three quarters."""
    channels = torch.tensor([c for c in range(1536) if c % 4 < 3])
    down = f"{LAYER}mlp.down_proj.weight"
    cut = {f"{LAYER}mlp.{name}.weight": original[f"{LAYER}mlp.{name}.weight"][channels] for name in
           ("gate_proj", "up_proj")}  # fmt: skip
    return cut | {down: original[down][:, :1152]}


def another_layer(original: State, pruned: State) -> State:
    """Layer 1 lost 384 channels as well."""
    stem = "model.layers.1.mlp."
    return {
        f"{stem}gate_proj.weight": original[f"{stem}gate_proj.weight"][:1152],
        f"{stem}up_proj.weight": original[f"{stem}up_proj.weight"][:1152],
        f"{stem}down_proj.weight": original[f"{stem}down_proj.weight"][:, :1152],
    }


def not_a_number(original: State, pruned: State) -> State:
    """One weight of layer 5 is NaN."""
    name = f"{LAYER}mlp.up_proj.weight"
    spoilt = pruned[name].clone()
    spoilt[7, 11] = float("nan")
    return {name: spoilt}


def spoil(original: State, source: Path, target: Path, fault: Fault) -> None:
    """A copy of the folder `source` with a fault in its weights."""
    shutil.copytree(source, target, ignore=shutil.ignore_patterns(WEIGHTS))
    pruned = torch.load(source / WEIGHTS, weights_only=True, mmap=True)
    changed = {n: t.contiguous().clone() for n, t in fault(original, pruned).items()}
    torch.save(pruned | changed, target / WEIGHTS)


def misdescribe(source: Path, target: Path) -> None:
    """A copy whose config.json has the original's shapes: `per_layer_config` got lost."""
    shutil.copytree(source, target, copy_function=os.link)
    config = json.loads((target / "config.json").read_text("utf-8"))
    del config["per_layer_config"]
    (target / "config.json").unlink()
    (target / "config.json").write_text(json.dumps(config), "utf-8")
