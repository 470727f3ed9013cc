"""How layers share what goes: alike, in one ranking, or so that the least score is lost."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from prunescope.cli.prune import script, subcommand
from tests.support.commands import called
from tests.support.prune_command import ON_CPU, RANGES

BUDGET = ("--target_sparsity", "0.2", "--num_examples", "2", "--pruner_type", "taylor")


def record_of(build: Any, capsys: pytest.CaptureFixture[str], *options: str) -> dict[str, Any]:
    """The record of a run, and under `said` what it printed."""
    save = ("--save_model", "--save_ckpt_log_name", "out", "--base_model", "tiny", *RANGES, *ON_CPU)
    code, out, err = called(build, capsys, *save, *options)
    assert code == 0, err
    record = json.loads(Path("prune_log/out/pruning.json").read_text("utf-8"))
    return record | {"said": out}


def lost(record: dict[str, Any]) -> float:
    """All scores that went."""
    return sum(
        group["removed_units"] * group["scores"]["removed"]["mean"]
        for layer in record["layers"].values()
        for group in layer.values()
        if group["removed_units"]
    )


def test_under_a_budget_the_command_loses_the_least_score(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    by_default = record_of(subcommand, capsys, *BUDGET)
    others = [
        record_of(subcommand, capsys, *BUDGET, "--allocation", each)
        for each in ("uniform", "global")
    ]
    assert by_default["plan"]["knapsack"] is True
    assert "Budget: sparsity of at least 0.2\n" in by_default["said"]
    assert "MLP of layers 1-4: units chosen by score, so that within" in by_default["said"]
    for record in (by_default, *others):
        counts = record["parameters"]
        assert 1 - counts["pruned"] / counts["original"] >= 0.2
    assert all("knapsack" not in record["plan"] for record in others)
    assert all(lost(by_default) < lost(record) for record in others)


def test_a_ratio_is_of_each_layer_and_the_script_shares_out_evenly(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    by_ratio = record_of(subcommand, capsys, "--pruning_ratio", "0.25", "--pruner_type", "l2")
    assert {
        g["removed_units"] for layer in by_ratio["layers"].values() for g in layer.values()
    } == {
        1,
        5,
    }
    assert "knapsack" not in record_of(script, capsys, *BUDGET)["plan"]


def test_each_layer_keeps_its_floor(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = ("--allocation", "knapsack", "--layer_floor", "0.75")
    record = record_of(script, capsys, "--target_sparsity", "0.1", "--pruner_type", "l2", *options)
    # 3 of 4 KV heads, 15 of 20 channels.
    assert record["plan"]["floor"] == 0.75
    for layer in record["layers"].values():
        assert layer["attention"]["removed_units"] <= 1
        assert layer["mlp"]["removed_units"] <= 5
