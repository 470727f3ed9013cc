"""How do vLLM and TensorRT-LLM read layers that differ? As `block_configs` of `nemotron-nas`.

The format is NVIDIA's, of its Llama-Nemotron models (configuration_decilm.py and block_config.py
beside https://huggingface.co/nvidia/Llama-3_1-Nemotron-51B-Instruct). Tensors have Llama's names.
What the engines do with it:
https://github.com/vllm-project/vllm/blob/main/vllm/model_executor/models/nemotron_nas.py and
https://github.com/NVIDIA/TensorRT-LLM/blob/main/tensorrt_llm/_torch/models/modeling_nemotron_nas.py
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from prunescope.architecture import Model
from prunescope.architecture.block_configs import BLOCKS, NEMOTRON, channels_of
from prunescope.architecture.block_configs import CHANNELS_MULTIPLE as _MULTIPLE
from prunescope.errors import CheckpointError
from prunescope.interop.hf_config import AUTO_MAP, uniform
from prunescope.interop.padding import Lengths, common_lengths, queries_each

CONFIGURATION = "configuration_deci"
# Decimals that NVIDIA's own config classes leave of `ffn_mult`.
_DECIMALS = 6


def deci_lengths(model: Model, lengths: Lengths) -> dict[tuple[int, str], int]:
    """The smallest lengths that hold `lengths` and that the format can express."""
    alike = common_lengths(model, lengths)
    return {
        place: -(-length // _MULTIPLE) * _MULTIPLE if place[1] == "channels" else alike[place]
        for place, length in lengths.items()
    }


def deci_config(model: Model, lengths: Lengths) -> dict[str, Any]:
    """The config.json of `model` with spaces of `lengths`.

    Raises:
        CheckpointError: the format cannot express it, and why not.
    """
    where = model.checkpoint.path
    config = uniform(model.checkpoint.config, where)
    if config.get("model_type") != "llama":
        cause = f"deci describes Llamas, this is a {config.get('model_type')!r}"
        raise CheckpointError(where, cause)
    for key in ("attention_bias", "mlp_bias"):
        if config.get(key):
            raise CheckpointError(where, f"deci has no biases, and {key} is set")
    counts = {lengths[layer, "heads"] for layer in model.layers}
    if len(counts) > 1:
        found = ", ".join(map(str, sorted(counts)))
        cause = f"deci has one head count for all layers, these have {found} (--uniform pads them)"
        raise CheckpointError(where, cause)
    hidden = config.get("hidden_size")
    if not isinstance(hidden, int) or hidden < 1:
        raise CheckpointError(where, "config.json does not give hidden_size")
    (heads,) = counts
    blocks = [_block(model, lengths, layer, hidden) for layer in model.layers]
    for key in ("num_key_value_heads", "intermediate_size"):
        config.pop(key, None)
    return config | {
        "model_type": NEMOTRON,
        "architectures": ["DeciLMForCausalLM"],
        AUTO_MAP: {"AutoConfig": f"{CONFIGURATION}.DeciLMConfig"},
        "num_attention_heads": heads,
        "head_dim": model.head_dim,
        BLOCKS: blocks,
    }


def _block(model: Model, lengths: Lengths, layer: int, hidden: int) -> dict[str, Any]:
    share, channels = queries_each(model, lengths, layer), lengths[layer, "channels"]
    if channels % _MULTIPLE:
        cause = (
            f"layer {layer}: deci rounds channels to multiples of {_MULTIPLE}, this has {channels} "
            "(--uniform pads them)"
        )
        raise CheckpointError(model.checkpoint.path, cause)
    live: Mapping[str, Any] = {"no_op": False, "replace_with_linear": False, "sparsify": None}
    attention = {
        **live,
        "n_heads_in_group": share,
        "window_length": None,
        "num_sink_tokens": None,
        "use_prefill_window_in_sink_attention": False,
        "unshifted_sink": False,
    }
    return {"attention": attention, "ffn": {**live, "ffn_mult": _ffn_mult(channels, hidden)}}


def _ffn_mult(channels: int, hidden: int) -> float:
    """The number of which engines make `channels`."""
    exact = round(3 * channels / (2 * hidden), _DECIMALS)
    if channels_of(exact, hidden) == channels:
        return exact
    # Rounded up past the multiple: half a step below it is safe from any rounding.
    return round(3 * (channels - _MULTIPLE // 2) / (2 * hidden), _DECIMALS)
