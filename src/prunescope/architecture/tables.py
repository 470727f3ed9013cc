"""Which tables are there, and what is in them? `families/<model_type>.json`, read when needed.

A table is named for the `model_type` of config.json (or llama.cpp's `general.architecture`) that it
is read for, so that no list has to be kept of them, and none but the one asked for is read:

- `{"same_as": "llama"}` is a type that is built as another;
- `"extends": "llama"` begins with another's table: sections are merged entry by entry, `null`
  leaves an entry out; `names`, by which other projects than transformers and llama.cpp know the
  family's tensors, and `llama.cpp`, how models are written for it, are not taken over;
- `"form_of": "llama"` is a type whose models are Llamas, described otherwise: they are compared
  with Llamas;
- `"variants"` are changes, made alike, for models whose config.json has the values of `when`.

Tensors are `name: [role, label of axis 0, label of axis 1, …]`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from prunescope.architecture.family import Family, GroupSpec, Space, Stack, TensorRole
from prunescope.architecture.other_names import GgufNames, OtherNames
from prunescope.architecture.roles import Role

# importlib.resources would take longer to import than the tables to read.
_TABLES = Path(__file__).with_name("families")
# A stranger's word becomes a file's name.
_TYPE = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
ENGINES = ("transformers", "vllm", "llama.cpp")
# Sections that a type which departs from another does not take over.
_OWN = ("names", "llama.cpp")


@cache
def known_types() -> tuple[str, ...]:
    """The `model_type`s that there are tables for."""
    return tuple(sorted(path.stem for path in _TABLES.glob("*.json")))


@cache
def family_names() -> tuple[str, ...]:
    """The families, each once."""
    return tuple(name for name in known_types() if "same_as" not in _read(name))


def has_table(model_type: object) -> bool:
    """Whether there is a table for what config.json says, whatever that is."""
    if not isinstance(model_type, str) or not _TYPE.fullmatch(model_type):
        return False
    return (_TABLES / f"{model_type}.json").is_file()


def form_of(model_type: object) -> object:
    """The type whose models those of `model_type` are, written in another form; else itself."""
    if not has_table(model_type) or not isinstance(model_type, str):
        return model_type
    return _merged(model_type).get("form_of", model_type)


def family_for(model_type: str, config: Mapping[str, Any]) -> Family:
    """The family of a model with this type (`has_table`) and config."""
    name = _read(model_type).get("same_as", model_type)
    for number, variant in enumerate(_merged(name).get("variants", ())):
        if all(config.get(key) == value for key, value in variant["when"].items()):
            return load_family(name, number)
    return load_family(name)


def variants(name: str) -> int:
    """How many variants a family's table has."""
    return len(_merged(name).get("variants", ()))


@cache
def load_family(name: str, variant: int | None = None) -> Family:
    """The table `families/<name>.json`, with the changes of one of its variants."""
    table = _merged(name)
    if variant is not None:
        table = _merge(table, table["variants"][variant])
    return Family(
        name=table.get("form_of", name),
        spaces={key: _space(key, entry) for key, entry in table["spaces"].items()},
        groups={
            key: GroupSpec(tuple(entry["spaces"]), Role[entry["root"]])
            for key, entry in table.get("groups", {}).items()
        },
        model=_roles(table["model"]) | _roles(table.get("optional_model", {})),
        stacks=_stacks(table),
        optional_model=frozenset(table.get("optional_model", {})),
        gguf=_gguf_names(table["gguf"]) if "gguf" in table else None,
        written=table.get("llama.cpp"),
        names={key: _other_names(entry) for key, entry in table.get("names", {}).items()},
        flags={key: tuple(names) for key, names in table.get("flags", {}).items()},
        usual_flags=frozenset(table.get("usual_flags", ())),
        base=table.get("base", ""),
        tied=table.get("tied", False),
        active=table.get("active", "num_experts_per_tok"),
        unpriced=table.get("unpriced"),
        stacked={key: tuple(names) for key, names in table.get("stacked", {}).items()},
        prunable=table.get("prunable", False),
        told_by=table.get("told_by", ""),
        engines=tuple(table.get("engines", ENGINES)),
    )


@cache
def _read(name: str) -> dict[str, Any]:
    table: dict[str, Any] = json.loads((_TABLES / f"{name}.json").read_text("utf-8"))
    return table


@cache
def _merged(name: str) -> dict[str, Any]:
    table = _read(name)
    if "extends" not in table:
        return table
    inherited = _merged(table["extends"]).items()
    base = {key: value for key, value in inherited if key not in _OWN}
    return _merge(base, table)


def _merge(base: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for key, value in changes.items():
        merged[key] = _merge(merged.get(key) or {}, value) if isinstance(value, dict) else value
    # A tensor that every model of the one has and some of the other may lack, or the reverse.
    for one, other in (("layer", "optional"), ("model", "optional_model")):
        for a, b in ((one, other), (other, one)):
            if changes.get(a) and merged.get(b):
                moved = changes[a].keys() - (changes.get(b) or {}).keys()
                merged[b] = {n: entry for n, entry in merged[b].items() if n not in moved}
    return {key: value for key, value in merged.items() if value is not None}


def _space(name: str, entry: Mapping[str, Any]) -> Space:
    keys = entry.get("config", [])
    config, *aliases = [keys] if isinstance(keys, str) else keys or [""]
    per_expert = entry.get("per_expert", False)
    return Space(
        name,
        config,
        entry.get("unit"),
        entry.get("per_layer", per_expert),
        entry.get("default"),
        per_expert,
        tuple(aliases),
    )


def _roles(entries: Mapping[str, list[str]]) -> dict[str, TensorRole]:
    return {key: TensorRole(Role[role], tuple(axes)) for key, (role, *axes) in entries.items()}


def _stacks(table: Mapping[str, Any]) -> tuple[Stack, ...]:
    stacks = table.get("stacks") or {"layers": table}
    found = []
    for name, entry in stacks.items():
        optional = _roles(entry.get("optional", {}))
        kinds = {
            question: {answer: tuple(starts) for answer, starts in answers.items()}
            for question, answers in entry.get("kinds", {}).items()
        }
        found.append(
            Stack(
                name,
                entry["layer_prefix"],
                _roles(entry["layer"]) | optional,
                frozenset(optional),
                entry.get("depth", "num_hidden_layers"),
                entry.get("more"),
                kinds,
            )
        )
    return tuple(found)


def _gguf_names(table: Mapping[str, Any]) -> GgufNames:
    return GgufNames(
        model=table["model"],
        layer_prefix=table["layer_prefix"],
        layer=table["layer"],
        permuted=table.get("permuted", False),
        architectures=tuple(table["architectures"]),
        buffers=frozenset(table["buffers"]),
    )


def _other_names(table: Mapping[str, Any]) -> OtherNames:
    return OtherNames(
        table["model"],
        table["layer_prefix"],
        table["layer"],
        table["permuted"],
        frozenset(table.get("buffers", ())),
    )
