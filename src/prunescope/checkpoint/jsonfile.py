"""Is this JSON from a stranger safe to hold? Size, depth, encoding and duplicates are checked."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

from prunescope.errors import CheckpointError

MAX_JSON_FILE = 64 << 20
# A header or index of 400,000 tensors is four times the largest public model.
MAX_OBJECTS = 400_000
MAX_COMMAS = 4_000_000


def parse_object(raw: bytes, path: Path, what: str) -> dict[str, Any]:
    """Parse `raw` as one JSON object; `what` names it in the error.

    Raises:
        CheckpointError: not UTF-8, not JSON, too deep, too large, or a key twice.
    """
    if (
        raw.count(b"{") > MAX_OBJECTS
        or raw.count(b"[") > 2 * MAX_OBJECTS
        or raw.count(b",") > MAX_COMMAS
    ):
        raise CheckpointError(path, f"{what} has more entries than any model needs")
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as err:
        raise CheckpointError(path, f"{what} is not UTF-8 (byte {err.start})") from None

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) != len(pairs):
            names = sorted(name for name, _ in pairs)
            twice = next(a for a, b in pairwise(names) if a == b)
            raise CheckpointError(path, f"{what} has the key {twice!r} twice")
        return found

    def constant(token: str) -> Any:
        raise CheckpointError(path, f"{what} has {token}, which is not JSON")

    try:
        value = json.loads(text, object_pairs_hook=unique, parse_constant=constant)
    except RecursionError:
        raise CheckpointError(path, f"{what} is nested too deeply") from None
    except ValueError as err:
        raise CheckpointError(path, f"{what} is not JSON ({err})") from None
    if not isinstance(value, dict):
        raise CheckpointError(path, f"{what} is not a JSON object")
    return value


def read_object(path: Path, what: str) -> dict[str, Any]:
    """Read and parse the JSON object in `path` (at most 64 MiB)."""
    try:
        with path.open("rb") as stream:
            raw = stream.read(MAX_JSON_FILE + 1)
    except OSError as err:
        raise CheckpointError(path, f"{what} cannot be read ({err.strerror})") from None
    if len(raw) > MAX_JSON_FILE:
        raise CheckpointError(path, f"{what} is over {MAX_JSON_FILE >> 20} MiB")
    return parse_object(raw, path, what)
