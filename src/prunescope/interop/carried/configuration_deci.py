"""What do engines read of `block_configs`? Attributes, which this config gives the JSON's objects.

This file lies beside a model whose config.json has the model_type `nemotron-nas`, for vLLM and
TensorRT-LLM with `trust_remote_code`. They bring the model (`DeciLMForCausalLM`), not its config.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from transformers import LlamaConfig


class DeciLMConfig(LlamaConfig):  # type: ignore[misc]
    """A Llama's config with one entry of `block_configs` for each layer."""

    model_type = "nemotron-nas"

    def __init__(self, block_configs: Any = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.block_configs = [
            SimpleNamespace(**{part: SimpleNamespace(**block[part]) for part in block})
            for block in block_configs or ()
        ]

    def validate_architecture(self) -> None:
        """Heads need not divide the hidden size: head_dim is stated."""

    def to_dict(self) -> dict[str, Any]:
        """The JSON's objects again."""
        plain: dict[str, Any] = super().to_dict()
        plain["block_configs"] = [
            {part: dict(vars(values)) for part, values in vars(block).items()}
            for block in self.block_configs
        ]
        return plain
