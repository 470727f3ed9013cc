"""How are layers of different shapes built? Each from its own entry of `per_layer_config`.

This file lies beside a pruned model, so that transformers (5.14 or later) loads it with
`AutoModelForCausalLM.from_pretrained(folder, trust_remote_code=True)`. It needs nothing else.

transformers reads `per_layer_config` of config.json into the config of each layer, but its stock
models build all layers from the one for the whole model. `Pruned<Stock>` is the stock class
`<Stock>` with every layer built anew from its own config; forward pass, cache, attention and
generation are the stock model's. `auto_map` in config.json names the class.
"""

from __future__ import annotations

from typing import Any

import transformers

PREFIX = "Pruned"


class LayerConfig:
    """A model's config, but for what one layer has for itself: read when a layer is computed."""

    def __init__(self, whole: Any, **own: Any) -> None:
        self.__dict__.update(own, whole=whole)

    def __getattr__(self, name: str) -> Any:
        if name == "whole" or name.startswith("__"):
            # Copying and pickling look for these on an object that has nothing yet.
            raise AttributeError(name)
        return getattr(self.whole, name)


class PrunedLayers:
    """Put before a stock class: layers with the shapes that their own configs say."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        model: Any = self
        config = model.config
        layers = model.base_model.layers
        for number, own in enumerate(config.per_layer_config):
            layer, heads = type(layers[number])(own, number), own.num_attention_heads
            layer.apply(model._init_weights)
            for module in layer.modules():
                if getattr(module, "config", None) is own:
                    # Its sizes are taken. What can still change is the model's: a copy would
                    # not notice another attention implementation.
                    module.config = config
                    if hasattr(module, "qkv_proj"):
                        # Divided by the head count of its config, in every forward pass.
                        module.config = LayerConfig(config, num_attention_heads=heads)
            layers[number] = layer


def __getattr__(name: str) -> Any:
    """`PrunedLlamaForCausalLM`, `PrunedQwen3Model`, …: made of the stock class when asked for."""
    stock = getattr(transformers, name.removeprefix(PREFIX), None)
    if not name.startswith(PREFIX) or not isinstance(stock, type):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    made = type(name, (PrunedLayers, stock), {"__module__": __name__})
    # One class for one name: pickling and isinstance compare identities.
    globals()[name] = made
    return made
