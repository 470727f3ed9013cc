"""Which documents did the user name? Those of a file, of a hub's data set, or the embedded text."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from prunescope.data import Part, embedded_text, read_text
from prunescope.data.hub import DATA_SETS, HUB, hub_records, streamed_records
from prunescope.errors import PrunescopeError, first_line, printable
from prunescope.extras import require

# Bytes of a file, and characters of all its documents: what a machine holds as text and tokens.
MAX_TEXT = 1 << 30
COLUMNS = ("text", "sentence", "content")
_JSON_LINES = (".jsonl", ".json")
# https://github.com/tloen/alpaca-lora/blob/main/templates/alpaca.json, as LLM-Pruner trains.
_TASK = "Below is an instruction that describes a task{input}. Write a response that appropriately "
_TASK += "completes the request.\n\n### Instruction:\n{instruction}\n\n{given}### Response:\n"


@dataclass(frozen=True, slots=True)
class Documents:
    """A named text.

    Attributes:
        name: a file's name, a data set's, or `embedded`.
        texts: its documents. Those of `DATA_SETS` include empty ones, which papers join too.
        joint: what stands between two of them where they are read as one text.
    """

    name: str
    texts: tuple[str, ...]
    joint: str

    @property
    def whole(self) -> str:
        """All documents as one text."""
        return self.joint.join(self.texts)


def documents(name: str | None, part: Part) -> Documents:
    """What `name` stands for.

    Args:
        name: a file (`.jsonl` or `.json`: an object a line; `.parquet`; else plain UTF-8 text,
            one document), a key of `DATA_SETS`, `hf://datasets/ORG/NAME[:CONFIG[:SPLIT]]`, or None
            for the embedded text.
        part: of a data set or the embedded text, what to train on or what to judge by: these two
            have no document in common.

    Raises:
        PrunescopeError: it cannot be read or has no text.
        MissingExtra: a library for it is not installed.
    """
    if name is None:
        return Documents("embedded", (embedded_text(part),), "\n\n")
    if name.startswith(HUB):
        return _gathered(name, streamed_records(name), printable(name), "\n\n")
    path = Path(name)
    if name in DATA_SETS and not path.exists():
        data_set = DATA_SETS[name]
        records = hub_records(name, part)
        return _gathered(name, records, name, data_set.joint, with_empty=True)
    _check_file(path)
    if path.suffix in _JSON_LINES:
        return _gathered(path.name, _json_lines(path), path, "\n\n")
    if path.suffix == ".parquet":
        return _gathered(path.name, _parquet(path), path, "\n\n")
    text = read_text(path)
    return _gathered(path.name, [{"text": text}], path, "\n\n")


def _check_file(path: Path) -> None:
    if not path.exists():
        known = ", ".join(DATA_SETS)
        raise PrunescopeError(f"{path}: no such file, and no data set (known: {known})")
    if not path.is_file():
        raise PrunescopeError(f"{path}: is no ordinary file")
    if path.stat().st_size > MAX_TEXT:
        raise PrunescopeError(f"{path}: is over {MAX_TEXT >> 30} GiB")


def _gathered(
    name: str,
    records: Iterable[Mapping[str, Any]],
    place: object,
    joint: str,
    with_empty: bool = False,
) -> Documents:
    texts, characters, is_empty = [], 0, True
    for number, record in enumerate(records, 1):
        text = _text_of(record)
        if text is None:
            keys = printable(", ".join(map(str, record)), 80)
            wanted = ", ".join(COLUMNS)
            raise PrunescopeError(
                f"{place}: record {number} has no text: one of {wanted}, or instruction and "
                f"output, but {keys or 'nothing'}"
            )
        if not is_unicode(text):
            raise PrunescopeError(f"{place}: record {number} has half of a surrogate pair in it")
        characters += len(text)
        if characters > MAX_TEXT:
            raise PrunescopeError(f"{place}: has over {MAX_TEXT >> 30} Gi characters")
        if text.strip() or with_empty:
            texts.append(text)
        is_empty = is_empty and not text.strip()
    if is_empty:
        raise PrunescopeError(f"{place}: has no text")
    return Documents(printable(name), tuple(texts), joint)


def is_unicode(text: str) -> bool:
    """Whether a tokenizer takes it: JSON and command lines may hold half a surrogate pair."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def _text_of(record: Mapping[str, Any]) -> str | None:
    for column in COLUMNS:
        if isinstance(record.get(column), str):
            return str(record[column])
    instruction, output = record.get("instruction"), record.get("output")
    if not isinstance(instruction, str) or not isinstance(output, str):
        return None
    given = record.get("input")
    has_input = isinstance(given, str) and bool(given)
    prompt = _TASK.format(
        input=", paired with an input that provides further context" if has_input else "",
        instruction=instruction,
        given=f"### Input:\n{given}\n\n" if has_input else "",
    )
    return prompt + output


def _json_lines(path: Path) -> Iterator[dict[str, Any]]:
    try:
        with path.open(encoding="utf-8") as lines:
            for number, line in enumerate(lines, 1):
                if not line.strip():
                    continue
                value = json.loads(line)
                if not isinstance(value, dict):
                    raise PrunescopeError(f"{path}: line {number} is no JSON object")
                yield value
    except UnicodeDecodeError as err:
        raise PrunescopeError(f"{path}: is not UTF-8 text (byte {err.start})") from None
    except (ValueError, RecursionError) as err:
        raise PrunescopeError(f"{path}: line {number} is not JSON ({first_line(err)})") from None
    except OSError as err:
        raise PrunescopeError(f"{path}: cannot be read ({err.strerror})") from None


def _parquet(path: Path) -> Iterator[dict[str, Any]]:
    parquet = require("pyarrow.parquet", "datasets")
    try:
        # Mapped, so that a claimed length takes memory only once its bytes are there.
        with parquet.ParquetFile(path, memory_map=True) as file:
            wanted = (*COLUMNS, "instruction", "input", "output")
            columns = [name for name in file.schema_arrow.names if name in wanted]
            if not columns:
                names = printable(", ".join(file.schema_arrow.names), 80)
                raise PrunescopeError(f"{path}: has no column {', '.join(COLUMNS)}, but {names}")
            for batch in file.iter_batches(batch_size=256, columns=columns):
                yield from batch.to_pylist()
    except PrunescopeError:
        raise
    except Exception as err:  # pyarrow's own errors have many bases
        raise PrunescopeError(f"{path}: is no readable parquet ({first_line(err)})") from None
