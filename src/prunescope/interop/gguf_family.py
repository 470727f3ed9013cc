"""Which of transformers' models is in this GGUF file? Told from the tables it is written by.

An architecture of llama.cpp may compute what several families do (`llama`: Llama, Mixtral, and
Qwen2 where heads have gone). Which one it is, the tensors tell: the family that has a place for
each of them, and lacks none.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache

from prunescope.analysis.llama_cpp_fit import table_of, unwanted
from prunescope.analysis.llama_cpp_names import Names
from prunescope.architecture import Family, load_family
from prunescope.architecture.llama_cpp import LlamaCpp
from prunescope.architecture.tables import family_names
from prunescope.architecture.tensor_names import split
from prunescope.checkpoint import Checkpoint
from prunescope.errors import ArchitectureError, printable


@dataclass(frozen=True)
class Reading:
    """How a GGUF file is read as one of transformers' models.

    Attributes:
        family: of the model.
        architecture: llama.cpp's.
        told: how models of the family are written.
        takes: what the architecture itself takes.
        names: its names of the family's tensors.
        flags: key of config.json → whether the model has the tensors that go with it.
    """

    family: Family
    architecture: str
    told: LlamaCpp
    takes: LlamaCpp
    names: Names
    flags: dict[str, bool]

    @property
    def layer(self) -> dict[str, str]:
        """The family's name of each tensor in a layer → llama.cpp's."""
        return _in_layer(self.family, self.names)

    @property
    def needed(self) -> set[str]:
        """Those of `layer` that each layer has."""
        flagged = {name for key, is_set in self.flags.items() if is_set for name in _of(self, key)}
        return {key for key in self.layer if key not in self.family.optional or key in flagged}


@cache
def architectures() -> tuple[str, ...]:
    """Those of llama.cpp that are read."""
    written = (load_family(name).llama_cpp for name in family_names())
    return tuple(sorted({each for told in written if told for each in told.architectures}))


def check_architecture(source: Checkpoint) -> str:
    """The architecture of a GGUF file.

    Raises:
        ArchitectureError: it is none of `architectures`.
    """
    found = source.metadata.get("general.architecture")
    if found not in architectures():
        *names, last = architectures()
        raise ArchitectureError(
            f"{source.path}: GGUF of architecture {printable(repr(found), 60)}: only "
            f"{', '.join(names)} and {last} are supported"
        )
    return found


def reading_of(source: Checkpoint) -> Reading:
    """How the GGUF `source` is read: as the first family that its tensors fit, else the first.

    Raises:
        ArchitectureError: as `check_architecture`.
    """
    architecture = check_architecture(source)
    readings = [_reading(source, name, architecture) for name in _families(architecture)]
    fitting = (each for each in readings if _fits(each, source.tensors))
    return next(fitting, readings[0])


@cache
def _families(architecture: str) -> tuple[str, ...]:
    """Those written as an architecture, with its own names of whole tensors; its own one first."""
    found = []
    for name in family_names():
        family = load_family(name)
        told = family.llama_cpp
        if told is None or architecture not in told.architectures:
            continue
        known = _in_layer(family, Names(family, architecture))
        needed = {key for key in family.layer if not key.startswith(unwanted(family))}
        if needed - family.optional <= known.keys():
            place = told.architectures.index(architecture)
            found.append((place, name != architecture, name))
    return tuple(name for *_, name in sorted(found))


def _in_layer(family: Family, names: Names) -> dict[str, str]:
    made = {key: names.of(role.role, key) for key, role in family.layer.items()}
    return {
        key: theirs[family.layer[key].role]
        for key, theirs in made.items()
        if family.layer[key].role in theirs
    }


def _reading(source: Checkpoint, name: str, architecture: str) -> Reading:
    family = load_family(name)
    told = family.llama_cpp
    assert told is not None
    takes = table_of(family, architecture).llama_cpp or LlamaCpp()
    reading = Reading(family, architecture, told, takes, Names(family, architecture), {})
    here = _keys(reading, source.tensors)
    for key in family.flags:
        theirs = {reading.layer[ours] for ours in _of(reading, key)}
        if theirs:
            reading.flags[key] = not theirs.isdisjoint(here)
    return reading


def _of(reading: Reading, flag: str) -> list[str]:
    return [ours for ours in reading.family.flags[flag] if ours in reading.layer]


def _keys(reading: Reading, names: Iterable[str]) -> set[str]:
    """llama.cpp's names of tensors in layers, without the layers' numbers."""
    found = (split(name, reading.names.prefix) for name in names)
    return {key for layer, key in found if layer is not None}


def _fits(reading: Reading, names: Iterable[str]) -> bool:
    here, known = _keys(reading, names), reading.layer
    return {known[key] for key in reading.needed} <= here <= set(known.values())
