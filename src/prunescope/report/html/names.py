"""What are models called where there is little room? The shortest ends of their paths that differ.

All that a stranger's file says goes through `shown` on its way to the page: control characters
and marks that turn the direction of writing are spelt out.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import PurePosixPath

from prunescope.errors import printable

_LONGEST, _SHORT = 240, 48


def shown(text: str, limit: int = _LONGEST) -> str:
    """A name, path or other text of a stranger's as the page shows it."""
    return printable(text, limit)


def short_names(paths: Sequence[str]) -> list[str]:
    """One name for each path, no two alike where the paths are not; a file by its folder too."""
    parts = [PurePosixPath(path).parts or (path,) for path in paths]
    longest = max(map(len, parts))
    for count in range(1, longest + 1):
        names = ["/".join(_end(each, count)) for each in parts]
        if len(set(names)) == len(names):
            return [printable(name, _SHORT) for name in names]
    return [printable(path, _SHORT) for path in paths]


def _end(parts: tuple[str, ...], count: int) -> tuple[str, ...]:
    # `pytorch_model.bin` alone says nothing.
    more = "." in parts[-1][1:] and len(parts) > 1 and PurePosixPath(parts[-1]).suffix in _FILES
    return parts[-(count + more) :]


_FILES = frozenset({".bin", ".pt", ".pth", ".safetensors", ".gguf", ".json"})
