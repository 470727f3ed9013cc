"""How many tokens does a layer attend to? All of the context, or those in a sliding window.

Which layers have the window is said by `layer_types`. Of a config.json that was written before
there was such a key it follows from the type, as transformers' configuration_gemma2.py,
configuration_gemma3.py, configuration_cohere2.py, configuration_qwen2.py and
configuration_qwen2_moe.py fill it in; other types have it in every layer, or in none.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from prunescope.analysis.axes import stated_of, whole
from prunescope.architecture import Model

_SLIDING = "sliding_attention"
# Every so-manieth layer sees all: as the key says, else so many.
_PATTERN = "sliding_window_pattern"
_PATTERNS = {"gemma3": 6, "gemma3_text": 6, "cohere2": 4}
# Which have no window unless `use_sliding_window` is true.
_QWENS = ("qwen2", "qwen3", "qwen2_moe", "qwen3_moe")
_FROM = "max_window_layers"
_QWENS_FROM = 28


def keys(model: Model, layer: int, place: int, context: int) -> int:
    """How many of `context` tokens a layer attends to and keeps.

    Args:
        layer: its number, as the file has it.
        place: its number among the layers that there are, from 0.
    """
    window = stated_of(model, "sliding_window", layer)
    if window is None or not _slides(model.config, place):
        return context
    return min(context, window)


def _slides(config: Mapping[str, Any], place: int) -> bool:
    used, kind = config.get("use_sliding_window"), config.get("model_type")
    if used is False or (kind in _QWENS and used is not True):
        return False
    kinds = config.get("layer_types")
    if isinstance(kinds, list) and place < len(kinds):
        return bool(kinds[place] == _SLIDING)
    if kind == "gemma2":
        return place % 2 == 0
    if kind in _PATTERNS:
        return (place + 1) % (whole(config, _PATTERN) or _PATTERNS[kind]) != 0
    first = config.get(_FROM, _QWENS_FROM)
    if kind in ("qwen2", "qwen3"):
        return type(first) is int and place >= first
    return kind != "qwen2_moe" or (place % 2 == 0 and type(first) is int and place < first)
