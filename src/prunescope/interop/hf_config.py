"""Which config.json describes these shapes? One for all layers, or `per_layer_config`.

transformers (5.13 and later) describes layers that differ in `per_layer_config`, a sparse map
from layer to the attributes in which it departs from the model's own
(https://github.com/huggingface/transformers/tree/main/src/transformers/integrations/heterogeneity).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from prunescope.architecture import Model
from prunescope.checkpoint.gguf_config import PER_LAYER

# Llama's config checks its head count when it is loaded, which transformers refuses for a count
# that differs between layers unless this says that the model's own may be read.
GLOBAL_ACCESS = "allow_global_per_layer_attribute_access"
DEPTH = "num_hidden_layers"
# Lists with one entry for each layer.
_BY_LAYER = ("layer_types", "no_rope_layers", "mlp_layer_types")


def config_for(
    model: Model,
    lengths: Mapping[tuple[int, str], int],
    whole: Mapping[str, int] | None = None,
    layers: Sequence[int] | None = None,
) -> dict[str, Any]:
    """The config of `model` after spaces have changed length, or layers have gone.

    Args:
        lengths: (layer, space) → units (heads, KV heads, channels) it has now, for every
            per-layer space of every layer that is left, by its new number.
        whole: space of the whole model → its length, where that has changed.
        layers: the layers that are left, by the original's numbers; None for all.
    """
    config = uniform(model.checkpoint.config)
    config |= {model.family.spaces[name].config: length for name, length in (whole or {}).items()}
    if layers is not None:
        config |= _of_layers(model, config, layers)
    if model.head_dim is not None:
        # Stated, because hidden_size // num_attention_heads no longer gives it.
        config["head_dim"] = model.head_dim
    keys = {space.name: space.config for space in model.family.spaces.values() if space.per_layer}
    found: dict[int, dict[str, int]] = {}
    for (layer, name), length in lengths.items():
        found.setdefault(layer, {})[keys[name]] = length
    first = next(iter(found.values()))
    if all(values == first for values in found.values()) and heads_divide(config | first):
        return config | first
    base = {key: config.get(key) or first[key] for key in keys.values()}
    if not config.get("num_key_value_heads"):
        # A model without GQA leaves the key out; a layer can only depart from a stated value.
        base["num_key_value_heads"] = base["num_attention_heads"]
    if not heads_divide(config | base):
        # The hidden size was cut: what stands for no layer only has to divide it.
        heads = range(base["num_attention_heads"], 0, -1)
        base["num_attention_heads"] = next(n for n in heads if not config["hidden_size"] % n)
    overrides = {
        str(layer): {key: value for key, value in values.items() if value != base[key]}
        for layer, values in found.items()
    }
    sparse = {layer: values for layer, values in overrides.items() if values}
    return config | base | {PER_LAYER: sparse, GLOBAL_ACCESS: True}


def _of_layers(model: Model, config: Mapping[str, Any], layers: Sequence[int]) -> dict[str, Any]:
    """Depth, and whatever is listed layer by layer (`layer_types`), for the layers left."""
    places = {layer: place for place, layer in enumerate(model.layers)}
    left: dict[str, Any] = {
        key: [value[places[layer]] for layer in layers]
        for key, value in config.items()
        if key in _BY_LAYER and isinstance(value, list) and len(value) == len(places)
    }
    return left | {DEPTH: len(layers)}


def uniform(config: Mapping[str, Any]) -> dict[str, Any]:
    """`config` without what it says of single layers."""
    return {key: value for key, value in config.items() if key not in (PER_LAYER, GLOBAL_ACCESS)}


def heads_divide(config: Mapping[str, Any]) -> bool:
    """Whether the head count divides the hidden size, as transformers' Llama config demands."""
    heads, hidden = config.get("num_attention_heads"), config.get("hidden_size")
    return not (isinstance(heads, int) and isinstance(hidden, int) and heads) or not hidden % heads
