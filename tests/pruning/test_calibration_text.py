"""What a calibration source may be, and what is refused in one line."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from prunescope.data import embedded_text
from prunescope.errors import MissingExtra, PlanError, PrunescopeError
from prunescope.pruning import calibration_text as module
from prunescope.pruning.calibration_text import calibration_text


def test_without_a_source_it_is_the_embedded_text() -> None:
    assert calibration_text(None) == (embedded_text("calibration"), "embedded")


def test_a_text_file_is_taken_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("水 and\nice", "utf-8")
    assert calibration_text(str(tmp_path / "notes.txt")) == ("水 and\nice", "notes.txt")


def test_rows_of_json_lines_are_their_texts(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    rows = [{"id": "7", "text": "one"}, {"content": "two"}, {"n": 3, "story": "three"}, "four"]
    path.write_text("\n".join(map(json.dumps, rows)) + "\n\n", "utf-8")
    assert calibration_text(str(path)) == ("one\n\ntwo\n\nthree\n\nfour", "rows.jsonl")


@pytest.mark.parametrize(
    ("text", "cause"),
    [
        ('{"text": "a"}\n{"text"', "rows.jsonl: line 2 is not JSON"),
        ("[" * 100_000, "rows.jsonl: line 1 is not JSON"),
        ("\udcff", "rows.jsonl: line 1 is not JSON"),
        ('{"a": "x", "b": "y"}', "rows.jsonl: a row has no field text or content or document"),
        ("7", "rows.jsonl: a row has no field text or content or document"),
    ],
)
def test_lines_that_are_no_rows_are_refused(tmp_path: Path, text: str, cause: str) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(PrunescopeError) as caught:
        calibration_text(str(path))
    assert str(caught.value).endswith(cause)


def test_a_line_without_an_end_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_LINE", 100)
    (tmp_path / "rows.jsonl").write_text(json.dumps("x" * 100))
    with pytest.raises(PrunescopeError, match="line 1 has more than 100 bytes"):
        calibration_text(str(tmp_path / "rows.jsonl"))


def test_a_parquet_file_is_read_or_pyarrow_is_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "rows.parquet"
    try:
        import pyarrow  # noqa: F401
    except ModuleNotFoundError:
        with pytest.raises(PlanError, match=r"pyarrow is not installed.*prunescope\[datasets\]"):
            calibration_text(str(path))
        return
    pd.DataFrame({"id": [1, 2], "text": ["one", "two"]}).to_parquet(path)
    assert calibration_text(str(path)) == ("one\n\ntwo", "rows.parquet")
    path.write_bytes(b"PAR1 or not")
    with pytest.raises(PrunescopeError, match="is no Parquet file"):
        calibration_text(str(path))


def test_of_a_long_source_the_beginning_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MAX_TEXT", 10)
    (tmp_path / "long.txt").write_text("0123456789abc")
    assert calibration_text(str(tmp_path / "long.txt"))[0] == "0123456789"
    rows = '"abc"\n"def"\n"ghi"\nnever read'
    (tmp_path / "long.jsonl").write_text(rows)
    assert calibration_text(str(tmp_path / "long.jsonl"))[0] == "abc\n\ndef"


class Hub:
    """Stands for `datasets`, without a network."""

    def __init__(self) -> None:
        self.asked: list[Any] = []

    def load_dataset(self, name: str, config: str | None, **options: Any) -> Iterator[Any]:
        self.asked.append((name, config, options))
        if name == "org/gone":
            raise ConnectionError("Couldn't reach the hub\nat all")
        return iter([{"text": "one"}, {"text": "two"}])


@pytest.mark.parametrize(
    ("address", "config", "split"),
    [
        ("", None, "train"),
        (":fr", "fr", "train"),
        (":fr:test", "fr", "test"),
        ("::test", None, "test"),
    ],
)
def test_a_data_set_of_the_hub_is_streamed(
    monkeypatch: pytest.MonkeyPatch, address: str, config: str | None, split: str
) -> None:
    hub = Hub()
    monkeypatch.setattr(module, "require", lambda *_: hub)
    source = f"hf://datasets/org/name{address}"
    assert calibration_text(source) == ("one\n\ntwo", source)
    assert hub.asked == [("org/name", config, {"split": split, "streaming": True})]


def test_a_hub_that_cannot_be_reached_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "require", lambda *_: Hub())
    with pytest.raises(PrunescopeError) as caught:
        calibration_text("hf://datasets/org/gone")
    assert str(caught.value) == "hf://datasets/org/gone: Couldn't reach the hub"


def test_without_datasets_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(name: str, extra: str) -> None:
        raise MissingExtra(name, extra)

    monkeypatch.setattr(module, "require", absent)
    with pytest.raises(MissingExtra, match=r"prunescope\[datasets\]"):
        calibration_text("hf://datasets/org/name")
