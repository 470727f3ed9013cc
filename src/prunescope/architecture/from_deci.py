"""Which Llama is this nemotron-nas model? Where every layer has attention and an MLP, there is one.

What its `block_configs` say is in `prunescope.architecture.block_configs`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from prunescope.architecture.block_configs import BLOCKS, NEMOTRON, part, spelled_out
from prunescope.checkpoint.gguf_config import KINDS, PER_LAYER
from prunescope.errors import CheckpointError, printable

_WHOLE = {"attention": "heads", "feed-forward": "mlp"}
_LACKS = {"none": "has no", "linear": "has a linear layer for its"}
# What a block may ask for that no Llama does: all of it is off where it says nothing.
_ASKED = (
    ("attention", "window_length"),
    ("attention", "num_sink_tokens"),
    ("attention", "use_prefill_window_in_sink_attention"),
    ("attention", "unshifted_sink"),
    ("attention", "sparsify"),
    ("ffn", "sparsify"),
    ("ffn", "moe"),
)
# How NVIDIA's own classes were found, and what they read.
_THEIRS = (BLOCKS, PER_LAYER, "auto_map")
_COUNTS = ("num_key_value_heads", "intermediate_size")


def as_llama(config: Mapping[str, Any], where: str) -> dict[str, Any]:
    """The config of a Llama that has the most of what any layer of this nemotron-nas model has.

    Any other `config` is given back as it is. How layers differ is for their tensors to say.

    Args:
        where: the model, for a message.

    Raises:
        CheckpointError: the model is no Llama, and why not.
    """
    if config.get("model_type") != NEMOTRON:
        return dict(config)
    for reason in _no_llama(config):
        raise CheckpointError(where, f"{reason}: no Llama can have that, only nemotron-nas (deci)")
    layers = spelled_out(config).get(PER_LAYER, {}).values()
    counts = {
        key: max(own[key] for own in layers)
        for key in _COUNTS
        if layers and all(type(own.get(key)) is int for own in layers)
    }
    left = {key: v for key, v in config.items() if key not in (*_THEIRS, *_COUNTS)}
    return left | counts | {"model_type": "llama", "architectures": ["LlamaForCausalLM"]}


def _no_llama(config: Mapping[str, Any]) -> Iterator[str]:
    position = config.get("position_embedding_type", "rope")
    if position not in (None, "rope"):
        yield f"position_embedding_type is {printable(str(position), 40)!r}"
    if not isinstance(config.get(BLOCKS), list):
        yield f"config.json has no {BLOCKS}"
        return
    told = spelled_out(config)[PER_LAYER]
    for number, block in enumerate(config[BLOCKS]):
        for question, answer in told[str(number)][KINDS].items():
            if answer != _WHOLE[question]:
                yield f"layer {number} {_LACKS[answer]} {question}"
        for place, key in _ASKED:
            if part(block, place).get(key):
                yield f"layer {number}: {key} is set"
        act = part(block, "ffn").get("hidden_act")
        if act not in (None, config.get("hidden_act", "silu")):
            yield f"layer {number}: hidden_act is {printable(str(act), 40)!r}"
