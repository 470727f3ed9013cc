"""A text is read as its kind says, or refused in one line."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import datasets
import pyarrow as pa
import pyarrow.parquet
import pytest
from hypothesis import given
from hypothesis import strategies as st

from prunescope.data import embedded_text, sources
from prunescope.data.sources import Documents, documents
from prunescope.errors import PrunescopeError


def write_lines(path: Path, *records: Any) -> Path:
    path.write_text("".join(json.dumps(record) + "\n" for record in records), "utf-8")
    return path


def test_without_a_name_it_is_the_embedded_text() -> None:
    for part in ("calibration", "evaluation"):
        assert documents(None, part) == Documents("embedded", (embedded_text(part),), "\n\n")


def test_a_text_file_is_one_document(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("one\n\ntwo", "utf-8")
    assert documents(str(path), "evaluation") == Documents("a.txt", ("one\n\ntwo",), "\n\n")


@pytest.mark.parametrize("column", ["text", "sentence", "content"])
def test_json_lines_are_documents(tmp_path: Path, column: str) -> None:
    path = write_lines(tmp_path / "a.jsonl", {column: "雨", "n": 1}, {column: " "}, {column: "b"})
    found = documents(str(path), "calibration")
    assert found.texts == ("雨", "b")
    assert found.whole == "雨\n\nb"


def test_instructions_become_alpaca_prompts(tmp_path: Path) -> None:
    path = write_lines(
        tmp_path / "a.jsonl",
        {"instruction": "Add.", "input": "1, 2", "output": "3"},
        {"instruction": "Sing.", "input": "", "output": "La."},
    )
    assert documents(str(path), "calibration").texts == (
        "Below is an instruction that describes a task, paired with an input that provides "
        "further context. Write a response that appropriately completes the request.\n\n"
        "### Instruction:\nAdd.\n\n### Input:\n1, 2\n\n### Response:\n3",
        "Below is an instruction that describes a task. Write a response that appropriately "
        "completes the request.\n\n### Instruction:\nSing.\n\n### Response:\nLa.",
    )


def test_a_parquet_file_is_read_by_its_text_column(tmp_path: Path) -> None:
    table = pa.table({"id": list(range(600)), "text": [f"doc {n}" for n in range(600)]})
    pyarrow.parquet.write_table(table, tmp_path / "a.parquet", row_group_size=100)
    found = documents(str(tmp_path / "a.parquet"), "evaluation")
    assert found.texts == tuple(f"doc {n}" for n in range(600))


@pytest.mark.parametrize(
    ("name", "raw", "cause"),
    [
        ("a.txt", b"", "has no text"),
        ("a.txt", b" \n\t\n", "has no text"),
        ("a.txt", b"ab\xff", "is not UTF-8 text (byte 2)"),
        ("a.jsonl", b"", "has no text"),
        ("a.jsonl", b"\xff\n", "is not UTF-8 text (byte 0)"),
        ("a.jsonl", b'{"text": "a"}\n[1]\n', "line 2 is no JSON object"),
        ("a.jsonl", b'{"text": "a"}\n\n{"text"\n', "line 3 is not JSON"),
        ("a.jsonl", b"[" * 100_000, "line 1 is not JSON"),
        ("a.jsonl", b'{"text": 5, "\\u001b[2J": 1}\n', "record 1 has no text: one of text, "),
        ("a.jsonl", b"{}\n", "instruction and output, but nothing"),
        ("a.parquet", b"", "is no readable parquet"),
        ("a.parquet", b"PAR1" + b"\xff" * 100 + b"PAR1", "is no readable parquet"),
    ],
)
def test_what_holds_no_text_is_one_line(tmp_path: Path, name: str, raw: bytes, cause: str) -> None:
    (tmp_path / name).write_bytes(raw)
    with pytest.raises(PrunescopeError) as caught:
        documents(str(tmp_path / name), "evaluation")
    message = str(caught.value)
    assert message.startswith(f"{tmp_path / name}: ")
    assert cause in message
    assert message.isprintable()


@given(raw=st.binary(max_size=200))
def test_whatever_the_bytes_it_is_text_or_one_line(
    tmp_path_factory: pytest.TempPathFactory, raw: bytes
) -> None:
    folder = tmp_path_factory.mktemp("bytes")
    for name in ("a.txt", "a.jsonl", "a.parquet"):
        (folder / name).write_bytes(raw)
        try:
            assert documents(str(folder / name), "evaluation").whole.strip()
        except PrunescopeError as err:
            message = str(err)
        else:
            message = ""
        assert "\n" not in message


def test_a_parquet_without_text_names_its_columns(tmp_path: Path) -> None:
    pyarrow.parquet.write_table(pa.table({"id": [1]}), tmp_path / "a.parquet")
    with pytest.raises(PrunescopeError, match="has no column text, sentence, content, but id"):
        documents(str(tmp_path / "a.parquet"), "evaluation")


def test_half_a_surrogate_pair_is_one_line(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"text": "whole \\ud83d\\ude00"}\n{"text": "half \\ud83d"}\n', "ascii")
    with pytest.raises(PrunescopeError) as caught:
        documents(str(path), "evaluation")
    assert str(caught.value) == f"{path}: record 2 has half of a surrogate pair in it"


def test_what_is_no_file_is_one_line(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path, cause in [
        (tmp_path, "is no ordinary file"),
        (tmp_path / "pipe", "is no ordinary file"),
        (tmp_path / "none", "no such file, and no data set (known: wikitext2, ptb, c4, alpaca)"),
    ]:
        with pytest.raises(PrunescopeError) as caught:
            documents(str(path), "evaluation")
        assert str(caught.value) == f"{path}: {cause}"


def test_a_text_has_a_bound(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert sources.MAX_TEXT == 1 << 30
    with (tmp_path / "a.txt").open("wb") as stream:
        stream.truncate(sources.MAX_TEXT + 1)
    with pytest.raises(PrunescopeError, match="is over 1 GiB"):
        documents(str(tmp_path / "a.txt"), "evaluation")
    # A compressed file may hold more than it is long.
    pyarrow.parquet.write_table(pa.table({"text": ["a" * 5000] * 9}), tmp_path / "a.parquet")
    monkeypatch.setattr(sources, "MAX_TEXT", 40_000)
    with pytest.raises(PrunescopeError, match="Gi characters"):
        documents(str(tmp_path / "a.parquet"), "evaluation")


# --- data sets of a hub --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "part", "asked", "column", "joint"),
    [
        ("wikitext2", "evaluation",
         ("Salesforce/wikitext", "wikitext-2-raw-v1", "test", None, None), "text", "\n\n"),
        ("wikitext2", "calibration",
         ("Salesforce/wikitext", "wikitext-2-raw-v1", "train", None, None), "text", "\n\n"),
        ("ptb", "evaluation",
         ("ptb-text-only/ptb_text_only", None, "validation", "refs/convert/parquet", None),
         "sentence", "\n\n"),
        ("c4", "evaluation",
         ("allenai/c4", None, "validation", None,
          {"validation": "en/c4-validation.00000-of-00008.json.gz"}), "text", " "),
    ],
)  # fmt: skip
def test_a_data_set_is_asked_for_as_papers_do(
    monkeypatch: pytest.MonkeyPatch, name: str, part: Any, asked: Any, column: str, joint: str
) -> None:
    def load_dataset(path: str, config: str | None, **options: Any) -> datasets.Dataset:
        found = (path, config, options["split"], options["revision"], options.get("data_files"))
        assert found == asked
        return datasets.Dataset.from_dict({column: [f"{n}" for n in range(1200)]})

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    found = documents(name, part)
    count = 1100 if name == "c4" else 1200
    assert found == Documents(name, tuple(f"{n}" for n in range(count)), joint)


def test_without_a_hub_a_data_set_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def load_dataset(*_: Any, **__: Any) -> None:
        raise ConnectionError("Couldn't reach the Hub\n(offline)")

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    with pytest.raises(PrunescopeError) as caught:
        documents("ptb", "evaluation")
    assert str(caught.value) == (
        "ptb: the data set ptb-text-only/ptb_text_only cannot be had (Couldn't reach the Hub); "
        "without a network, name a file of text"
    )


def test_what_is_trained_on_is_not_judged_by() -> None:
    with pytest.raises(PrunescopeError, match="alpaca: has no documents that are kept for evalu"):
        documents("alpaca", "evaluation")
