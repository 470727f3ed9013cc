"""How are a family's models written for llama.cpp? What its table says under `llama.cpp`.

Export goes by it, `verify`, and the way back from a GGUF file.

What each architecture's loader asks for is in llama.cpp's
src/models/<architecture>.cpp (`load_arch_hparams`, `load_arch_tensors`), what its converter does to
values in conversion/*.py (https://github.com/ggml-org/llama.cpp).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

_LENGTHS = {
    "heads": "attention.head_count",
    "kv_heads": "attention.head_count_kv",
    "channels": "feed_forward_length",
}


@dataclass(frozen=True, slots=True)
class LlamaCpp:
    """How models of a family are written, and what the architecture of its own name takes.

    GGUF keys are without the architecture that they begin with.

    Attributes:
        architectures: those of llama.cpp that compute what the family does, the first that can
            hold a model to be taken; none for a table that only describes an architecture.
        like: the family whose table has the names of other tensors than `names`, and what the
            architecture takes, where no table is named for the architecture itself.
        names: transformers' names in a layer that only this family has → llama.cpp's; those of
            experts, with `*` for the number, are of one tensor that they are stacked in.
        kinds: question of the table's `kinds` → the answer that all layers must have.
        per_layer: whether this architecture's loader takes lengths of each layer for itself.
        is_square: whether it wants as many query rows as the hidden size has.
        is_narrow: whether fewer rows of a head may be rotated than it has.
        rope_factors: scalings of RoPE of which it reads factors from tensors.
        lengths: space → the GGUF key of how many units there are.
        integers, floats: key of config.json → the GGUF key that has its value.
        defaults: key of config.json → the value, where it has none: of those two, and where they
            are not the usual 1e-6 and 10000 of `rms_norm_eps` and `rope_theta`.
        wants: key of config.json → the values with which llama.cpp computes; None among them
            where it may be left out.
        norm_offset: what is added to the weights of norms.
        has_window: whether llama.cpp keeps to a window in some layers.
        query_scale: key of config.json of what the scores of attention are divided by the root of,
            where that need not be the rows of a head.
    """

    architectures: tuple[str, ...] = ()
    like: str = ""
    names: Mapping[str, str] = field(default_factory=dict)
    kinds: Mapping[str, str] = field(default_factory=dict)
    per_layer: bool = False
    is_square: bool = False
    is_narrow: bool = False
    rope_factors: tuple[str, ...] = ()
    lengths: Mapping[str, str] = field(default_factory=lambda: _LENGTHS)
    integers: Mapping[str, str] = field(default_factory=dict)
    floats: Mapping[str, str] = field(default_factory=dict)
    defaults: Mapping[str, int | float] = field(default_factory=dict)
    wants: Mapping[str, tuple[object, ...]] = field(default_factory=dict)
    norm_offset: float = 0.0
    has_window: bool = False
    query_scale: str | None = None


def llama_cpp_of(entry: Mapping[str, Any]) -> LlamaCpp:
    """A table's section `llama.cpp`."""
    values = dict(entry)
    for key in ("architectures", "rope_factors"):
        values[key] = tuple(entry.get(key, ()))
    values["wants"] = {key: tuple(found) for key, found in entry.get("wants", {}).items()}
    return LlamaCpp(**values)
