"""Does llama.cpp compute what this model's config.json and tensors say? If not, why?

`verify` says it, and `prunescope convert --format gguf` refuses it: one judgement for both.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from prunescope.analysis.axes import Layout
from prunescope.analysis.llama_cpp_fit import Fit, rotated_rows, table_of
from prunescope.analysis.llama_cpp_names import Names
from prunescope.analysis.llama_cpp_rope import is_number, rope_objections
from prunescope.architecture import Role
from prunescope.architecture.llama_cpp import LlamaCpp
from prunescope.errors import printable

CONTEXT, EPSILON = "max_position_embeddings", "rms_norm_eps"
# What weights are read of; llama.cpp's own types are computed from these.
READ = ("F64", "F32", "F16", "BF16")


def numbers(config: Mapping[str, Any], told: LlamaCpp) -> dict[str, Any]:
    """Key of config.json → its value, or what goes without saying, of each that must be a number.

    Args:
        told: by the family's table.
    """
    found = {
        CONTEXT: config.get(CONTEXT, 2048),
        EPSILON: config.get(EPSILON, told.defaults.get(EPSILON, 1e-6)),
    }
    for key in (*told.integers, *told.floats):
        value = config.get(key)
        found.setdefault(key, told.defaults.get(key) if value is None else value)
    if told.query_scale is not None:
        found[told.query_scale] = config.get(told.query_scale)
    return found


def rope_base(told: LlamaCpp) -> float:
    """The base of the rotary embedding that goes without saying in config.json."""
    return told.defaults.get("rope_theta", 10000.0)


def objection(found: Layout, fitting: Fit) -> str | None:
    """The first thing that llama.cpp would compute otherwise; None where there is none.

    That its layers and heads are what an architecture holds is for `fitting` to say; that it is
    whole, for the checks of `verify`.
    """
    return next(_objections(found, fitting), None)


def _objections(found: Layout, fitting: Fit) -> Iterator[str]:
    model = found.model
    config, told = model.checkpoint.config, model.family.llama_cpp or LlamaCpp()
    for key, values in told.wants.items():
        if config.get(key) not in values:
            shown = printable(repr(config.get(key)), 40)
            yield f"llama.cpp computes with {key} {values[0]!r}, not {shown}"
    if not config.get("is_causal", True):
        # transformers' masking_utils.py heeds it in every family.
        yield "llama.cpp has tokens see none behind them, config.json (is_causal) has them see all"
    if not model.head_dim or model.head_dim % 2:
        yield "config.json does not give an even head_dim"
    rows = rotated_rows(found)
    if rows is None:
        yield "config.json does not tell how many rows are rotated (partial_rotary_factor)"
    for key, value in numbers(config, told).items():
        # Which may be 0.
        is_usual = config.get(key) is None and value is not None
        if not is_usual and not is_number(value):
            yield f"config.json: {key} is {printable(repr(value), 40)}"
    for name, role in model.roles.items():
        tensor = model.checkpoint.tensors[name]
        if role.role is not Role.BUFFER and tensor.dtype not in READ:
            yield f"tensor {name!r} is {tensor.dtype}, which GGUF export cannot read"
    if fitting.architecture is not None:
        takes = table_of(model.family, fitting.architecture).llama_cpp or LlamaCpp()
        yield from rope_objections(
            config, takes.rope_factors, rows or 0, rope_base(told), fitting.architecture
        )
        for name in Names(model.family, fitting.architecture).lacking(model):
            yield f"llama.cpp's {fitting.architecture} has no place for the tensor {name!r}"
