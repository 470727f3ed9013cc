"""`--search` prints what it tried, draws the front, and saves a plan that can be repeated."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from prunescope.checkpoint import open_checkpoint
from tests.support.prune_command import ON_CPU, RANGES, base_model, call
from tests.support.trees import contents

SEARCH = (
    "--base_model", "tiny", *RANGES, *ON_CPU, "--search", "--target_sparsity", "0.2",
    "--search_tokens", "256", "--max_seq_len", "64", "--lang", "en",
)  # fmt: skip


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    base_model(tmp_path / "tiny")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_best_within_the_budget_is_saved_and_can_be_repeated(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(*SEARCH, "--save_model", "--plot", "front.svg", "--search_csv", "all.csv") == 0
    lines = capsys.readouterr().out.splitlines()
    # What is printed first is no plan yet.
    assert lines[: lines.index("Search for a plan")][-2:-1] == [
        "Which units go from which layers is for the search to say"
    ]
    assert not any(line.startswith(("Attention of", "MLP of", "Planned:")) for line in lines)
    header = next(n for n, line in enumerate(lines) if line.lstrip().startswith("Parameters"))
    rows = [line.split() for line in lines[header + 1 :]]
    rows = rows[: next(n for n, row in enumerate(rows) if row[0] == "Perplexity:")]
    assert {row[3] for row in rows} == {"uniform", "global", "knapsack"}
    (chosen,) = [row for row in rows if row[-1] == "chosen"]
    inside = [float(row[2]) for row in rows if row[6] == "yes"]
    assert float(chosen[2]) == min(inside)
    record = json.loads((here / "prune_log/llama_prune/pruning.json").read_text("utf-8"))
    assert record["search"]["method"] == chosen[3]
    assert record["search"]["candidates"] == len(rows)
    original = open_checkpoint("tiny").parameters
    saved = open_checkpoint("prune_log/llama_prune").parameters
    assert f"{saved:,}" == chosen[0]
    assert saved <= 0.8 * original
    with (here / "all.csv").open(newline="") as stream:
        table = list(csv.DictReader(stream))
    assert [f"{int(each['parameters']):,}" for each in table] == [row[0] for row in rows]
    assert [f"{float(each['perplexity']):.2f}" for each in table] == [row[2] for row in rows]
    assert [each["allocation"] for each in table] == [row[3] for row in rows]
    assert [each["within_budget"] for each in table] == [str(int(r[6] == "yes")) for r in rows]
    (best,) = [each for each in table if each["chosen"] == "1"]
    assert best == min((e for e in table if e["within_budget"] == "1"), key=perplexity_of)
    assert float(best["sparsity"]) == pytest.approx(1 - saved / original, abs=5e-7)
    for kind, column in (("attention", 4), ("mlp", 5)):
        assert [spelt(e[f"{kind}_start"], e[f"{kind}_end"]) for e in table] == [
            row[column] for row in rows
        ]
    # No other candidate is both smaller and better than one on the front.
    for each in table:
        beaten = [
            e for e in table
            if int(e["parameters"]) <= int(each["parameters"])
            and perplexity_of(e) < perplexity_of(each)
        ]  # fmt: skip
        assert each["on_front"] == "0" or not beaten
    assert any(each["on_front"] == "1" for each in table)
    assert (here / "front.svg").read_bytes().startswith(b"<?xml")
    again = ("--base_model", "tiny", "--plan", "prune_log/llama_prune/pruning.json", *ON_CPU)
    assert call(*again, "--save_model", "--save_ckpt_log_name", "again") == 0
    assert contents(here / "prune_log/again") == contents(here / "prune_log/llama_prune")


def spelt(start: str, end: str) -> str:
    """A half-open range as tables have it."""
    if not start:
        return "-"
    last = int(end) - 1
    return start if int(start) == last else f"{start}-{last}"


def perplexity_of(row: dict[str, str]) -> float:
    return float(row["perplexity"])


@pytest.mark.parametrize(
    ("options", "line"),
    [
        (("--base_model", "tiny", "--search"), "--search needs a budget: one of --target_sparsity"),
        ((*SEARCH, "--global_pruning"), "--search and --global_pruning exclude each other"),
        ((*SEARCH, "--plot", "front.jpg"), "front.jpg: a plot ends in .png, .svg, .pdf"),
        (("--base_model", "tiny", "--plot", "x.png"), "--plot belongs to --search"),
        (
            (*SEARCH, "--search_csv", "tiny/model.safetensors"),
            "tiny/model.safetensors: has weights of",
        ),
        (("--base_model", "tiny", "--search_csv", "x.csv"), "--search_csv belongs to --search"),
        ((*SEARCH, "--search_tokens", "63"), "--search_tokens 63 hold no window of --max_seq_len"),
        (("--base_model", "tiny", "--search_tokens", "9"), "--search_tokens belongs to --search"),
    ],
)
def test_what_cannot_be_searched_is_refused(
    here: Path, capsys: pytest.CaptureFixture[str], options: tuple[str, ...], line: str
) -> None:
    assert call(*options, "--lang", "en") == 2
    assert capsys.readouterr().err.startswith(f"error: {line}")
