"""What stands for the objects of a pickle? Inert descriptions that nothing in the file can run.

No object found in a file is hashed or compared: `eq=False` leaves identity. Empty fields are one
shared `()`, so that a million empty objects cost little.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
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


@dataclass(eq=False, slots=True)
class Dict:
    """A dict as the pairs stored, in order."""

    pairs: Sequence[tuple[Any, Any]] = ()

    def by_name(self) -> dict[str, Any]:
        """The entries whose key is a string; the last of equal keys wins, as in Python."""
        return {key: value for key, value in self.pairs if isinstance(key, str)}

    def add(self, pairs: Iterable[tuple[Any, Any]]) -> None:
        """Set items."""
        self.pairs = _longer(self.pairs, pairs)


@dataclass(eq=False, slots=True)
class Call:
    """An object the pickle would have made by calling `function`, with what was done to it."""

    function: Any
    arguments: Any
    state: Any = None
    items: Sequence[Any] = ()
    pairs: Sequence[tuple[Any, Any]] = ()

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

    def by_name(self) -> dict[str, Any]:
        """Of a mapping: the entries whose key is a string, as `Dict.by_name`."""
        return Dict(self.pairs).by_name()

    def attributes(self) -> dict[str, Any]:
        """The object's `__dict__`, as far as the pickle sets it."""
        return self.state.by_name() if isinstance(self.state, Dict) else {}

    def add(self, pairs: Iterable[tuple[Any, Any]]) -> None:
        """Set items."""
        self.pairs = _longer(self.pairs, pairs)

    def extend(self, items: Iterable[Any]) -> None:
        """Append items."""
        self.items = _longer(self.items, items)


@dataclass(frozen=True, eq=False, slots=True)
class Persistent:
    """An object that lives outside the pickle; torch's storages are these."""

    key: Any


@dataclass(frozen=True, eq=False, slots=True)
class Skipped:
    """A string too long to be a name: its length in bytes is all that is kept."""

    length: int


def _longer(values: Sequence[Any], more: Iterable[Any]) -> list[Any]:
    grown = values if isinstance(values, list) else list(values)
    grown.extend(more)
    return grown
