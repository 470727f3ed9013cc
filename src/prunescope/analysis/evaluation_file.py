"""What does a file of `prunescope eval --json` say of models? Parsed as a stranger's file.

Whatever it leaves out, or says in another way, is not known; only a file of another kind is an
error.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from prunescope.checkpoint.jsonfile import read_object
from prunescope.checkpoint.storage import LocalFile
from prunescope.errors import CheckpointError

SCHEMA = "prunescope.eval/"
MAX_TASKS = 50
MAX_RUNS = 1000
# A perplexity that is no finite number is a string, as JSON has none such.
_WORDS = {"inf": math.inf, "nan": math.nan}


@dataclass(frozen=True, slots=True)
class TaskFigure:
    """One metric of one task."""

    task: str
    metric: str
    value: float


@dataclass(frozen=True, slots=True)
class Evaluated:
    """What was measured of one model; None where the file does not say.

    Attributes:
        path: what the model was called.
        perplexity: of `text`; infinite or NaN where the model gave that.
        text: what it was measured on.
        device: where.
        prefill, decode: tokens a second, all sequences together; the median of its runs.
        peak_bytes: memory while it ran.
        tasks: the first of them.
    """

    path: str
    perplexity: float | None
    text: str | None
    device: str | None
    prefill: float | None
    decode: float | None
    peak_bytes: float | None
    tasks: tuple[TaskFigure, ...]


def read_evaluations(path: Path) -> tuple[Evaluated, ...]:
    """The models of one file, in its order.

    Raises:
        CheckpointError: no such file, not JSON, or JSON of another kind.
    """
    file = LocalFile(path)
    value = read_object(file, "evaluation")
    schema = value.get("schema")
    if not isinstance(schema, str) or not schema.startswith(SCHEMA):
        raise CheckpointError(file, "is no output of prunescope eval --json")
    models = value.get("models")
    if not isinstance(models, list):
        raise CheckpointError(file, "has no models")
    device, text = _text(value.get("device")), _text(_object(value.get("text")).get("source"))
    return tuple(_model(_object(one), device, text) for one in models)


def match(
    found: Sequence[Evaluated], paths: Sequence[str]
) -> tuple[dict[str, Evaluated], tuple[str, ...]]:
    """Which evaluation is whose?

    Paths match that lead to the same place, else those whose last part is the same and is no
    other's.

    Returns:
        Path → its evaluation, the last one where a model was measured twice; and the paths of
        evaluations that are of none of these models.
    """
    places = {_place(path): path for path in paths}
    names = [Path(path).name for path in paths]
    matched: dict[str, Evaluated] = {}
    others = []
    for one in found:
        path = places.get(_place(one.path))
        name = Path(one.path).name
        if path is None and names.count(name) == 1:
            path = paths[names.index(name)]
        if path is None:
            others.append(one.path)
        else:
            matched[path] = one
    return matched, tuple(others)


def _model(one: Mapping[str, Any], device: str | None, text: str | None) -> Evaluated:
    perplexity, speed = one.get("perplexity"), _object(one.get("speed"))
    if isinstance(perplexity, dict):
        perplexity = perplexity.get("value")
    tasks = one.get("tasks")
    return Evaluated(
        _text(one.get("path")) or "?",
        _number(perplexity),
        text,
        device,
        _median(speed.get("prefill_tokens_per_second")),
        _median(speed.get("decode_tokens_per_second")),
        _number(speed.get("peak_bytes")),
        tuple(_tasks(tasks if isinstance(tasks, list) else [])),
    )


def _tasks(entries: Sequence[Any]) -> list[TaskFigure]:
    found = []
    for entry in map(_object, entries[:MAX_TASKS]):
        name, metric, value = _text(entry.get("task")), entry.get("metric"), entry.get("value")
        number = _number(value)
        if name is not None and number is not None:
            found.append(TaskFigure(name, _text(metric) or "", number))
    return found


def _object(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def _number(value: Any) -> float | None:
    if isinstance(value, str):
        return _WORDS.get(value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        return float(value)
    except OverflowError:
        return math.inf


def _median(runs: Any) -> float | None:
    """Of a figure for each run, as they are written today, or of one alone."""
    found = runs[:MAX_RUNS] if isinstance(runs, list) else [runs]
    figures = [figure for figure in map(_number, found) if figure is not None]
    return median(figures) if figures else None


def _place(path: str) -> str:
    try:
        return str(Path(path).resolve())
    except (OSError, RuntimeError, ValueError):
        return path
