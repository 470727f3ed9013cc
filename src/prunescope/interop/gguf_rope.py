"""How do a config's rotary settings read in a GGUF file? As keys, or as factors of a tensor."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any

from prunescope.checkpoint import Checkpoint
from prunescope.errors import ArchitectureError, printable
from prunescope.extras import require

if TYPE_CHECKING:
    import gguf
    import numpy as np
else:
    np = require("numpy", "gguf")

# The largest number that a key has room for: its type is uint32, or float32.
MOST = (1 << 32) - 1
FACTORS = "rope_freqs.weight"
_ORIGINAL = "original_max_position_embeddings"
_LONGROPE = "longrope"


def add_rope(
    writer: gguf.GGUFWriter, checkpoint: Checkpoint, taken: Collection[str], base: float
) -> None:
    """Write base and scaling.

    Args:
        taken: the scalings of which llama.cpp's architecture reads factors from tensors.
        base: that goes without saying.

    Raises:
        ArchitectureError: a scaling that llama.cpp's keys do not express.
    """
    rope = _settings(checkpoint, base)
    writer.add_rope_freq_base(float(rope["rope_theta"]))
    kind = _kind(rope)
    if kind not in ("default", "linear", "yarn", *taken):
        raise ArchitectureError(
            f"{checkpoint.path}: GGUF has no place for RoPE scaling {printable(kind, 40)!r} in "
            f"architecture {writer.arch}"
        )
    if kind in ("default", "llama3"):
        return
    writer.add_string(f"{writer.arch}.rope.scaling.type", kind)
    if kind in ("linear", "yarn"):
        writer.add_rope_scaling_factor(float(rope["factor"]))
    if kind == "yarn":
        _check_yarn(checkpoint, rope)
    if kind in ("yarn", _LONGROPE):
        writer.add_rope_scaling_orig_ctx_len(int(rope[_ORIGINAL]))
    if kind == _LONGROPE:
        writer.add_rope_scaling_attn_factors(_attention_factor(checkpoint, rope))


def rope_factors(
    checkpoint: Checkpoint, dim: int, base: float
) -> dict[str, np.ndarray[Any, np.dtype[np.float32]]]:
    """Tensors of [dim / 2] float32: what each frequency is divided by; none for plain RoPE.

    Llama 3.1's rule: long waves are slowed by `factor`, short ones not, those between in part
    (https://huggingface.co/docs/transformers/internal/rope_utils, `llama3`). Those of `longrope`
    lie in config.json, for texts longer than the model was first trained on and for others.

    Args:
        dim: rows of a head that are rotated.
        base: that goes without saying.

    Raises:
        ArchitectureError: there are not as many.
    """
    rope = _settings(checkpoint, base)
    kind = _kind(rope)
    if kind == "llama3":
        return {FACTORS: llama3_factors(dim, float(rope["rope_theta"]), rope)}
    if kind != _LONGROPE:
        return {}
    return {
        f"rope_factors_{which}.weight": _listed(checkpoint, rope, f"{which}_factor", dim)
        for which in ("long", "short")
    }


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


def _listed(
    checkpoint: Checkpoint, rope: Mapping[str, Any], key: str, dim: int
) -> np.ndarray[Any, np.dtype[np.float32]]:
    found = rope.get(key)
    if not isinstance(found, list) or len(found) != dim // 2 or not all(map(_is_number, found)):
        cause = f"config.json: RoPE {key} is no list of {dim // 2} numbers"
        raise ArchitectureError(f"{checkpoint.path}: {cause}")
    return np.array(found, np.float32)


def _attention_factor(checkpoint: Checkpoint, rope: Mapping[str, Any]) -> float:
    """By what queries and keys grow, as transformers' `_compute_longrope_parameters` has it."""
    stated: Any = rope.get("attention_factor")
    if _is_number(stated):
        return float(stated)
    longest: Any = rope.get("factor")
    original: float = rope[_ORIGINAL]
    if longest is None and _is_number(checkpoint.config.get("max_position_embeddings")):
        longest = checkpoint.config["max_position_embeddings"] / original
    if not _is_number(longest) or original <= 1.0:
        cause = f"RoPE factor is {printable(repr(longest), 40)}, of {original} tokens"
        raise ArchitectureError(f"{checkpoint.path}: config.json: {cause}")
    return math.sqrt(1 + math.log(longest) / math.log(original)) if longest > 1.0 else 1.0


def _check_yarn(checkpoint: Checkpoint, rope: Mapping[str, Any]) -> None:
    """Refuse what llama.cpp computes otherwise; transformers' `_compute_yarn_parameters` has more
    settings than there are keys that every llama.cpp reads."""
    usual = 0.1 * math.log(max(1.0, rope["factor"])) + 1
    computed = {"beta_fast": 32, "beta_slow": 1, "truncate": True, "attention_factor": usual}
    if rope.get("mscale") and rope.get("mscale_all_dim"):
        computed["mscale"] = 0
    for key, wanted in computed.items():
        found = rope.get(key)
        if found is None or found == wanted:
            continue
        if not _is_number(found) or not math.isclose(found, wanted, rel_tol=1e-6):
            shown = printable(repr(found), 40)
            raise ArchitectureError(
                f"{checkpoint.path}: llama.cpp computes YaRN without {key} {shown} of config.json"
            )


def _is_number(value: Any) -> bool:
    return type(value) in (int, float) and 0 < value <= MOST


def _settings(checkpoint: Checkpoint, base: float) -> Mapping[str, Any]:
    """The rotary settings, as transformers 5 writes them or as earlier ones did."""
    config = checkpoint.config
    rope: dict[str, Any] = {}
    if config.get(_ORIGINAL):
        # Phi-3 has it beside them.
        rope[_ORIGINAL] = config[_ORIGINAL]
    for key in ("rope_scaling", "rope_parameters"):
        value = config.get(key)
        if isinstance(value, dict):
            rope |= value
    if "rope_theta" in config:
        rope.setdefault("rope_theta", config["rope_theta"])
    rope.setdefault("rope_theta", base)
    needed = {
        "linear": ("factor",),
        "yarn": ("factor", _ORIGINAL),
        _LONGROPE: (_ORIGINAL,),
        "llama3": (
            "factor",
            "low_freq_factor",
            "high_freq_factor",
            _ORIGINAL,
        ),
    }
    for key in ("rope_theta", *needed.get(_kind(rope), ())):
        if not _is_number(rope.get(key)):
            shown = printable(repr(rope.get(key)), 40)
            raise ArchitectureError(f"{checkpoint.path}: config.json: RoPE {key} is {shown}")
    if _kind(rope) == "llama3" and rope["low_freq_factor"] >= rope["high_freq_factor"]:
        raise ArchitectureError(
            f"{checkpoint.path}: config.json: RoPE low_freq_factor is not below high_freq_factor"
        )
    return rope


def _kind(rope: Mapping[str, Any]) -> str:
    kind = str(rope.get("rope_type", rope.get("type")) or "default")
    # As Phi-3's first files call it.
    return _LONGROPE if kind == "su" else kind
