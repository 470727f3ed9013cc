"""What would config.json say of this GGUF file? Its keys under transformers' names.

The keys are llama.cpp's (https://github.com/ggml-org/llama.cpp/blob/master/gguf-py/gguf/constants.py,
`Keys`), each prefixed with the architecture. What a missing one means is in its `load_arch_hparams`
of each architecture (src/models/).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

from prunescope.checkpoint.types import TensorInfo

Value: TypeAlias = "int | float | bool | str | tuple[int | float | bool, ...]"
# transformers' (5.14 and later): layer → the keys in which it departs from the model's own.
PER_LAYER = "per_layer_config"
# Ours, in a layer's entry there: which answer to each question of its family's `kinds` it is.
KINDS = "kinds"
# transformers' too, of a model whose layers do not all see everything.
WINDOW, LAYER_TYPES = "sliding_window", "layer_types"
SLIDING, FULL = "sliding_attention", "full_attention"
# More than any model has; a number in a file is not yet a layer.
_MAX_LAYERS = 4096
EMBEDDING, HEAD = "token_embd.weight", "output.weight"
COUNTS = {
    "block_count": "num_hidden_layers",
    "embedding_length": "hidden_size",
    "feed_forward_length": "intermediate_size",
    "attention.head_count": "num_attention_heads",
    "attention.head_count_kv": "num_key_value_heads",
    "attention.key_length": "head_dim",
    "context_length": "max_position_embeddings",
}
_REALS = {
    "attention.layer_norm_rms_epsilon": "rms_norm_eps",
    "rope.freq_base": "rope_theta",
}


def config_of(values: Mapping[str, Value], tensors: Mapping[str, TensorInfo]) -> dict[str, Any]:
    """The config that the keys `values` and the tensors of one file tell.

    `model_type` is the architecture as llama.cpp names it: of a Mistral, `llama`. A count that
    differs between layers (`deci`) is the largest one, with the others in `per_layer_config`; and
    what a layer lacks is said there under `KINDS`.
    A shard of several tells what it knows: whether the head is tied only where it has the head.
    """
    config: dict[str, Any] = {}
    architecture = values.get("general.architecture")
    if isinstance(architecture, str):
        config["model_type"] = architecture
        _counts(config, values, architecture)
        _windows(config, values, architecture)
        for key, name in _REALS.items():
            value = values.get(f"{architecture}.{key}")
            if type(value) is float:
                config[name] = value
    if EMBEDDING in tensors:
        config["vocab_size"] = tensors[EMBEDDING].shape[0]
    if HEAD in tensors:
        config["tie_word_embeddings"] = False
    elif values.get("split.count", 1) == 1:
        config["tie_word_embeddings"] = True
    return config


def _counts(config: dict[str, Any], values: Mapping[str, Value], architecture: str) -> None:
    layers = values.get(f"{architecture}.block_count")
    overrides: dict[str, dict[str, Any]] = {}
    for key, name in COUNTS.items():
        value = values.get(f"{architecture}.{key}")
        if isinstance(value, tuple):
            if not value or len(value) != layers or not all(type(n) is int for n in value):
                continue
            largest = max(value)
            for layer, n in enumerate(value):
                if n != largest:
                    overrides.setdefault(str(layer), {})[name] = int(n)
            value = largest
        if type(value) is int and value > 0:
            config[name] = value
    heads = config.get("num_attention_heads")
    if heads:
        # llama.cpp's own defaults (llama-model.cpp, load_hparams).
        config.setdefault("num_key_value_heads", heads)
        if "hidden_size" in config and config["hidden_size"] % heads == 0:
            config.setdefault("head_dim", config["hidden_size"] // heads)
    for own in overrides.values():
        kinds = _kinds(own)
        if kinds and architecture == "deci":
            own[KINDS] = kinds
    if overrides:
        config[PER_LAYER] = dict(sorted(overrides.items(), key=lambda item: int(item[0])))


def _windows(config: dict[str, Any], values: Mapping[str, Value], architecture: str) -> None:
    """The sliding window, and which layers have it where the file says so."""
    window = values.get(f"{architecture}.attention.sliding_window")
    if type(window) is int and window > 0:
        config[WINDOW] = window
    elif architecture == "gemma3":
        # transformers would have 4096; of Gemma 2 llama.cpp has that too.
        config[WINDOW] = None
    layers = values.get(f"{architecture}.block_count")
    if type(layers) is not int or not 0 < layers <= _MAX_LAYERS:
        return
    told = values.get(f"{architecture}.attention.sliding_window_pattern")
    if type(told) is int:
        # Of so many the last one sees all: of none, none does (`llama_hparams::set_swa_pattern`).
        slides = [told == 0 or layer % told < told - 1 for layer in range(layers)]
    elif isinstance(told, tuple) and len(told) == layers:
        slides = [bool(each) for each in told]
    else:
        return
    config[LAYER_TYPES] = [SLIDING if each else FULL for each in slides]


def _kinds(own: Mapping[str, int]) -> dict[str, str]:
    """What counts of 0 mean in llama.cpp's src/models/deci.cpp: no attention, or a linear layer in
    its place; no MLP."""
    kinds = {}
    if own.get("num_key_value_heads") == 0:
        kinds["attention"] = "none" if own.get("num_attention_heads") == 0 else "linear"
    if own.get("intermediate_size") == 0:
        kinds["feed-forward"] = "none"
    return kinds
