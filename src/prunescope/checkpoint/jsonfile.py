"""Is this JSON from a stranger safe to hold? Size, depth, encoding and duplicates are checked."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import Any

from prunescope.checkpoint.storage import File, Folder
from prunescope.errors import CheckpointError

MAX_JSON_FILE = 64 << 20
# A header or index of 400,000 tensors is four times the largest public model.
MAX_OBJECTS = 400_000
MAX_COMMAS = 4_000_000


def parse_object(raw: bytes, file: object, what: str) -> dict[str, Any]:
    """Parse `raw` as one JSON object; `file` and `what` name it in the error.

    Raises:
        CheckpointError: not UTF-8, not JSON, too deep, too large, or a key twice.
    """
    if (
        raw.count(b"{") > MAX_OBJECTS
        or raw.count(b"[") > 2 * MAX_OBJECTS
        or raw.count(b",") > MAX_COMMAS
    ):
        raise CheckpointError(file, f"{what} has more entries than any model needs")
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as err:
        raise CheckpointError(file, f"{what} is not UTF-8 (byte {err.start})") from None

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) != len(pairs):
            names = sorted(name for name, _ in pairs)
            twice = next(a for a, b in pairwise(names) if a == b)
            raise CheckpointError(file, f"{what} has the key {twice!r} twice")
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


def read_object(file: File, what: str) -> dict[str, Any]:
    """Read and parse the JSON object in `file` (at most 64 MiB)."""
    if file.size > MAX_JSON_FILE:
        raise CheckpointError(file, f"{what} is over {MAX_JSON_FILE >> 20} MiB")
    return parse_object(file.read(0, file.size), file, what)


def read_beside(folder: Folder, name: str) -> dict[str, Any]:
    """The JSON object in the file `name` of `folder`; empty where there is none."""
    return read_object(folder.file(name), name) if folder.has(name) else {}
