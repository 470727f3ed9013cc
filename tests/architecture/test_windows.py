"""Which layers of an old config have a sliding window is what transformers makes of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import transformers as hf
from safetensors.torch import load_file, save_file

from prunescope.analysis.cost import Workload, cost
from prunescope.architecture import describe
from prunescope.checkpoint import open_checkpoint
from prunescope.interop.hf_config import Change, config_for, lengths_of
from tests.support.families import family_folder

LAYERS, WINDOW, CONTEXT = 7, 16, 48
KEYS = ("layer_types", "use_sliding_window", "max_window_layers", "sliding_window_pattern")
CASES: dict[str, dict[str, Any]] = {
    "gemma2": {},
    "gemma3": {},
    "gemma3, another pattern": {"sliding_window_pattern": 3},
    "cohere2": {},
    "qwen2": {"use_sliding_window": True, "max_window_layers": 5},
    "qwen2, from the 28th of seven": {"use_sliding_window": True},
    "qwen3": {"max_window_layers": 0},
    "qwen2_moe": {"use_sliding_window": True, "max_window_layers": 5},
    "qwen3_moe": {"use_sliding_window": True},
}


def of_seven_layers(folder: Path, state: dict[str, Any]) -> Path:
    """Copies of a model's first layer, and a config with no key of `KEYS` but in `state`."""
    weights = load_file(folder / "model.safetensors")
    copies = {
        name.replace(".layers.0.", f".layers.{layer}."): tensor.clone()
        for name, tensor in weights.items()
        if ".layers.0." in name
        for layer in range(LAYERS)
    }
    others = {name: tensor for name, tensor in weights.items() if ".layers." not in name}
    save_file(others | copies, folder / "model.safetensors")
    path = folder / "config.json"
    config = {k: v for k, v in json.loads(path.read_text()).items() if k not in KEYS}
    config |= {"num_hidden_layers": LAYERS, "sliding_window": WINDOW} | state
    path.write_text(json.dumps(config))
    return folder


@pytest.mark.parametrize("case", CASES)
def test_without_layer_types_it_follows_from_the_type(tmp_path: Path, case: str) -> None:
    folder = of_seven_layers(family_folder(case.partition(",")[0], tmp_path), CASES[case])
    read = hf.AutoConfig.from_pretrained(folder)
    # Qwen3-MoE has one kind of layer.
    kinds = getattr(read, "layer_types", None) or ["sliding_attention"] * LAYERS

    found = cost(open_checkpoint(folder), Workload(CONTEXT))

    seen = sum(WINDOW if kind == "sliding_attention" else CONTEXT for kind in kinds)
    assert found.kv_bytes * LAYERS == seen * found.kv_bytes_per_token


@pytest.mark.parametrize("case", ["gemma2", "cohere2", "qwen2"])
def test_layers_that_are_left_keep_their_kinds(tmp_path: Path, case: str) -> None:
    folder = of_seven_layers(family_folder(case, tmp_path), CASES[case])
    kinds = hf.AutoConfig.from_pretrained(folder).layer_types
    model, left = describe(open_checkpoint(folder)), [0, 3, 5, 6]
    lengths = {at: n for at, n in lengths_of(model).items() if at[0] < len(left)}

    config = config_for(model, lengths, Change(layers=left))

    made = hf.CONFIG_MAPPING[case](**{k: v for k, v in config.items() if k != "model_type"})
    assert made.layer_types == [kinds[layer] for layer in left]
    assert made.layer_types != kinds[: len(left)]
