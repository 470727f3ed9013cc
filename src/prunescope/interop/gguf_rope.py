"""How do a config's rotary settings read in a GGUF file? As keys, or as factors of a tensor.

What llama.cpp computes otherwise is refused before: `analysis.llama_cpp_rope`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from prunescope.analysis.llama_cpp_rope import (
    LONGROPE,
    ORIGINAL,
    attention_factor,
    scaling,
    settings,
)
from prunescope.extras import require

if TYPE_CHECKING:
    import gguf
    import numpy as np
else:
    np = require("numpy", "gguf")

FACTORS = "rope_freqs.weight"
# Of longrope: config.json's key → the tensor.
BY_LENGTH = {f"{which}_factor": f"rope_factors_{which}.weight" for which in ("long", "short")}


def add_rope(writer: gguf.GGUFWriter, config: Mapping[str, Any], base: float) -> None:
    """Write base and scaling.

    Args:
        base: that goes without saying.
    """
    rope = settings(config, base)
    writer.add_rope_freq_base(float(rope["rope_theta"]))
    kind = scaling(rope)
    if kind in ("default", "llama3"):
        return
    writer.add_string(f"{writer.arch}.rope.scaling.type", kind)
    if kind in ("linear", "yarn"):
        writer.add_rope_scaling_factor(float(rope["factor"]))
    if kind in ("yarn", LONGROPE):
        writer.add_rope_scaling_orig_ctx_len(int(rope[ORIGINAL]))
    if kind == LONGROPE:
        writer.add_rope_scaling_attn_factors(attention_factor(config, rope) or 1.0)


def rope_factors(
    config: Mapping[str, Any], dim: int, base: float
) -> dict[str, np.ndarray[Any, np.dtype[np.float32]]]:
    """Tensors of [dim / 2] float32: what each frequency is divided by; none for plain RoPE.

    Llama 3.1's rule: long waves are slowed by `factor`, short ones not, those between in part
    (https://huggingface.co/docs/transformers/internal/rope_utils, `llama3`). Those of `longrope`
    lie in config.json, for texts longer than the model was first trained on and for others.

    Args:
        dim: rows of a head that are rotated.
        base: that goes without saying.
    """
    rope = settings(config, base)
    kind = scaling(rope)
    if kind == "llama3":
        return {FACTORS: llama3_factors(dim, float(rope["rope_theta"]), rope)}
    if kind != LONGROPE:
        return {}
    return {name: np.array(rope[key], np.float32) for key, name in BY_LENGTH.items()}


def llama3_factors(
    dim: int, base: float, rope: Mapping[str, Any]
) -> np.ndarray[Any, np.dtype[np.float32]]:
    """[dim / 2] float32: the factors of heads of `dim` rows by the scaling `rope`."""
    low, high = float(rope["low_freq_factor"]), float(rope["high_freq_factor"])
    context, factor = float(rope["original_max_position_embeddings"]), float(rope["factor"])
    factors = []
    for index in range(0, dim, 2):
        wave = 2 * math.pi * base ** (index / dim)
        # 1 for a short wave, 0 for a long one.
        short = min(1.0, max(0.0, (context / wave - low) / (high - low)))
        factors.append(1 / (short + (1 - short) / factor))
    return np.array(factors, np.float32)
