"""Which config.json describes these shapes? One for all layers, or `per_layer_config`.

transformers (5.13 and later) describes layers that differ in `per_layer_config`, a sparse map
from layer to the attributes in which it departs from the model's own
(https://github.com/huggingface/transformers/tree/main/src/transformers/integrations/heterogeneity).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from prunescope.architecture import Model
from prunescope.checkpoint.gguf_config import PER_LAYER

# Llama's config checks its head count when it is loaded, which transformers refuses for a count
# that differs between layers unless this says that the model's own may be read.
GLOBAL_ACCESS = "allow_global_per_layer_attribute_access"


def config_for(model: Model, lengths: Mapping[tuple[int, str], int]) -> dict[str, Any]:
    """The config of `model` after some of its layers' spaces have changed length.

    Args:
        lengths: (layer, space) → units (heads, KV heads, channels) it has now, for every
            per-layer space of every layer.
    """
    config = uniform(model.checkpoint.config)
    if model.head_dim is not None:
        # Stated, because hidden_size // num_attention_heads no longer gives it.
        config["head_dim"] = model.head_dim
    keys = {space.name: space.config for space in model.family.spaces.values() if space.per_layer}
    layers = {
        layer: {key: lengths[layer, name] for name, key in keys.items()} for layer in model.layers
    }
    first = next(iter(layers.values()))
    if all(values == first for values in layers.values()) and heads_divide(config | first):
        return config | first
    base = {key: config.get(key) or first[key] for key in keys.values()}
    if not config.get("num_key_value_heads"):
        # A model without GQA leaves the key out; a layer can only depart from a stated value.
        base["num_key_value_heads"] = base["num_attention_heads"]
    overrides = {
        str(layer): {key: value for key, value in values.items() if value != base[key]}
        for layer, values in layers.items()
    }
    sparse = {layer: values for layer, values in overrides.items() if values}
    return config | base | {PER_LAYER: sparse, GLOBAL_ACCESS: True}


def uniform(config: Mapping[str, Any]) -> dict[str, Any]:
    """`config` without what it says of single layers."""
    return {key: value for key, value in config.items() if key not in (PER_LAYER, GLOBAL_ACCESS)}


def heads_divide(config: Mapping[str, Any]) -> bool:
    """Whether the head count divides the hidden size, as transformers' Llama config demands."""
    heads, hidden = config.get("num_attention_heads"), config.get("hidden_size")
    return not (isinstance(heads, int) and isinstance(hidden, int) and heads) or not hidden % heads
