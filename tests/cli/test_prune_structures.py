"""Structures, budgets and records on the command line of `llama3.py`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from prunescope.checkpoint import open_checkpoint
from tests.support.prune_command import ON_CPU, RANGES, call
from tests.support.trees import contents

# q and o 64 × 24, k and v 32 × 24, three of 20 × 24, two norms; 6 layers, embedding and head.
LAYER = (2 * 64 + 2 * 32 + 3 * 20 + 2) * 24
WHOLE = 6 * LAYER + (2 * 320 + 1) * 24


def pruned(name: str, *options: str) -> dict[str, Any]:
    """The record of a run with these options."""
    save = ("--save_model", "--save_ckpt_log_name", name)
    assert call("--base_model", "tiny", *save, *ON_CPU, *options) == 0
    return json.loads(Path("prune_log", name, "pruning.json").read_text("utf-8"))


def lines_of(capsys: pytest.CaptureFixture[str]) -> list[str]:
    return capsys.readouterr().out.splitlines()


@pytest.mark.parametrize(
    ("options", "line", "left"),
    [
        (
            ("--channel_wise", "--pruning_ratio", "0.25"),
            "隐藏维度: 在整个模型中移除 6/24",
            WHOLE * 18 // 24,
        ),
        (("--layer_wise", "--layer", "4"), "整层: 移除 2/6 层", WHOLE - 2 * LAYER),
        (
            ("--layer_wise", "--target_params", "50000", "--depth_by", "influence"),
            "整层: 移除 1/6 层",
            WHOLE - LAYER,
        ),
        (
            (*RANGES, "--gqa", "query", "--round_to", "8"),
            "Attention 层 1-4: 每层移除 4/8 个查询头 (每组相同数量), 保留全部 KV 头",
            # Of 20 channels 4 or 12 may go: 12 is nearer to 10.
            WHOLE - 4 * (2 * 32 + 3 * 12) * 24,
        ),
        (
            (*RANGES, "--gqa", "naive"),
            "警告: 剩余的查询头会配上并非一起训练的 KV 头 (--gqa group 可避免)",
            WHOLE - 4 * (4 * 16 + 3 * 10) * 24,
        ),
        (
            (*RANGES, "--global_pruning"),
            "MLP 层 1-4: 跨层统一排序, 共移除 40/80 个单元, 每层至少保留 0.1",
            WHOLE - 4 * (2 * 32 + 2 * 16 + 3 * 10) * 24,
        ),
        (
            ("--layer_ratios", "0:0.25,5:0.5"),
            "MLP 层 5: 每层移除 10/20 个通道",
            WHOLE - (3 * (2 * 16 + 2 * 8) + 3 * 15) * 24,
        ),
        ((*RANGES, "--iterative_steps", "2"), "方法: l2, grouping=sum, steps=2, 设备: cpu",
         WHOLE - 4 * (2 * 32 + 2 * 16 + 3 * 10) * 24),
    ],
)  # fmt: skip
def test_the_plan_says_what_will_be_left_and_that_is_left(
    here: Path,
    capsys: pytest.CaptureFixture[str],
    options: tuple[str, ...],
    line: str,
    left: int,
) -> None:
    record = pruned("out", *options)
    lines = lines_of(capsys)
    assert line in lines
    planned = f"预计剪枝后: {left:,} 参数 (稀疏度 {1 - left / WHOLE:.4f})"
    assert planned in lines
    assert record["parameters"] == {"original": WHOLE, "pruned": left}
    assert open_checkpoint(here / "prune_log" / "out").parameters == left


def test_a_file_of_ratios_tells_groups_apart(here: Path) -> None:
    (here / "r.json").write_text(json.dumps({"2": {"mlp": 0.25}, "4": 0.5}))
    record = pruned("out", "--layer_ratios", "r.json")
    assert {n: list(groups) for n, groups in record["layers"].items()} == {
        "2": ["mlp"],
        "4": ["attention", "mlp"],
    }
    assert record["plan"]["layer_ratios"] == {
        "2": {"mlp": 0.25},
        "4": {"attention": 0.5, "mlp": 0.5},
    }
    assert "ratio" not in record["plan"]


@pytest.mark.parametrize(
    "options",
    [
        (*RANGES, "--pruner_type", "random"),
        (*RANGES, "--gqa", "query"),
        (*RANGES, "--gqa", "naive"),
        ("--channel_wise", "--pruning_ratio", "0.25"),
        ("--layer_wise", "--layer", "3", "--depth_by", "influence"),
        (*RANGES, "--target_sparsity", "0.1", "--global_pruning", "--pruner_type", "taylor"),
        (*RANGES, "--target_sparsity", "0.1", "--allocation", "knapsack"),
    ],
    ids=lambda options: " ".join(options[-2:]),
)
def test_a_record_says_enough_to_do_it_again(
    here: Path, capsys: pytest.CaptureFixture[str], options: tuple[str, ...]
) -> None:
    pruned("once", *options)
    lines_of(capsys)
    pruned("again", "--plan", "prune_log/once/pruning.json")
    assert contents(here / "prune_log/once") == contents(here / "prune_log/again")
    assert "按 prune_log/once/pruning.json 的记录保留相同的索引, 不重新评分" in lines_of(capsys)


def test_a_record_of_another_model_or_of_no_units_is_refused(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    record = pruned("once", *RANGES)
    again = ("--base_model", "tiny", "--plan", "other.json", *ON_CPU)
    faults = {
        "the recorded model had": lambda r: r["parameters"].update(original=1),
        "the recorded mlp units are not": lambda r: r["layers"]["1"]["mlp"].update(units=21),
        "the recorded mlp indices are no": lambda r: r["layers"]["1"]["mlp"]["kept"].update(
            channels=[3, 2]
        ),
        "the record keeps none": lambda r: r["layers"]["1"]["mlp"]["kept"].update(channels=[]),
        "the recorded attention indices": lambda r: r["layers"]["1"]["attention"]["kept"].update(
            heads=[0, 1, 2]
        ),
        "the recorded strange units": lambda r: r["layers"]["1"].update(
            strange=r["layers"]["1"]["mlp"]
        ),
        "the recorded layers are not": lambda r: r.update(kept_layers=[0, 9]),
    }
    for cause, spoil in faults.items():
        spoilt = json.loads(json.dumps(record))
        spoil(spoilt)
        (here / "other.json").write_text(json.dumps(spoilt))
        capsys.readouterr()
        assert call(*again) == 2
        assert capsys.readouterr().err.startswith(f"错误: {cause}")
