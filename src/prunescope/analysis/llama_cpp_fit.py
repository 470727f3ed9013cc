"""Which of llama.cpp's architectures can hold this model, with the layers that it has?

What each takes is in the families' tables (`prunescope.architecture.llama_cpp`).
"""

from __future__ import annotations

from dataclasses import dataclass

from prunescope.analysis.axes import Layout
from prunescope.architecture import Family, load_family
from prunescope.architecture.llama_cpp import LlamaCpp
from prunescope.architecture.tables import has_table


@dataclass(frozen=True, slots=True)
class Fit:
    """How a model fits llama.cpp.

    Attributes:
        usual: the architecture that models of the family have as they come.
        architecture: the first that holds this one; None where none does.
        is_uneven: whether layers differ in what an architecture counts.
        strange: layers without experts, where llama.cpp has them in all.
        is_partly_rotated: whether a part of each head is rotated, where llama.cpp rotates all.
    """

    usual: str
    architecture: str | None
    is_uneven: bool
    strange: tuple[int, ...] = ()
    is_partly_rotated: bool = False


def table_of(family: Family, architecture: str) -> Family:
    """The table that describes an architecture of llama.cpp, for models of `family`."""
    like = family.llama_cpp.like if family.llama_cpp else ""
    return load_family(architecture if has_table(architecture) else like or family.name)


def fit(found: Layout) -> Fit | None:
    """How the model of `found` fits; None where its family's table does not tell."""
    model = found.model
    told = model.family.llama_cpp
    if told is None or not told.architectures:
        return None
    # What each expert has for itself is to be alike, too.
    is_uneven = any(
        len({found.axes[p][0].length for n in model.layers for p in found.of_space(n, space)}) > 1
        for space in told.lengths
    )
    others = unwanted(model.family)
    strange = tuple(
        sorted(
            {
                p.layer
                for p in model.places.values()
                if others and p.key.startswith(others)
                if p.layer is not None
            }
        )
    )
    hidden = found.rows(None, "hidden")
    is_square = all(found.rows(layer, "heads") == hidden for layer in model.layers)
    rotated = rotated_rows(found)
    is_whole = rotated == model.head_dim
    taken = {
        each: table_of(model.family, each).llama_cpp or LlamaCpp() for each in told.architectures
    }
    held = [
        architecture
        for architecture, takes in taken.items()
        if (takes.per_layer or not is_uneven)
        if is_square or not takes.is_square
        if is_whole or takes.is_narrow
    ]
    return Fit(
        told.architectures[0],
        None if strange or not held else held[0],
        is_uneven,
        strange,
        rotated is not None
        and not is_whole
        and not any(takes.is_narrow for takes in taken.values()),
    )


def unwanted(family: Family) -> tuple[str, ...]:
    """How tensors of layers begin of another kind than llama.cpp has in all."""
    told = family.llama_cpp
    return tuple(
        start
        for question, wanted in (told.kinds if told else {}).items()
        for answer, starts in family.stacks[0].kinds[question].items()
        for start in starts
        if answer != wanted
    )


def rotated_rows(found: Layout) -> int | None:
    """How many rows of a head a rotary embedding turns; None where config.json does not say.

    `partial_rotary_factor` as transformers' modeling_rope_utils.py has it.
    """
    config, head_dim = found.model.config, found.model.head_dim
    rope = config.get("rope_parameters")
    share = config.get("partial_rotary_factor")
    if isinstance(rope, dict):
        share = rope.get("partial_rotary_factor", share)
    if share is None or head_dim is None:
        return head_dim
    return int(head_dim * share) if isinstance(share, int | float) and 0 < share <= 1 else None
