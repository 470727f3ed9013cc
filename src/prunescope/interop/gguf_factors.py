"""Which RoPE scaling do the factors in a GGUF file stand for? Llama 3.1's, or none that is known.

llama.cpp's converter works Llama 3.1's scaling out and stores what each frequency is divided by
(`rope_freqs.weight`; convert_hf_to_gguf.py, `LlamaModel.generate_extra_tensors`). A config.json has
the rule instead.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from prunescope.checkpoint import Checkpoint
from prunescope.checkpoint.params_file import SCALED_ROPE
from prunescope.checkpoint.weights import WeightMap
from prunescope.errors import CheckpointError
from prunescope.extras import require
from prunescope.interop.gguf_rope import FACTORS, llama3_factors

if TYPE_CHECKING:
    import numpy as np
else:
    np = require("numpy", "gguf")


def scaling_of(source: Checkpoint, dim: int, base: float) -> dict[str, Any]:
    """The `rope_parameters` that `rope_freqs.weight` stands for; empty where there is no scaling.

    Args:
        source: a GGUF.
        dim: rows of a head.
        base: of the frequencies (`rope_theta`).

    Raises:
        CheckpointError: factors that are not of Llama 3.1's rule.
    """
    info = source.tensors.get(FACTORS)
    if info is None:
        return {}
    if info.dtype == "F32" and info.shape == (dim // 2,):
        with WeightMap() as weights:
            found = np.frombuffer(weights.view(info), "<f4").copy()
        factor = float(found.max(initial=1.0))
        if bool((found == 1.0).all()):
            return {}
        # The rule is one for every Llama since 3.1; they differ in the factor.
        rule = SCALED_ROPE | {"factor": factor}
        # An infinite one would divide by zero.
        is_rule = math.isfinite(factor) and np.allclose(
            found, llama3_factors(dim, base, rule), rtol=1e-5, atol=0.0
        )
        if is_rule:
            return rule
    raise CheckpointError(
        source.path, f"{FACTORS!r} holds a RoPE scaling other than Llama 3.1's, which has no name"
    )
