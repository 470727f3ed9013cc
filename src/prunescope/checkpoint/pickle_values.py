"""What stands for the objects of a pickle? Inert descriptions that nothing in the file can run.

No object found in a file is hashed or compared: only their identity counts. Empty fields are one
shared `()`, so that a million empty objects cost little.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any


class PickleError(ValueError):
    """The bytes are not a pickle this machine accepts; the message names the cause or bound."""


class Bound(PickleError):
    """The pickle may be sound, but it asks for more than this machine gives."""


class Truncated(PickleError):
    """The bytes end before the pickle does: with more of the file it may be sound."""


@dataclass(frozen=True, slots=True)
class Global:
    """The name of something importable, not imported."""

    module: str
    name: str

    def __str__(self) -> str:
        return f"{self.module}.{self.name}"


# What a pickle names by strings that it computes while it is loaded: it can be anything.
COMPUTED = Global("?", "computed while loading")


class Dict:
    """A dict as what was stored, in order.

    Attributes:
        flat: keys and values in turn; a tuple for each pair would take three times the memory.
    """

    __slots__ = ("flat",)

    def __init__(self, flat: Sequence[Any] = ()) -> None:
        self.flat = flat

    @property
    def pairs(self) -> Iterator[tuple[Any, Any]]:
        """The pairs stored, in order."""
        return _pairs(self.flat)

    def by_name(self) -> dict[str, Any]:
        """The entries whose key is a string; the last of equal keys wins, as in Python."""
        return {key: value for key, value in self.pairs if isinstance(key, str)}

    def add(self, flat: list[Any]) -> None:
        """Set items; `flat`, keys and values in turn, is kept."""
        self.flat = _longer(self.flat, flat)


class Call:
    """An object the pickle would have made by calling `function`, with what was done to it.

    Attributes:
        state: what it was built with; None without.
        added: what was appended and what was set, keys and values in turn; None without.
    """

    __slots__ = ("added", "arguments", "function", "state")

    def __init__(self, function: Any, arguments: Any, state: Any = None) -> None:
        self.function = function
        self.arguments = arguments
        self.state = state
        # Most objects are no containers: one field for both.
        self.added: tuple[Sequence[Any], Sequence[Any]] | None = None

    @property
    def named(self) -> Global | None:
        """What is called, where the pickle names it; None where that is computed too."""
        function = self.function
        if isinstance(function, Persistent):
            # torch < 1.6 stored a module's class with its source beside it:
            # ('module', class, file, source).
            key = function.key
            function = key[1] if isinstance(key, tuple) and len(key) > 1 else None
        return function if isinstance(function, Global) else None

    @property
    def items(self) -> Sequence[Any]:
        """What was appended, in order."""
        return self.added[0] if self.added else ()

    @property
    def flat(self) -> Sequence[Any]:
        """Of a mapping: keys and values in turn, as `Dict.flat`."""
        return self.added[1] if self.added else ()

    @property
    def pairs(self) -> Iterator[tuple[Any, Any]]:
        """Of a mapping: the pairs stored, in order."""
        return _pairs(self.flat)

    def by_name(self) -> dict[str, Any]:
        """Of a mapping: the entries whose key is a string, as `Dict.by_name`."""
        return Dict(self.flat).by_name()

    def attributes(self) -> dict[str, Any]:
        """The object's `__dict__`, as far as the pickle sets it."""
        return self.state.by_name() if isinstance(self.state, Dict) else {}

    def add(self, flat: list[Any]) -> None:
        """Set items, as `Dict.add`."""
        self.added = (self.items, _longer(self.flat, flat))

    def extend(self, items: list[Any]) -> None:
        """Append items; the list is kept."""
        self.added = (_longer(self.items, items), self.flat)


@dataclass(frozen=True, eq=False, slots=True)
class Persistent:
    """An object that lives outside the pickle; torch's storages are these."""

    key: Any


@dataclass(frozen=True, eq=False, slots=True)
class Skipped:
    """A string too long to be a name: its length in bytes is all that is kept."""

    length: int


def _pairs(flat: Sequence[Any]) -> Iterator[tuple[Any, Any]]:
    values = iter(flat)
    return zip(values, values, strict=True)


def _longer(values: Sequence[Any], more: list[Any]) -> Sequence[Any]:
    if not values:
        return more
    grown = values if isinstance(values, list) else list(values)
    grown.extend(more)
    return grown
