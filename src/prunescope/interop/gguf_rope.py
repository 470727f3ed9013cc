"""How do a config's rotary settings read in a GGUF file? As keys, or as factors of a tensor."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from prunescope.checkpoint import Checkpoint
from prunescope.errors import ArchitectureError
from prunescope.extras import require

if TYPE_CHECKING:
    import gguf
    import numpy as np
else:
    np = require("numpy", "gguf")

# The largest number that a key has room for: its type is uint32, or float32.
MOST = (1 << 32) - 1


def add_rope(writer: gguf.GGUFWriter, checkpoint: Checkpoint) -> None:
    """Write base and scaling.

    Raises:
        ArchitectureError: a scaling that llama.cpp's keys do not express.
    """
    rope = _settings(checkpoint)
    writer.add_rope_freq_base(float(rope.get("rope_theta", 10000.0)))
    kind = _kind(rope)
    if kind in ("default", "llama3"):
        return
    if kind not in ("linear", "yarn"):
        raise ArchitectureError(f"{checkpoint.path}: GGUF has no place for RoPE scaling {kind!r}")
    writer.add_string(f"{writer.arch}.rope.scaling.type", kind)
    writer.add_rope_scaling_factor(float(rope["factor"]))
    if kind == "yarn":
        writer.add_rope_scaling_orig_ctx_len(int(rope["original_max_position_embeddings"]))


def rope_factors(checkpoint: Checkpoint) -> np.ndarray[Any, np.dtype[np.float32]] | None:
    """[head_dim / 2] float32: what each frequency is divided by; None for plain RoPE.

    Llama 3.1's rule: long waves are slowed by `factor`, short ones not, those between in part
    (https://huggingface.co/docs/transformers/internal/rope_utils, `llama3`). llama.cpp reads them
    from the tensor `rope_freqs.weight`.
    """
    rope = _settings(checkpoint)
    if _kind(rope) != "llama3":
        return None
    config = checkpoint.config
    dim = config.get("head_dim") or config["hidden_size"] // config["num_attention_heads"]
    return llama3_factors(dim, float(rope.get("rope_theta", 10000.0)), rope)


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


def _settings(checkpoint: Checkpoint) -> Mapping[str, Any]:
    """The rotary settings, as transformers 5 writes them or as earlier ones did."""
    config = checkpoint.config
    rope: dict[str, Any] = {}
    for key in ("rope_scaling", "rope_parameters"):
        value = config.get(key)
        if isinstance(value, dict):
            rope |= value
    if "rope_theta" in config:
        rope.setdefault("rope_theta", config["rope_theta"])
    needed = {
        "linear": ("factor",),
        "yarn": ("factor", "original_max_position_embeddings"),
        "llama3": (
            "factor",
            "low_freq_factor",
            "high_freq_factor",
            "original_max_position_embeddings",
        ),
    }
    for key in ("rope_theta", *needed.get(_kind(rope), ())):
        value = rope.get(key, 10000.0 if key == "rope_theta" else None)
        if not isinstance(value, int | float) or not 0 < value <= MOST:
            raise ArchitectureError(f"{checkpoint.path}: config.json: RoPE {key} is {value!r}")
    if _kind(rope) == "llama3" and rope["low_freq_factor"] >= rope["high_freq_factor"]:
        raise ArchitectureError(
            f"{checkpoint.path}: config.json: RoPE low_freq_factor is not below high_freq_factor"
        )
    return rope


def _kind(rope: Mapping[str, Any]) -> str:
    return str(rope.get("rope_type", rope.get("type")) or "default")
