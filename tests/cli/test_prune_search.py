"""`--search` prints what it tried, draws the front, and saves a plan that can be repeated."""

from __future__ import annotations

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
    assert call(*SEARCH, "--save_model", "--plot", "front.svg") == 0
    lines = capsys.readouterr().out.splitlines()
    assert "Search for a plan" in lines
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
    assert (here / "front.svg").read_bytes().startswith(b"<?xml")
    again = ("--base_model", "tiny", "--plan", "prune_log/llama_prune/pruning.json", *ON_CPU)
    assert call(*again, "--save_model", "--save_ckpt_log_name", "again") == 0
    assert contents(here / "prune_log/again") == contents(here / "prune_log/llama_prune")


@pytest.mark.parametrize(
    ("options", "line"),
    [
        (("--base_model", "tiny", "--search"), "--search needs a budget: one of --target_sparsity"),
        ((*SEARCH, "--global_pruning"), "--search and --global_pruning exclude each other"),
        ((*SEARCH, "--plot", "front.jpg"), "front.jpg: a plot ends in .png, .svg, .pdf"),
        (("--base_model", "tiny", "--plot", "x.png"), "--plot belongs to --search"),
        (("--base_model", "tiny", "--search_tokens", "9"), "--search_tokens belongs to --search"),
    ],
)
def test_what_cannot_be_searched_is_refused(
    here: Path, capsys: pytest.CaptureFixture[str], options: tuple[str, ...], line: str
) -> None:
    assert call(*options, "--lang", "en") == 2
    assert capsys.readouterr().err.startswith(f"error: {line}")
