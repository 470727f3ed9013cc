"""`llama3.py` as a user runs it, on a model small enough to wait for."""

from __future__ import annotations

import json
import math
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM

import prunescope
from prunescope.data import embedded_text
from prunescope.evaluation.generation import PROMPTS
from tests.support.prune_command import ON_CPU, RANGES, base_model, call
from tests.support.scripts import environment, run_script, run_without_reader
from tests.support.tiny import tiny_tokenizer
from tests.support.trees import contents

NAME = "Llama-3-8B-Instruct"
MISSION = (
    "--pruning_ratio", "0.25", "--base_model", NAME, "--block_wise", *RANGES,
    "--pruner_type", "taylor", "--save_model", *ON_CPU,
)  # fmt: skip
# q and o 64 × 24, k and v 32 × 24, three of 20 × 24 in the MLP, two norms; embedding and head.
ORIGINAL = 6 * (2 * 64 * 24 + 2 * 32 * 24 + 3 * 20 * 24 + 48) + 2 * 320 * 24 + 24
# In each of four layers one KV head of 8 rows with its two query heads, and 5 channels.
PRUNED = ORIGINAL - 4 * (2 * 16 + 2 * 8 + 3 * 5) * 24
FILES = {
    "config.json", "generation_config.json", "pruning.json", "pytorch_model.bin",
    "tokenizer.json", "tokenizer_config.json",
}  # fmt: skip


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the mission's command has been run, with tests before and after."""
    folder = tmp_path_factory.mktemp("mission")
    base_model(folder / NAME)
    return folder


@pytest.fixture(scope="module")
def mission(here: Path) -> subprocess.CompletedProcess[str]:
    tests = ("--test_before_train", "--test_after_train", "--max_seq_len", "64")
    return run_script("llama3.py", *MISSION, *tests, cwd=here)


@pytest.fixture
def elsewhere(here: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder: another one, with the same model in it."""
    (tmp_path / NAME).symlink_to(here / NAME)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def saved(folder: Path, name: str = "llama_prune") -> dict[str, bytes]:
    return contents(folder / "prune_log" / name)


def test_a_reader_that_leaves_early_costs_no_model(elsewhere: Path) -> None:
    code, errors = run_without_reader("llama3.py", *MISSION, "--quiet", cwd=elsewhere)

    assert (code, errors) == (0, b"")
    assert set(saved(elsewhere)) == FILES


def test_the_missions_command_says_what_it_does(
    mission: subprocess.CompletedProcess[str],
) -> None:
    assert (mission.returncode, mission.stderr) == (0, "")
    assert (ORIGINAL, PRUNED) == (51960, 45912)
    lines = mission.stdout.splitlines()
    for line in (
        f"模型: {NAME} (51,960 参数)",
        "方法: taylor (param_first, 10 × 64), grouping=sum, 设备: cpu",
        "Attention 层 1-4: 每层移除 1/4 个 GQA 组 (KV 头及其查询头)",
        "MLP 层 1-4: 每层移除 5/20 个通道",
        # 45,912 / 51,960 = 0.883602…
        "#参数 剪枝前: 51,960, 剪枝后: 45,912, 保留率 = 88.3603%",
        "剪枝后模型已保存到: prune_log/llama_prune/pytorch_model.bin",
    ):
        assert line in lines
    titles = ["剪枝计划", "剪枝前测试", "剪枝后测试"]
    assert [line for line in lines if line in titles] == titles
    assert "\x1b" not in mission.stdout


def test_it_writes_a_folder_that_the_other_tools_read(
    here: Path, mission: subprocess.CompletedProcess[str]
) -> None:
    assert {path.name for path in here.iterdir()} == {NAME, "prune_log"}
    assert {path.name for path in (here / "prune_log").iterdir()} == {"llama_prune"}
    assert saved(here).keys() == FILES
    network = prunescope.load(here / "prune_log" / "llama_prune")
    assert sum(p.numel() for p in network.parameters()) == PRUNED
    assert [len(layer.self_attn.k_proj.weight) for layer in network.model.layers] == [
        32, 24, 24, 24, 24, 32
    ]  # fmt: skip
    record = json.loads(saved(here)["pruning.json"])
    assert record["plan"]["importance"] == "taylor"
    assert record["parameters"] == {"original": ORIGINAL, "pruned": PRUNED}
    size = run_script("check_model_size.py", cwd=here)
    assert f"{PRUNED:,}" in size.stdout


def test_perplexity_and_text_are_shown_before_and_after(
    here: Path, mission: subprocess.CompletedProcess[str]
) -> None:
    # 10,240 tokens in windows of 64.
    found = re.findall(r"^困惑度 \(内置评测文本, 160 × 64 词元\): ([\d.]+)$", mission.stdout, re.M)
    ids = torch.tensor(tiny_tokenizer()(embedded_text("evaluation")).input_ids[:10_240])
    expected = []
    for network in (
        AutoModelForCausalLM.from_pretrained(here / NAME).eval(),
        prunescope.load(here / "prune_log" / "llama_prune"),
    ):
        with torch.no_grad():
            windows = ids.view(160, 64)
            expected.append(math.exp(network(input_ids=windows, labels=windows).loss.item()))
    assert [float(value) for value in found] == pytest.approx(expected, abs=0.01)
    for prompt in PROMPTS:
        assert mission.stdout.count(f"> {prompt}") == 2
    (loss,) = re.findall(r"^校准损失: ([\d.]+)$", mission.stdout, re.M)
    record = json.loads(saved(here)["pruning.json"])
    assert float(loss) == pytest.approx(record["calibration"]["loss"], abs=1e-4)


def test_the_same_command_writes_the_same_bytes(
    here: Path, mission: subprocess.CompletedProcess[str], elsewhere: Path
) -> None:
    assert call(*MISSION) == 0
    assert saved(elsewhere) == saved(here)
    # And again over the earlier output, beside which somebody keeps a log.
    (elsewhere / "prune_log" / "llama_prune" / "train.log").write_text("mine")
    assert call(*MISSION) == 0
    assert saved(elsewhere) == saved(here) | {"train.log": b"mine"}


def test_prunescope_prune_is_the_same(
    here: Path, mission: subprocess.CompletedProcess[str], elsewhere: Path
) -> None:
    done = subprocess.run(
        [
            sys.executable, "-m", "prunescope", "prune", *MISSION,
            "--save_format", "bin", "--calibration_seq_len", "64",
        ],
        cwd=elsewhere, env=environment(), capture_output=True, encoding="utf-8", check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    # By default its language is English, its format `hf`, and its windows are of 128 tokens.
    assert "#Param before: 51,960, #Param after: 45,912, Ratio = 88.3603%" in done.stdout
    assert saved(elsewhere) == saved(here)
