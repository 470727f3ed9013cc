"""Which config.json describes these shapes? One for all layers, or `per_layer_config`.

transformers (5.14 and later) describes layers that differ in `per_layer_config`, a sparse map
from layer to the attributes in which it departs from the model's own
(https://github.com/huggingface/transformers/tree/main/src/transformers/integrations/heterogeneity).
Its stock models do not build such layers; `carried/modeling_prunescope.py` does, and `auto_map`
names it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from prunescope.analysis.axes import layout
from prunescope.architecture import Model
from prunescope.architecture.from_deci import as_llama
from prunescope.architecture.head_counts import takes_heads
from prunescope.architecture.windows import layer_types
from prunescope.checkpoint.gguf_config import LAYER_TYPES, PER_LAYER
from prunescope.errors import CheckpointError
from prunescope.extras import require

# Llama's config checks its head count when it is loaded, which transformers refuses for a count
# that differs between layers unless this says that the model's own may be read.
GLOBAL_ACCESS = "allow_global_per_layer_attribute_access"
AUTO_MAP = "auto_map"
MODELING = "modeling_prunescope"
# As in the file of that name.
_PREFIX = "Pruned"
DEPTH = "num_hidden_layers"
# What stock classes cannot build: layers that differ, or as many heads as their config refuses.
CodeReason = Literal["layers", "heads"]
# Lists with one entry for each layer.
_BY_LAYER = (LAYER_TYPES, "no_rope_layers", "mlp_layer_types")


@dataclass(frozen=True, slots=True)
class Change:
    """What of a whole model has changed.

    Attributes:
        whole: space of the whole model (`hidden`) → its length, where it was cut.
        layers: the layers that are left, by the original's numbers; None for all.
    """

    whole: Mapping[str, int] = field(default_factory=dict)
    layers: Sequence[int] | None = None


NO_CHANGE = Change()


def config_for(
    model: Model,
    lengths: Mapping[tuple[int, str], int],
    change: Change = NO_CHANGE,
) -> dict[str, Any]:
    """The config of `model` after spaces have changed length, or layers have gone.

    Args:
        lengths: (layer, space) → units (heads, KV heads, channels) it has now, for every
            per-layer space of every layer that is left, by its new number.
        change: what else has.

    Raises:
        CheckpointError: as `uniform`; or layers have gone, and transformers refuses the config.
    """
    config = uniform(model.checkpoint.config, model.checkpoint.path)
    config |= {model.family.spaces[name].config: length for name, length in change.whole.items()}
    if change.layers is not None:
        config |= _of_layers(model, config, change.layers)
    if model.head_dim is not None:
        # Stated, because hidden_size // num_attention_heads no longer gives it.
        config["head_dim"] = model.head_dim
    keys = {name: _key(model, name) for _, name in lengths}
    found: dict[int, dict[str, int]] = {}
    for (layer, name), length in lengths.items():
        found.setdefault(layer, {})[keys[name]] = length
    first = next(iter(found.values()))
    if all(values == first for values in found.values()) and takes_heads(config | first):
        return config | first
    base = {key: config.get(key) or first[key] for key in keys.values()}
    if not config.get("num_key_value_heads"):
        # A model without GQA leaves the key out; a layer can only depart from a stated value.
        base["num_key_value_heads"] = base["num_attention_heads"]
    if not takes_heads(config | base):
        # The hidden size was cut: what stands for no layer only has to be taken.
        heads, known = "num_attention_heads", base["num_attention_heads"]
        counts = (n for n in range(known, 0, -1) if takes_heads(config | base | {heads: n}))
        base[heads] = next(counts, known)
    overrides = {
        str(layer): {key: value for key, value in values.items() if value != base[key]}
        for layer, values in found.items()
    }
    sparse = {layer: values for layer, values in overrides.items() if values}
    return config | base | {PER_LAYER: sparse, GLOBAL_ACCESS: True}


def lengths_of(model: Model) -> dict[tuple[int, str], int]:
    """(layer, space) → heads, KV heads or channels that the tensors have, for every layer.

    Where each expert has its own space, their common length.

    Raises:
        CheckpointError: axes of one space differ, or are no whole number of units.
    """
    found, lengths = layout(model), {}
    pruned = {name for group in model.family.groups.values() for name in group.spaces}
    for space in model.family.spaces.values():
        for layer in model.layers if space.per_layer else ():
            if space.name not in pruned and not found.of_space(layer, space.name):
                # A layer with experts has no dense channels.
                continue
            units = found.units(layer, space.name)
            if units is None:
                cause = f"layer {layer}: the tensors do not tell how many {space.name} there are"
                raise CheckpointError(model.checkpoint.path, cause)
            lengths[layer, space.name] = units
    return lengths


def _key(model: Model, name: str) -> str:
    """The key of config.json that counts a space: the one that is there, or is written today."""
    space = model.family.spaces[name]
    keys = (space.config, *space.aliases)
    return next((key for key in keys if key in model.checkpoint.config), space.config)


def with_code(config: Mapping[str, Any]) -> dict[str, Any]:
    """`config`, naming the classes of `modeling_prunescope.py` where it speaks of single layers.

    Raises:
        CheckpointError: neither it nor transformers says which class the model is of.
        MissingExtra: only transformers can say, and is not installed.
    """
    if PER_LAYER not in config:
        return dict(config)
    whole = _PREFIX + stock_class(config)
    classes = {
        "AutoModel": whole.replace("ForCausalLM", "Model"),
        "AutoModelForCausalLM": whole,
    }
    auto_map = {auto: f"{MODELING}.{name}" for auto, name in classes.items()}
    # An engine that knows the stock architecture by name would build uniform layers for it.
    return {**config, "architectures": [whole], AUTO_MAP: auto_map}


def code_reason(config: Mapping[str, Any]) -> CodeReason | None:
    """Why transformers needs the code that `config` names; None where it names none of ours."""
    if PER_LAYER not in config or not _is_ours(config):
        return None
    own = list(config[PER_LAYER].values())
    is_alike = len(own) == config.get(DEPTH) and all(each == own[0] for each in own)
    return "heads" if is_alike else "layers"


def _of_layers(model: Model, config: Mapping[str, Any], layers: Sequence[int]) -> dict[str, Any]:
    """Depth, and whatever is listed layer by layer (`layer_types`), for the layers left."""
    places = {layer: place for place, layer in enumerate(model.layers)}
    # What goes without saying of a layer's number would be said of another layer.
    kinds = layer_types(config, range(len(places)))
    listed = config if kinds is None else {**config, LAYER_TYPES: kinds}
    left: dict[str, Any] = {
        key: [value[places[layer]] for layer in layers]
        for key, value in listed.items()
        if key in _BY_LAYER and isinstance(value, list) and len(value) == len(places)
    }
    return left | {DEPTH: len(layers)}


def uniform(config: Mapping[str, Any], where: str) -> dict[str, Any]:
    """`config` without what it says of single layers; of nemotron-nas, the Llama's that it is.

    Args:
        where: the model, for a message.

    Raises:
        CheckpointError: as `as_llama`.
    """
    config = as_llama(config, where)
    ours = (PER_LAYER, GLOBAL_ACCESS, AUTO_MAP) if _is_ours(config) else (PER_LAYER, GLOBAL_ACCESS)
    plain = {key: value for key, value in config.items() if key not in ours}
    if _is_ours(config):
        plain["architectures"] = [stock_class(config)]
    return plain


def _is_ours(config: Mapping[str, Any]) -> bool:
    auto_map = config.get(AUTO_MAP)
    return isinstance(auto_map, dict) and any(
        str(name).startswith(f"{MODELING}.") for name in auto_map.values()
    )


def stock_class(config: Mapping[str, Any]) -> str:
    """transformers' class of a model with this `config`, as it names it or for its type.

    Raises:
        CheckpointError, MissingExtra: as `with_code`.
    """
    named = config.get("architectures")
    if isinstance(named, list) and len(named) == 1 and isinstance(named[0], str):
        name = named[0].removeprefix(_PREFIX)
        if name.isidentifier() and name.endswith("ForCausalLM"):
            return name
    require("transformers", "prune")
    from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

    found = MODEL_FOR_CAUSAL_LM_MAPPING_NAMES.get(config.get("model_type"))
    if not isinstance(found, str):
        raise CheckpointError("config.json", "names no architecture that transformers knows")
    return found
