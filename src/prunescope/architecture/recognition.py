"""Which family is this checkpoint's? As config.json says, else as its tensors' names suggest."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from prunescope.architecture.family import Family
from prunescope.architecture.generic import generic_family
from prunescope.architecture.roles import MATRICES, Role
from prunescope.architecture.tables import (
    family_for,
    family_names,
    has_table,
    load_family,
    variants,
)
from prunescope.architecture.tensor_names import ANY, is_number
from prunescope.architecture.unstacked import file_names
from prunescope.checkpoint import Checkpoint

# Of a stranger's names so many different ones are looked at.
_MAX_NAMES = 2000
# How a model inside a larger one is named: by transformers 4 and in files, and by transformers 5.
_INSIDE = ("language_model.", "model.language_model.", "model.text_model.")
# What is built alike is told apart by nothing; then the first is meant.
_FIRST = "llama"


def text_config(config: Mapping[str, Any]) -> Mapping[str, Any]:
    """The config of the language model: of one that also sees or hears, its `text_config`."""
    inner = config.get("text_config")
    return {**config, **inner} if isinstance(inner, dict) else config


def recognise(checkpoint: Checkpoint) -> Family:
    """The family of a checkpoint: by its config's `model_type`, else by tensor names.

    A GGUF's `model_type` may be llama.cpp's name of an architecture. Where no table fits, the
    family is made of the file's own names (`Family.is_generic`).
    """
    config = text_config(checkpoint.config)
    types = [checkpoint.config.get("model_type"), config.get("model_type")]
    for model_type in types:
        if isinstance(model_type, str) and has_table(model_type):
            family = family_for(model_type, config)
            if any(name.endswith(family.told_by) for name in checkpoint.tensors):
                return family
    if not any(isinstance(model_type, str) and model_type for model_type in types):
        found = _by_names(checkpoint.tensors)
        if found is not None:
            return found
    return generic_family(checkpoint.tensors)


def says_type(checkpoint: Checkpoint) -> bool:
    """Whether a config tells the model's type, so that names need not be asked."""
    model_type = checkpoint.config.get("model_type")
    return isinstance(model_type, str) and bool(model_type)


def spelling(family: Family, names: Iterable[str]) -> tuple[str, str]:
    """How a file's names differ from the family's: what they begin with, and what should be there.

    A base model saved alone lacks `Family.base`; a language model inside a larger one has another
    beginning.
    """
    ways = [("", ""), *((inside, add) for inside in _INSIDE for add in ("", family.base))]
    if family.base:
        ways.insert(1, ("", family.base))
    names = tuple(names)
    for strip, add in ways:
        if any(_is_matrix(family, add + n[len(strip) :]) for n in names if n.startswith(strip)):
            return strip, add
    return "", ""


def _is_matrix(family: Family, name: str) -> bool:
    found = family.locate(name)
    return found is not None and found.stack is not None and family.role(found).role in MATRICES


def _by_names(names: Iterable[str]) -> Family | None:
    """The table that has places for most names, and of those the one that lacks fewest."""
    some: dict[str, str] = {}
    for name in names:
        some.setdefault(".".join("#" if is_number(p) else p for p in name.split(".")), name)
        if len(some) >= _MAX_NAMES:
            break
    best, found = (0, 0, 0), None
    for family in _all():
        score = _fit(family, [part for name in some.values() for part in _in_files(family, name)])
        if score > best:
            best, found = score, family
    return found if 2 * best[0] > len(some) else None


def _in_files(family: Family, name: str) -> tuple[str, ...]:
    return tuple(n.replace(ANY, "0") for n in file_names(family, name)) or (name,)


def _fit(family: Family, names: list[str]) -> tuple[int, int, int]:
    """Names that have a place, less tensors that are missing, and those needed that are there."""
    strip, add = spelling(family, names)
    met = set()
    placed = 0
    for name in names:
        at = respelled(name, strip, add)
        found = family.locate(at) or family.locate(name)
        placed += found is not None or family.buffer(name) is not None
        if found is not None:
            met.add((found.stack, found.key))
    if not any(stack is not None for stack, _ in met):
        return 0, 0, 0
    needed: set[tuple[int | None, str]] = {
        (index, key)
        for index, stack in enumerate(family.stacks)
        for key in stack.layer
        if key not in stack.optional
    }
    needed |= {
        (None, key)
        for key, role in family.model.items()
        if key not in family.optional_model and role.role is not Role.HEAD
    }
    return placed, -len(needed - met), len(needed & met)


def respelled(name: str, strip: str, add: str) -> str:
    """A tensor's name as the family's table has it."""
    return add + name[len(strip) :] if name.startswith(strip) else name


def _all() -> Iterator[Family]:
    for name in sorted(family_names(), key=lambda name: (name != _FIRST, name)):
        yield load_family(name)
        for number in range(variants(name)):
            yield load_family(name, number)
