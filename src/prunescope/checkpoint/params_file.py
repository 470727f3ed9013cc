"""What do Meta's and Mistral's own releases say of a model? `params.json`, by config.json's keys.

Such a file lies beside `consolidated.*` (https://github.com/meta-llama/llama3, `ModelArgs`;
https://github.com/mistralai/mistral-inference, `TransformerArgs`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from prunescope.checkpoint.jsonfile import read_beside
from prunescope.checkpoint.storage import Folder
from prunescope.checkpoint.types import TensorInfo

PARAMS = "params.json"
# Meta's `multiple_of` and `ffn_dim_multiplier` say the channels by way of a formula; shapes do too.
_COUNTS = {
    "dim": "hidden_size",
    "n_layers": "num_hidden_layers",
    "n_heads": "num_attention_heads",
    "n_kv_heads": "num_key_value_heads",
    "head_dim": "head_dim",
    "hidden_dim": "intermediate_size",
    "vocab_size": "vocab_size",
    "sliding_window": "sliding_window",
}
_REALS = {"norm_eps": "rms_norm_eps", "rope_theta": "rope_theta"}
# What is not in the file but follows from the release, as in transformers'
# convert_llama_weights_to_hf.py: the vocabulary of Llama 3, and its longest texts before and with
# `use_scaled_rope`; what that stands for beside a factor, also in a GGUF; and the widths of Llama
# 3.2, whose factor is 32.
_LLAMA_3_TOKENS, _LLAMA_3_LENGTH, _SCALED_LENGTH = 128256, 8192, 131072
_LLAMA_3_2 = (2048, 3072)
SCALED_ROPE = {
    "rope_type": "llama3",
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 8192,
}


def read_params(folder: Folder, tensors: Mapping[str, TensorInfo]) -> dict[str, Any]:
    """What `params.json` in `folder` says, by config.json's keys; empty where there is none.

    Args:
        tensors: the model's; they tell whether the head is tied.

    Raises:
        CheckpointError: it is no JSON object.
    """
    found = read_beside(folder, PARAMS)
    if "n_layers" not in found or "dim" not in found:
        return {}
    # Llama 2's has the vocabulary's size from the tokenizer, and -1 here.
    config: dict[str, Any] = {
        ours: found[key] for key, ours in _COUNTS.items() if _is(found.get(key), int)
    }
    config |= {ours: found[key] for key, ours in _REALS.items() if _is(found.get(key), float, int)}
    config["tie_word_embeddings"] = not any(name.startswith("output.") for name in tensors)
    is_scaled = found.get("use_scaled_rope") is True
    if config.get("vocab_size") == _LLAMA_3_TOKENS:
        config["max_position_embeddings"] = _SCALED_LENGTH if is_scaled else _LLAMA_3_LENGTH
    if is_scaled:
        told = found.get("rope_scaling_factor")
        usual = 32.0 if config.get("hidden_size") in _LLAMA_3_2 else 8.0
        config["rope_scaling"] = SCALED_ROPE | {"factor": told if _is(told, float, int) else usual}
    return config


def _is(value: object, *kinds: type) -> bool:
    """Whether it is a number as there are such; no bool, and neither text nor below 1e-12."""
    return type(value) in kinds and isinstance(value, int | float) and 1e-12 < value < 1e12
