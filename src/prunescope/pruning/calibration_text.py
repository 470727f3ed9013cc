"""Which text are calibration windows taken from? Text, JSON lines, Parquet, or a hub data set.

`hf://datasets/ORG/NAME[:CONFIG[:SPLIT]]` is read through `datasets` as a stream, `train` where no
split is named. Rows are told apart by an empty line. Of a long source only the beginning is read.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from prunescope.data import embedded_text, read_text
from prunescope.errors import MissingExtra, PlanError, PrunescopeError, first_line, printable
from prunescope.extras import require

HUB = "hf://datasets/"
# Characters, about four million tokens: more than any calibration set needs, quickly cut into them.
MAX_TEXT = 16 << 20
# A line of a file that has none would be all of it.
MAX_LINE = 64 << 20
MAX_ROWS = 1_000_000
_FIELDS = ("text", "content", "document")


def calibration_text(source: str | None) -> tuple[str, str]:
    """The text of `source`, and the name it has in `pruning.json`.

    Args:
        source: a path, an address of the hub, or None for the embedded text.

    Raises:
        PrunescopeError: it cannot be read, or holds no text.
        MissingExtra: what reads it is not installed.
    """
    if source is None:
        return embedded_text("calibration"), "embedded"
    if source.startswith(HUB):
        return _joined(_hub_rows(source), source), printable(source)
    path = Path(source)
    if path.suffix in (".jsonl", ".ndjson"):
        text = _joined(_json_rows(path), source)
    elif path.suffix == ".parquet":
        text = _joined(_parquet_rows(path), source)
    else:
        text = read_text(path)[:MAX_TEXT]
    return text, printable(path.name)


def _joined(rows: Iterable[Any], source: str) -> str:
    parts: list[str] = []
    length = 0
    for row in islice(rows, MAX_ROWS):
        text = _text_of(row, source)
        parts.append(text)
        length += len(text) + 2
        if length >= MAX_TEXT:
            break
    return "\n\n".join(parts)[:MAX_TEXT]


def _text_of(row: Any, source: str) -> str:
    """The text of a row: a string, its field of a usual name, or its only one that is a string."""
    if isinstance(row, str):
        return row
    if isinstance(row, dict):
        for name in _FIELDS:
            if isinstance(row.get(name), str):
                return str(row[name])
        texts = [value for value in row.values() if isinstance(value, str)]
        if len(texts) == 1:
            return texts[0]
    raise PrunescopeError(f"{printable(source)}: a row has no field {' or '.join(_FIELDS)}")


def _json_rows(path: Path) -> Iterator[Any]:
    try:
        with path.open("rb") as file:
            number = 0
            while line := file.readline(MAX_LINE + 1):
                number += 1
                if len(line) > MAX_LINE:
                    raise PrunescopeError(f"{path}: line {number} has more than {MAX_LINE} bytes")
                if line.strip():
                    yield json.loads(line)
    except OSError as err:
        raise PrunescopeError(f"{path}: cannot be read ({err.strerror})") from None
    except (ValueError, RecursionError):
        raise PrunescopeError(f"{path}: line {number} is not JSON") from None


def _parquet_rows(path: Path) -> Iterator[Any]:
    try:
        parquet = require("pyarrow.parquet", "datasets")
    except MissingExtra:
        raise PlanError(
            f"{path}: pyarrow is not installed, which reads Parquet: "
            "run  pip install 'prunescope[datasets]'"
        ) from None
    try:
        with parquet.ParquetFile(path) as file:
            for batch in file.iter_batches(batch_size=256):
                yield from batch.to_pylist()
    except Exception as err:  # pyarrow has errors of many kinds
        raise PrunescopeError(f"{path}: is no Parquet file ({first_line(err)})") from None


def _hub_rows(source: str) -> Iterator[Any]:
    name, *rest = source.removeprefix(HUB).split(":")
    config = rest[0] if rest and rest[0] else None
    split = rest[1] if len(rest) > 1 and rest[1] else "train"
    datasets = require("datasets", "datasets")
    try:
        yield from datasets.load_dataset(name, config, split=split, streaming=True)
    except Exception as err:  # of the hub, of the network, of a file in it
        raise PrunescopeError(f"{printable(source)}: {first_line(err)}") from None
