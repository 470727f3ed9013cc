"""Is this JSON from a stranger safe to hold? Size, depth, encoding and duplicates are checked.

What parsing takes in memory is estimated before it is begun, from the marks that JSON is made of.
"""

from __future__ import annotations

import json
from itertools import pairwise
from typing import Any

from prunescope.checkpoint.storage import File, Folder
from prunescope.errors import CheckpointError

MAX_JSON_FILE = 64 << 20
# Bytes of memory: the header of a file of 100,000 tensors takes half of it.
MAX_MEMORY = 200 << 20
# A config.json has kilobytes.
MAX_BESIDE = 48 << 20
MAX_KEY = 1 << 16
# What each mark may cost, with a margin over what CPython 3.10 to 3.14 take: a pair in a list and
# in a dict, an item of a list, half a string, a dict, a list, and a piece of an escaped string.
_COSTS = {b":": 140, b",": 30, b'"': 22, b"{": 70, b"[": 80, b"\\": 90}


def parse_object(raw: bytes, file: object, what: str, memory: int = MAX_MEMORY) -> dict[str, Any]:
    """Parse `raw` as one JSON object; `file` and `what` name it in the error.

    Args:
        memory: bytes that parsing may take, `raw` included.

    Raises:
        CheckpointError: not UTF-8, not JSON, too deep, too large, a key twice or of over 64 KiB.
    """
    if _needed(raw) > memory:
        raise CheckpointError(file, f"{what} has more entries or text than any model needs")
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as err:
        raise CheckpointError(file, f"{what} is not UTF-8 (byte {err.start})") from None
    has_escapes = "\\u" in text

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) != len(pairs):
            names = sorted(name for name, _ in pairs)
            twice = next(a for a, b in pairwise(names) if a == b)
            raise CheckpointError(file, f"{what} has the key {twice!r} twice")
        if max(map(len, found), default=0) > MAX_KEY:
            raise CheckpointError(file, f"{what} has a key of over {MAX_KEY >> 10} KiB")
        if has_escapes:
            _check_text(found, file, what)
        return found

    def constant(token: str) -> Any:
        raise CheckpointError(file, f"{what} has {token}, which is not JSON")

    try:
        value = json.loads(text, object_pairs_hook=unique, parse_constant=constant)
    except RecursionError:
        raise CheckpointError(file, f"{what} is nested too deeply") from None
    except ValueError as err:
        raise CheckpointError(file, f"{what} is not JSON ({err})") from None
    if not isinstance(value, dict):
        raise CheckpointError(file, f"{what} is not a JSON object")
    return value


def _needed(raw: bytes) -> int:
    # One character outside Unicode's first plane makes all of a string's take four bytes.
    width = 1 if raw.isascii() and b"\\u" not in raw else 4
    marks = sum(cost * raw.count(mark) for mark, cost in _COSTS.items())
    # The bytes, the text, and the strings in it.
    return len(raw) * (1 + 2 * width) + marks


def _check_text(found: dict[str, Any], file: object, what: str) -> None:
    """Raise CheckpointError for an escaped half of a surrogate pair, which is no character."""
    try:
        for name, value in found.items():
            name.encode()
            if isinstance(value, str):
                value.encode()
    except UnicodeEncodeError:
        raise CheckpointError(file, f"{what} has text that cannot be UTF-8") from None


def read_object(file: File, what: str, memory: int = MAX_MEMORY) -> dict[str, Any]:
    """Read and parse the JSON object in `file` (at most 64 MiB), as `parse_object`."""
    if file.size > MAX_JSON_FILE:
        raise CheckpointError(file, f"{what} is over {MAX_JSON_FILE >> 20} MiB")
    return parse_object(file.read(0, file.size), file, what, memory)


def read_beside(folder: Folder, name: str) -> dict[str, Any]:
    """The JSON object in the file `name` of `folder`; empty where there is none."""
    return read_object(folder.file(name), name, MAX_BESIDE) if folder.has(name) else {}
