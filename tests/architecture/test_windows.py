"""Which layers of an old config have a sliding window is what transformers makes of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
import transformers as hf
from safetensors.torch import load_file, save_file

from prunescope.analysis.cost import cost
from prunescope.analysis.workload import Workload
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
    "gpt_oss": {},
    "olmo3": {},
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


# --- a window that goes without saying ------------------------------------------------------------


@pytest.mark.parametrize(
    "case",
    ["mistral", "mixtral", "gemma2", "gemma3", "cohere2", "gpt_oss", "olmo3", "phi3", "starcoder2",
     "qwen2", "qwen2, used", "qwen3, used", "qwen3_moe, used"],
)  # fmt: skip
@pytest.mark.parametrize("is_null", [False, True])
def test_without_a_length_it_is_transformers_default(
    tmp_path: Path, case: str, is_null: bool
) -> None:
    family, _, used = case.partition(",")
    state = {"use_sliding_window": True, "max_window_layers": 2} if used else {}
    folder = of_seven_layers(family_folder(family, tmp_path), state)
    path = folder / "config.json"
    config = json.loads(path.read_text())
    del config["sliding_window"]
    path.write_text(json.dumps(config | ({"sliding_window": None} if is_null else {})))
    read = hf.AutoConfig.from_pretrained(folder)
    window, context = read.sliding_window, 5000
    kinds = getattr(read, "layer_types", None) or ["sliding_attention"] * LAYERS

    found = cost(open_checkpoint(folder), Workload(context))

    seen = sum(window if window and kind == "sliding_attention" else context for kind in kinds)
    assert found.kv_bytes * LAYERS == seen * found.kv_bytes_per_token


# --- llama.cpp's keys -----------------------------------------------------------------------------


def as_gguf(folder: Path, architecture: str, **keys: Any) -> Path:
    """Zeros of the shapes of a model folder under llama.cpp's names, by its own writer."""
    checkpoint = open_checkpoint(folder)
    config = checkpoint.config
    codes = {text: code for code, text in gguf.MODEL_ARCH_NAMES.items()}
    names = gguf.get_tensor_name_map(codes[architecture], LAYERS)
    path = folder.parent / "model.gguf"
    writer = gguf.GGUFWriter(path, architecture)
    writer.add_block_count(LAYERS)
    writer.add_embedding_length(config["hidden_size"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(config["num_attention_heads"])
    writer.add_head_count_kv(config["num_key_value_heads"])
    heads = config["num_attention_heads"]
    writer.add_key_length(config.get("head_dim") or config["hidden_size"] // heads)
    for key, value in keys.items():
        getattr(writer, f"add_{key}")(value)
    for name, info in checkpoint.tensors.items():
        stem, _, kind = name.rpartition(".")
        if (known := names.get_name(stem)) is not None:
            writer.add_tensor(f"{known}.{kind}", np.zeros(info.shape, "f4"))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


@pytest.mark.parametrize("is_told", [False, True])
@pytest.mark.parametrize(
    ("case", "architecture"),
    [("mistral", "llama"), ("gemma2", "gemma2"), ("gemma3", "gemma3"), ("cohere2", "cohere2"),
     ("phi3", "phi3")],
)  # fmt: skip
def test_a_gguf_has_the_cache_of_its_hugging_face_twin(
    tmp_path: Path, case: str, architecture: str, is_told: bool
) -> None:
    folder = of_seven_layers(family_folder(case, tmp_path), {})
    read = hf.AutoConfig.from_pretrained(folder)
    kinds = getattr(read, "layer_types", None) or ["sliding_attention"] * LAYERS
    # As convert_hf_to_gguf.py writes it where a model's layers are not told by its architecture.
    told = {"sliding_window_pattern": [kind == "sliding_attention" for kind in kinds]}
    path = as_gguf(folder, architecture, sliding_window=WINDOW, **(told if is_told else {}))

    ours, theirs = (cost(open_checkpoint(each), Workload(CONTEXT)) for each in (path, folder))

    assert ours.kv_bytes_per_token == theirs.kv_bytes_per_token
    assert ours.kv_bytes == theirs.kv_bytes < CONTEXT * ours.kv_bytes_per_token
    assert ours.attention_flops == theirs.attention_flops


@pytest.mark.parametrize(
    ("architecture", "keys", "seen"),
    [
        # Gemma 2's length goes without saying (4096); without one Gemma 3 has none.
        ("gemma2", {}, 4 * 4096 + 3 * 5000),
        ("gemma3", {}, 7 * 5000),
        # A period: the last layer of each sees all.
        ("gemma3", {"sliding_window": 16, "sliding_window_pattern": 3}, 5 * 16 + 2 * 5000),
        ("gemma3", {"sliding_window": 16, "sliding_window_pattern": 0}, 7 * 16),
        ("gemma3", {"sliding_window": 16, "sliding_window_pattern": 1}, 7 * 5000),
        # Of other models: not for seven layers.
        ("gemma3", {"sliding_window": 16, "sliding_window_pattern": [True] * 3}, 6 * 16 + 5000),
    ],
)
def test_what_a_gguf_leaves_out_is_as_llama_cpp_has_it(
    tmp_path: Path, architecture: str, keys: dict[str, Any], seen: int
) -> None:
    folder = of_seven_layers(family_folder(architecture, tmp_path), {})
    found = cost(open_checkpoint(as_gguf(folder, architecture, **keys)), Workload(5000))
    assert found.kv_bytes * LAYERS == seen * found.kv_bytes_per_token
