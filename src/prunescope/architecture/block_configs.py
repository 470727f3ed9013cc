"""What does `block_configs` say of each layer? The key of nemotron-nas, as `per_layer_config`.

NVIDIA's Llama-Nemotron models choose for each layer (block_config.py and configuration_decilm.py
beside https://huggingface.co/nvidia/Llama-3_1-Nemotron-51B-Instruct): attention with so many query
heads to a KV head, a linear layer in its place, or nothing; an MLP of so many channels, a linear
layer, or nothing. vLLM's nemotron_nas.py reads `intermediate_size` where there is no `ffn_mult`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from prunescope.checkpoint.gguf_config import KINDS, PER_LAYER

NEMOTRON = "nemotron-nas"
BLOCKS = "block_configs"
# configuration_decilm.py beside https://huggingface.co/Deci/DeciLM-7B.
_KV_HEADS = "num_key_value_heads_per_layer"
# Engines round the channels that `ffn_mult` gives up to a multiple of this.
CHANNELS_MULTIPLE = 256
# No layer is wider, whatever a file claims.
_MOST_CHANNELS = 1 << 30


def channels_of(ffn_mult: float, hidden: int) -> int | None:
    """Channels that engines give a layer: ⌊2 · `ffn_mult` · `hidden` / 3⌋, rounded up.

    The formula of vLLM's and TensorRT-LLM's `_ffn_mult_to_intermediate_size`. None where there can
    be no such layer.
    """
    # Each by itself first: JSON's whole numbers have any length.
    if not (0 < ffn_mult < _MOST_CHANNELS and 0 < hidden < _MOST_CHANNELS):
        return None
    exact = int(2 * ffn_mult * hidden / 3)
    return -(-exact // CHANNELS_MULTIPLE) * CHANNELS_MULTIPLE if exact < _MOST_CHANNELS else None


def spelled_out(config: Mapping[str, Any]) -> Mapping[str, Any]:
    """`config` with a `per_layer_config` that says what its `block_configs` do, if it has them.

    Each layer gets what it has of `num_key_value_heads`, `intermediate_size` and
    `sliding_window`, and under `KINDS` which of the table's kinds it is; what cannot be read is
    left out. DeciLM-7B, which came before, lists KV heads alone.
    """
    listed = config.get(_KV_HEADS)
    if isinstance(listed, list) and PER_LAYER not in config:
        own = {str(n): {"num_key_value_heads": heads} for n, heads in enumerate(listed)}
        return {**config, PER_LAYER: own}
    blocks = config.get(BLOCKS)
    if config.get("model_type") != NEMOTRON or not isinstance(blocks, list):
        return config
    layers = {str(n): _layer(block, config) for n, block in enumerate(blocks)}
    return {**config, PER_LAYER: layers}


def part(block: object, name: str) -> Mapping[str, Any]:
    """What a block says of its `attention` or `ffn`; nothing where that is no object."""
    found = block.get(name) if isinstance(block, dict) else None
    return found if isinstance(found, dict) else {}


def _layer(block: object, config: Mapping[str, Any]) -> dict[str, Any]:
    attention, ffn = part(block, "attention"), part(block, "ffn")
    kinds = {"attention": _kind(attention, "heads"), "feed-forward": _kind(ffn, "mlp")}
    counts = {
        "num_key_value_heads": _kv_heads(attention, config.get("num_attention_heads")),
        "intermediate_size": _channels(ffn, config.get("hidden_size")),
        "sliding_window": attention.get("window_length"),
    }
    return {key: n for key, n in counts.items() if n is not None} | {KINDS: kinds}


def _kind(said: Mapping[str, Any], usual: str) -> str:
    if said.get("no_op") is True:
        return "none"
    return "linear" if said.get("replace_with_linear") is True else usual


def _kv_heads(attention: Mapping[str, Any], heads: object) -> object:
    share = attention.get("n_heads_in_group")
    if type(share) is int and share > 0 and type(heads) is int:
        return heads // share
    return attention.get("num_key_value_heads")


def _channels(ffn: Mapping[str, Any], hidden: object) -> object:
    mult = ffn.get("ffn_mult")
    if isinstance(mult, int | float) and type(hidden) is int:
        return channels_of(mult, hidden)
    return ffn.get("intermediate_size")
