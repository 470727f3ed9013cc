"""Which rotary settings do the keys and factors of a GGUF file stand for? Those of config.json.

What llama.cpp makes of each key: `load_hparams` in src/llama-model.cpp; of factors,
`rope_freqs.weight` or `rope_factors_long.weight` and `…_short.weight`, `get_rope_factors` there.
A scale of attention that yarn has beside its own is refused, as what no config.json says.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from prunescope.analysis.llama_cpp_config import CONTEXT
from prunescope.analysis.llama_cpp_rope import (
    LONGROPE,
    ORIGINAL,
    attention_factor,
    rope_objections,
)
from prunescope.checkpoint import Checkpoint
from prunescope.checkpoint.weights import WeightMap
from prunescope.errors import ArchitectureError, CheckpointError, printable
from prunescope.extras import require
from prunescope.interop.gguf_factors import scaling_of
from prunescope.interop.gguf_family import Reading
from prunescope.interop.gguf_rope import BY_LENGTH
from prunescope.interop.gguf_stated import Stated

if TYPE_CHECKING:
    import numpy as np
else:
    np = require("numpy", "gguf")

_SCALING = "rope.scaling."
# As older files call it.
_OLD_FACTOR = "rope.scale_linear"
_ATTENTION, _ORIGINAL = f"{_SCALING}attn_factor", f"{_SCALING}original_context_length"
_READ = {"type", "factor", "attn_factor", "original_context_length", "finetuned"}


def add_rope(config: dict[str, Any], source: Checkpoint, reading: Reading, stated: Stated) -> None:
    """Put `rope_parameters` into `config`, which has all else.

    Raises:
        ArchitectureError: a scaling that no config.json of the family says.
        CheckpointError: keys or factors that do not fit together.
    """
    base = stated.real("rope.freq_base", 10000.0)
    rope: dict[str, Any] = {"rope_type": "default", "rope_theta": base}
    dim = config["head_dim"]
    rows = stated.count("rope.dimension_count", dim)
    if rows != dim:
        rope["partial_rotary_factor"] = _share(rows, dim, reading, stated)
    for key in stated.has(_SCALING):
        if key.removeprefix(_SCALING) not in _READ:
            raise ArchitectureError(f"{stated.where}: no config.json says what {key} does")
    said, held = _scaling(stated), _factors(source, rows, base)
    if said and held:
        kinds = f"{said['rope_type']} and {held['rope_type']}"
        raise ArchitectureError(f"{stated.where}: GGUF with two RoPE scalings, {kinds}")
    rope |= said | held
    kind = rope["rope_type"]
    if kind == LONGROPE:
        _add_longrope(config, rope, stated)
    elif stated.text(f"{_SCALING}type") == LONGROPE:
        raise CheckpointError(stated.where, "has RoPE scaling longrope, and no factors of it")
    elif not math.isclose(stated.real(_ATTENTION, 1.0), 1.0, rel_tol=1e-6):
        raise ArchitectureError(f"{stated.where}: no config.json says what {_ATTENTION} does")
    elif kind == "yarn":
        rope[ORIGINAL] = stated.count(_ORIGINAL, config[CONTEXT])
    config["rope_parameters"] = rope
    takes, architecture = reading.takes.rope_factors, reading.architecture
    for cause in rope_objections(config, takes, rows, base, architecture):
        raise CheckpointError(stated.where, cause)


def _add_longrope(config: dict[str, Any], rope: dict[str, Any], stated: Stated) -> None:
    # Phi-3's class has it beside the others, with a default that goes before theirs.
    rope[ORIGINAL] = config[ORIGINAL] = stated.count(_ORIGINAL, config[CONTEXT])
    scale = stated.real(_ATTENTION, 1.0)
    usual = attention_factor(config, rope)
    if usual is None or not math.isclose(usual, scale, rel_tol=1e-6):
        rope["attention_factor"] = scale


def _share(rows: int, dim: int, reading: Reading, stated: Stated) -> float:
    """The `partial_rotary_factor` of which transformers makes `rows` of `dim`."""
    if not reading.takes.is_narrow or rows > dim or rows % 2:
        raise ArchitectureError(
            f"{stated.where}: {rows} of a head's {dim} rows are rotated, which a "
            f"{reading.family.name} cannot have"
        )
    share = rows / dim
    return share if int(dim * share) == rows else math.nextafter(share, 1.0)


def _scaling(stated: Stated) -> dict[str, Any]:
    """What the keys say without factors; a factor alone is linear."""
    kind = stated.text(f"{_SCALING}type") or "linear"
    factor = stated.real(f"{_SCALING}factor", stated.real(_OLD_FACTOR, 1.0))
    if kind in ("none", LONGROPE) or (kind == "linear" and factor == 1.0):
        return {}
    if kind not in ("linear", "yarn"):
        raise ArchitectureError(f"{stated.where}: GGUF with RoPE scaling {printable(kind, 40)!r}")
    return {"rope_type": kind, "factor": factor}


def _factors(source: Checkpoint, rows: int, base: float) -> dict[str, Any]:
    """What the tensors say."""
    found = {key: source.tensors[name] for key, name in BY_LENGTH.items() if name in source.tensors}
    if not found:
        return scaling_of(source, rows, base)
    made: dict[str, Any] = {"rope_type": LONGROPE}
    with WeightMap() as weights:
        for key, info in found.items():
            if info.dtype != "F32" or info.shape != (rows // 2,):
                raise CheckpointError(source.path, f"{info.name!r} holds no {rows // 2} factors")
            made[key] = [float(str(each)) for each in np.frombuffer(weights.view(info), "<f4")]
    return made
