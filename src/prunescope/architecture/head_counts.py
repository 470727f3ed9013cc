"""Does transformers' config accept a head count? Some hold it against the hidden size."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

# LlamaConfig.validate_architecture and those like it; MistralConfig's, Qwen2Config's and
# GemmaConfig's ask for nothing of the kind.
_DIVIDING = ("llama", "gemma2", "gemma3", "gemma3_text", "gpt_neox", "deepseek_v2")


def takes_heads(config: Mapping[str, Any]) -> bool:
    """Whether transformers' config accepts `num_attention_heads` beside `hidden_size`.

    Those of `_DIVIDING` want one that divides it. Phi-3's holds the factors of its RoPE scaling
    against hidden size / heads, whatever `head_dim` says (Phi3Config.validate_rope).
    """
    heads, hidden = config.get("num_attention_heads"), config.get("hidden_size")
    if type(heads) is not int or type(hidden) is not int or heads < 1:
        return True
    family = config.get("model_type", "llama")
    rope = config.get("rope_parameters") or config.get("rope_scaling")
    factors = rope.get("short_factor") if isinstance(rope, Mapping) else None
    if family == "phi3" and isinstance(rope, Mapping) and isinstance(factors, list):
        share = rope.get("partial_rotary_factor") or config.get("partial_rotary_factor") or 1
        # What is no number is refused for that, elsewhere.
        is_number = type(share) in (int, float) and 0 < share <= 1
        return not is_number or int(hidden // heads * share) // 2 == len(factors)
    return family not in _DIVIDING or not hidden % heads
