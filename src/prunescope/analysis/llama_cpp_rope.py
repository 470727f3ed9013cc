"""Can a GGUF file say how this config.json rotates heads, so that llama.cpp computes the same?"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from prunescope.errors import printable

# The largest number that a key has room for: its type is uint32, or float32.
MOST = (1 << 32) - 1
ORIGINAL = "original_max_position_embeddings"
LONGROPE = "longrope"
_NEEDED = {
    "linear": ("factor",),
    "yarn": ("factor", ORIGINAL),
    LONGROPE: (ORIGINAL,),
    "llama3": ("factor", "low_freq_factor", "high_freq_factor", ORIGINAL),
}


def is_number(value: object) -> bool:
    """Whether `value` is a number above 0 that a key of a GGUF file holds."""
    return isinstance(value, int | float) and type(value) is not bool and 0 < value <= MOST


def settings(config: Mapping[str, Any], base: float) -> dict[str, Any]:
    """The rotary settings, as transformers 5 writes them or as earlier ones did.

    Args:
        base: that goes without saying.
    """
    rope: dict[str, Any] = {}
    if config.get(ORIGINAL):
        # Phi-3 has it beside them.
        rope[ORIGINAL] = config[ORIGINAL]
    for key in ("rope_scaling", "rope_parameters"):
        value = config.get(key)
        if isinstance(value, dict):
            rope |= value
    if "rope_theta" in config:
        rope.setdefault("rope_theta", config["rope_theta"])
    rope.setdefault("rope_theta", base)
    return rope


def scaling(rope: Mapping[str, Any]) -> str:
    """The name of the scaling of `settings`; `default` where there is none."""
    kind = str(rope.get("rope_type", rope.get("type")) or "default")
    # As Phi-3's first files call it.
    return LONGROPE if kind == "su" else kind


def attention_factor(config: Mapping[str, Any], rope: Mapping[str, Any]) -> float | None:
    """By what queries and keys grow, as transformers' `_compute_longrope_parameters` has it.

    None where config.json does not tell.
    """
    stated: Any = rope.get("attention_factor")
    if is_number(stated):
        return float(stated)
    longest, original = _growth(config, rope), rope[ORIGINAL]
    if not is_number(longest) or original <= 1.0:
        return None
    return math.sqrt(1 + math.log(longest) / math.log(original)) if longest > 1.0 else 1.0


def rope_objections(
    config: Mapping[str, Any], taken: Collection[str], dim: int, base: float, architecture: str
) -> Iterator[str]:
    """What of the rotary settings no GGUF file can say; what follows a cause may rest on it.

    Args:
        taken: the scalings of which the architecture reads factors from tensors.
        dim: rows of a head that are rotated.
        base: that goes without saying.
    """
    rope = settings(config, base)
    kind = scaling(rope)
    for key in ("rope_theta", *_NEEDED.get(kind, ())):
        if not is_number(rope.get(key)):
            yield f"config.json: RoPE {key} is {printable(repr(rope.get(key)), 40)}"
    if kind not in ("default", "linear", "yarn", *taken):
        shown = printable(kind, 40)
        yield f"GGUF has no place for RoPE scaling {shown!r} in architecture {architecture}"
    if kind == "llama3" and rope["low_freq_factor"] >= rope["high_freq_factor"]:
        yield "config.json: RoPE low_freq_factor is not below high_freq_factor"
    if kind == "yarn":
        yield from _of_yarn(rope)
    if kind == LONGROPE:
        for key in ("long_factor", "short_factor"):
            found = rope.get(key)
            if (
                not isinstance(found, list)
                or len(found) != dim // 2
                or not all(map(is_number, found))
            ):
                yield f"config.json: RoPE {key} is no list of {dim // 2} numbers"
        if attention_factor(config, rope) is None:
            shown = printable(repr(_growth(config, rope)), 40)
            yield f"config.json: RoPE factor is {shown}, of {rope[ORIGINAL]} tokens"


def _growth(config: Mapping[str, Any], rope: Mapping[str, Any]) -> Any:
    """By what the context has grown."""
    longest = config.get("max_position_embeddings")
    stated = rope.get("factor")
    return longest / rope[ORIGINAL] if stated is None and is_number(longest) else stated


def _of_yarn(rope: Mapping[str, Any]) -> Iterator[str]:
    """transformers' `_compute_yarn_parameters` has more settings than every llama.cpp has keys."""
    usual = 0.1 * math.log(max(1.0, rope["factor"])) + 1
    computed = {"beta_fast": 32, "beta_slow": 1, "truncate": True, "attention_factor": usual}
    if rope.get("mscale") and rope.get("mscale_all_dim"):
        computed["mscale"] = 0
    for key, wanted in computed.items():
        found = rope.get(key)
        if found is None or found == wanted:
            continue
        if not is_number(found) or not math.isclose(found, wanted, rel_tol=1e-6):
            shown = printable(repr(found), 40)
            yield f"llama.cpp computes YaRN without {key} {shown} of config.json"
