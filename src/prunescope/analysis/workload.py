"""What is asked of a model whose costs are to be known?"""

from __future__ import annotations

from dataclasses import dataclass

CONTEXT, BATCH, KV_DTYPE = 4096, 1, "bf16"
KV_BITS = {"f32": 32, "bf16": 16, "f16": 16, "f8": 8, "i8": 8}


@dataclass(frozen=True, slots=True)
class Workload:
    """What is asked of a model.

    Attributes:
        context: tokens of a prompt, and those in the KV cache when one more is decoded.
        batch: sequences at a time.
        kv_dtype: of the KV cache: a key of `KV_BITS`.
    """

    context: int = CONTEXT
    batch: int = BATCH
    kv_dtype: str = KV_DTYPE
