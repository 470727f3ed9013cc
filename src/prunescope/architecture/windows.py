"""Which layers see no more than a sliding window? As `layer_types` says, or else the model's type.

Of a config.json that was written before there was such a key it follows from the type, as
transformers' configuration_gemma2.py, configuration_gemma3.py, configuration_cohere2.py,
configuration_gpt_oss.py, configuration_olmo3.py, configuration_qwen2.py and
configuration_qwen2_moe.py fill it in; other types have a window in every layer, or in none. So does
the window's length where config.json has no such key: these and configuration_mistral.py have a
default, other types none.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from prunescope.checkpoint.gguf_config import FULL, LAYER_TYPES, SLIDING, WINDOW

# Every so-manieth layer sees all: as the key says, else so many.
_PATTERN = "sliding_window_pattern"
_PATTERNS = {"gemma3": 6, "gemma3_text": 6, "cohere2": 4, "olmo3": 4}
# Which have no window unless `use_sliding_window` is true.
_QWENS = ("qwen2", "qwen3", "qwen2_moe", "qwen3_moe")
_FROM = "max_window_layers"
_QWENS_FROM = 28
_WINDOWED = ("mistral", "gemma2", "gemma3", "gemma3_text", "cohere2", "olmo3", *_QWENS)
_USUAL = {**dict.fromkeys(_WINDOWED, 4096), "gpt_oss": 128}
# Where every other layer has one, from the first on.
_ALTERNATING = ("gemma2", "gpt_oss")


def usual_window(config: Mapping[str, Any]) -> int | None:
    """Tokens of the window that goes without saying: None where config.json has the key, null
    included, or the type has none."""
    kind = config.get("model_type")
    if WINDOW in config or not isinstance(kind, str):
        return None
    return _USUAL.get(kind)


def slides(config: Mapping[str, Any], place: int) -> bool:
    """Whether a layer sees no more than the window, where the model has one.

    Args:
        config: the language model's.
        place: the layer's number among those that there are, from 0.
    """
    used, kind = config.get("use_sliding_window"), config.get("model_type")
    if used is False or (kind in _QWENS and used is not True):
        return False
    kinds = config.get(LAYER_TYPES)
    if isinstance(kinds, list) and place < len(kinds):
        return bool(kinds[place] == SLIDING)
    if kind in _ALTERNATING:
        return place % 2 == 0
    if kind in _PATTERNS:
        stated = config.get(_PATTERN)
        pattern: int = stated if type(stated) is int and stated > 0 else _PATTERNS[kind]
        return (place + 1) % pattern != 0
    first = config.get(_FROM, _QWENS_FROM)
    if kind in ("qwen2", "qwen3"):
        return type(first) is int and place >= first
    return kind != "qwen2_moe" or (place % 2 == 0 and type(first) is int and place < first)


def layer_types(config: Mapping[str, Any], places: range) -> list[str] | None:
    """The `layer_types` that go without saying for layers at `places`; None where they are stated,
    or all layers are alike."""
    if config.get(LAYER_TYPES) is not None:
        return None
    kinds = [SLIDING if slides(config, place) else FULL for place in places]
    return kinds if len(set(kinds)) > 1 else None
