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
_KEYS = {
    "dim": "hidden_size",
    "n_layers": "num_hidden_layers",
    "n_heads": "num_attention_heads",
    "n_kv_heads": "num_key_value_heads",
    "head_dim": "head_dim",
    "hidden_dim": "intermediate_size",
    "vocab_size": "vocab_size",
    "norm_eps": "rms_norm_eps",
    "rope_theta": "rope_theta",
    "sliding_window": "sliding_window",
}
# What Llama 3.1's `use_scaled_rope` stands for
# (https://github.com/meta-llama/llama-models, models/llama3/model.py, `apply_scaling`).
_SCALED = {
    "rope_type": "llama3",
    "factor": 8.0,
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
    config = {ours: found[key] for key, ours in _KEYS.items() if found.get(key) not in (None, -1)}
    config["tie_word_embeddings"] = not any(name.startswith("output.") for name in tensors)
    if found.get("use_scaled_rope") is True:
        factor = found.get("rope_scaling_factor") or _SCALED["factor"]
        config["rope_scaling"] = _SCALED | {"factor": factor}
    return config
