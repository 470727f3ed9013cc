"""A file of `prunescope eval --json` is read for what is there."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prunescope.analysis.evaluation_file import (
    MAX_TASKS,
    Evaluated,
    TaskFigure,
    match,
    read_evaluations,
)
from prunescope.errors import CheckpointError

FULL = {
    "schema": "prunescope.eval/1",
    "device": "cpu",
    "text": {"source": "wiki", "window": 1024},
    "models": [
        {
            "path": "prune_log/a",
            "parameters": 12,
            "perplexity": {"value": 81.5, "windows": 3},
            "tasks": [{"task": "arc_easy", "metric": "acc", "value": 0.5, "stderr": None}],
            "speed": {
                "prefill_tokens_per_second": [900.0, 700.0, 950.0],
                "decode_tokens_per_second": [19.0, 21.0],
                "peak_bytes": 4096,
            },
        }
    ],
}


def read(folder: Path, value: object) -> tuple[Evaluated, ...]:
    path = folder / "eval.json"
    path.write_text(json.dumps(value), "utf-8")
    return read_evaluations(path)


def one(path: str, perplexity: float | None = None) -> Evaluated:
    return Evaluated(path, perplexity, None, None, None, None, None, ())


def test_every_figure_is_read(tmp_path: Path) -> None:
    assert read(tmp_path, FULL) == (
        Evaluated(
            "prune_log/a", 81.5, "wiki", "cpu", 900.0, 20.0, 4096.0,
            (TaskFigure("arc_easy", "acc", 0.5),),
        ),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("said", "understood"),
    [(20, 20.0), ([3, "many", None, 1.0], 2.0), ([], None), ([[1]], None), ("fast", None)],
)
def test_a_speed_is_the_median_of_what_runs_are_there(
    tmp_path: Path, said: object, understood: float | None
) -> None:
    model = {"path": "a", "speed": {"decode_tokens_per_second": said}}
    (found,) = read(tmp_path, {"schema": "prunescope.eval/1", "models": [model]})
    assert found.decode == understood
    assert found.prefill is None


@pytest.mark.parametrize(
    ("said", "understood"),
    [
        (12.5, 12.5),
        ({"value": "inf"}, math.inf),
        ({"value": True}, None),
        ({"value": 10**400}, math.inf),
        ("many", None),
        (None, None),
        ([], None),
    ],
)
def test_a_perplexity_is_read_however_it_is_written(
    tmp_path: Path, said: object, understood: float | None
) -> None:
    model = {"path": "a", "perplexity": said}
    (found,) = read(tmp_path, {"schema": "prunescope.eval/2", "models": [model]})
    assert found.perplexity == understood


def test_no_number_is_a_number_too(tmp_path: Path) -> None:
    model = {"perplexity": {"value": "nan"}}
    (found,) = read(tmp_path, {"schema": "prunescope.eval/1", "models": [model]})
    assert found.path == "?"
    assert found.perplexity is not None
    assert math.isnan(found.perplexity)


@given(st.recursive(st.none() | st.booleans() | st.floats(allow_nan=False) | st.text(max_size=5),
                    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(
                        st.sampled_from(["path", "perplexity", "value", "speed", "tasks", "task"]),
                        inner, max_size=4)))  # fmt: skip
def test_a_model_may_be_anything(tmp_path_factory: pytest.TempPathFactory, model: Any) -> None:
    value = {"schema": "prunescope.eval/1", "models": [model]}
    try:
        found = read(tmp_path_factory.mktemp("any"), value)
    except CheckpointError as err:  # infinity is no JSON
        assert "not JSON" in str(err)  # noqa: PT017
    else:
        assert len(found) == 1


def test_tasks_are_bounded(tmp_path: Path) -> None:
    tasks = [{"task": "t", "metric": "acc", "value": 1}] * (MAX_TASKS + 1)
    (found,) = read(tmp_path, {"schema": "prunescope.eval/1", "models": [{"tasks": tasks}]})
    assert len(found.tasks) == MAX_TASKS


@pytest.mark.parametrize(
    ("value", "cause"),
    [
        ({"models": []}, "is no output of prunescope eval"),
        ({"schema": "prunescope.size/1", "models": []}, "is no output of prunescope eval"),
        ({"schema": ["prunescope.eval/1"], "models": []}, "is no output of prunescope eval"),
        ({"schema": "prunescope.eval/1", "models": {}}, "has no models"),
        ([], "is not a JSON object"),
    ],
)
def test_another_kind_of_file_is_refused(tmp_path: Path, value: object, cause: str) -> None:
    with pytest.raises(CheckpointError, match=cause):
        read(tmp_path, value)


def test_models_are_matched_by_place_then_by_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    here = str(tmp_path / "log" / "a")
    by_place, by_name, stranger = one(here, 1), one("/elsewhere/b", 2), one("/elsewhere/c", 3)

    found, others = match([by_place, by_name, stranger], ["log/a", "log/b"])

    assert found == {"log/a": by_place, "log/b": by_name}
    assert others == ("/elsewhere/c",)


def test_a_name_that_two_models_have_matches_neither() -> None:
    assert match([one("/elsewhere/a")], ["x/a", "y/a"]) == ({}, ("/elsewhere/a",))


def test_of_two_measurements_the_later_counts() -> None:
    assert match([one("a", 1), one("a", 2)], ["a"]) == ({"a": one("a", 2)}, ())
