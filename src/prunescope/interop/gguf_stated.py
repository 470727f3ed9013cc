"""What does a GGUF file itself state? Its keys, whatever lies beside it."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any

from prunescope.analysis.llama_cpp_rope import MOST, is_number
from prunescope.checkpoint import Checkpoint
from prunescope.checkpoint.gguf import read
from prunescope.checkpoint.gguf_config import COUNTS
from prunescope.errors import CheckpointError, printable
from prunescope.extras import require

if TYPE_CHECKING:
    import numpy as np
else:
    np = require("numpy", "gguf")


class Stated:
    """The keys of a GGUF model of one architecture, all shards of it.

    Keys are without the architecture that they begin with, but for those of `token`.
    """

    def __init__(self, source: Checkpoint, architecture: str) -> None:
        self.where = source.path
        self._source = source
        self._architecture = architecture

    @cached_property
    def config(self) -> Mapping[str, Any]:
        """What `prunescope.checkpoint.gguf_config` makes of the keys; a config.json that lies
        beside the file has no say."""
        found: dict[str, Any] = {}
        for file in self._source.files:
            found |= read(file).config
        return found

    def text(self, key: str) -> str | None:
        """The value of a key as text; None where it is not there, or a list."""
        return self._source.metadata.get(f"{self._architecture}.{key}")

    def has(self, start: str) -> list[str]:
        """The keys that begin with `start`."""
        whole = f"{self._architecture}.{start}"
        names = (name for name in self._source.metadata if name.startswith(whole))
        return [name.removeprefix(f"{self._architecture}.") for name in names]

    def count(self, key: str, default: int | None = None) -> int:
        """A whole number: of layers that differ, the largest.

        Args:
            default: where the key is not there; may be 0, as the value then may.

        Raises:
            CheckpointError: it is not there, or none above 0 that a key has room for.
        """
        found = self.config.get(COUNTS[key]) if key in COUNTS else _whole(self.text(key))
        if self.text(key) is None and found is None and default is not None:
            return default
        if type(found) is not int or not (0 < found <= MOST or found == default == 0):
            raise self.lacks(key)
        return found

    def real(self, key: str, default: float | None = None) -> float:
        """A number above 0, in the fewest decimals that give its float32.

        Raises:
            CheckpointError: as `count`.
        """
        text = self.text(key)
        if text is None and default is not None:
            return default
        try:
            found = float(text or "nan")
        except ValueError:
            raise self.lacks(key) from None
        if not is_number(found):
            raise self.lacks(key)
        return float(str(np.float32(found)))

    def token(self, key: str, tokens: int) -> int | None:
        """The number of a special token; None where there is none.

        Args:
            key: in full.
            tokens: how many there are.

        Raises:
            CheckpointError: it is none of them.
        """
        text = self._source.metadata.get(key)
        found = _whole(text)
        if text is not None and (found is None or not 0 <= found < tokens):
            shown = printable(text, 40)
            raise CheckpointError(self.where, f"{key} {shown} is none of its {tokens} tokens")
        return found

    def lacks(self, key: str) -> CheckpointError:
        """What to raise where a key is no number above 0."""
        text = self.text(key)
        cause = "is not there" if text is None else f"is {printable(text, 40)!r}"
        return CheckpointError(
            self.where, f"GGUF key {self._architecture}.{key} {cause}, a number above 0 is needed"
        )


def _whole(text: str | None) -> int | None:
    # No stranger's number of a million digits.
    is_short = text is not None and len(text) <= 20
    return int(text) if is_short and text and text.removeprefix("-").isdecimal() else None
