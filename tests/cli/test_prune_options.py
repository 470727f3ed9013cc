"""What the options of `llama3.py` do, in this process: it has torch already."""

from __future__ import annotations

import json
import os
import pty
import re
import sys
import threading
from pathlib import Path

import pytest

from tests.support.prune_command import ON_CPU, RANGES, base_model, call
from tests.support.trees import contents

NAME = "tiny"


def saved(folder: Path, name: str) -> dict[str, bytes]:
    return contents(folder / "prune_log" / name)


def test_the_seed_decides_what_goes_at_random(here: Path) -> None:
    random = ("--base_model", NAME, *RANGES, "--pruner_type", "random", "--save_model", *ON_CPU)
    for name, seed in (("a", "1"), ("b", "1"), ("c", "2"), ("d", str(2**64 - 1))):
        assert call(*random, "--save_ckpt_log_name", name, "--seed", seed) == 0
    assert saved(here, "a") == saved(here, "b")
    for other in "cd":
        weights = (saved(here, name)["pytorch_model.bin"] for name in ("a", other))
        assert next(weights) != next(weights)
    assert json.loads(saved(here, "d")["pruning.json"])["plan"]["seed"] == 2**64 - 1


def test_the_seed_decides_what_is_calibrated_on(here: Path) -> None:
    taylor = ("--base_model", NAME, *RANGES, "--pruner_type", "taylor", "--save_model", *ON_CPU)
    digests = set()
    for seed in "123":
        assert call(*taylor, "--num_examples", "1", "--seed", seed) == 0
        digests.add(json.loads(saved(here, "llama_prune")["pruning.json"])["calibration"]["sha256"])
    assert len(digests) == 3


def test_nothing_is_written_without_save_model(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = contents(here)
    assert call("--base_model", NAME, *RANGES, *ON_CPU) == 0
    out, err = capsys.readouterr()
    assert "未保存模型 (加上 --save_model 以保存)" in out.splitlines()
    # The defaults: half of the units, by l2.
    assert "方法: l2, grouping=sum, 设备: cpu" in out.splitlines()
    assert "MLP 层 1-4: 每层移除 10/20 个通道" in out.splitlines()
    assert err == ""
    assert contents(here) == before


def test_options_reach_the_plan(here: Path) -> None:
    (here / "notes.txt").write_text("Water boils when it is hot. " * 40, "utf-8")
    assert call(
        "--base_model", NAME, "--pruner_type", "taylor", "--taylor", "vectorize",
        "--grouping_strategy", "max", "--calibration", "notes.txt", "--num_examples", "3",
        "--calibration_seq_len", "16", "--block_mlp_layer_start", "0", "--block_mlp_layer_end", "2",
        "--block_attention_layer_start", "4", "--block_attention_layer_end", "6", "--seed", "7",
        "--pruning_ratio", "0.3", "--save_ckpt_log_name", "mine", "--save_model", *ON_CPU,
    ) == 0  # fmt: skip
    record = json.loads(saved(here, "mine")["pruning.json"])
    assert record["plan"] == {
        "ratio": 0.3, "attention": [4, 6], "mlp": [0, 2], "importance": "taylor",
        "taylor": "vectorize", "grouping": "max", "examples": 3, "example_length": 16, "seed": 7,
    }  # fmt: skip
    calibration = record["calibration"]
    assert (calibration["source"], calibration["windows"], calibration["length"]) == (
        "notes.txt", 3, 16
    )  # fmt: skip
    assert {n: list(groups) for n, groups in record["layers"].items()} == {
        "0": ["mlp"], "1": ["mlp"], "4": ["attention"], "5": ["attention"]
    }  # fmt: skip
    # 0.3 × 20 channels, and of 4 KV heads 1.2.
    assert record["layers"]["0"]["mlp"]["removed_units"] == 6
    assert record["layers"]["4"]["attention"]["removed_units"] == 1


def test_the_language_can_be_chosen(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call("--base_model", NAME, *RANGES, *ON_CPU, "--lang", "en", "--pruning_ratio=0.1") == 0
    lines = capsys.readouterr().out.splitlines()
    assert "Pruning plan" in lines
    assert "Model not saved (add --save_model to save it)" in lines
    # 0.1 of 4 is nearest to none, and that is said.
    assert "Note: ratio 0.1 of 4 units rounds to none, so none is removed" in lines


def test_help_has_the_missions_command_and_every_option(
    capsys: pytest.CaptureFixture[str],
) -> None:
    for language, word in (("zh", "示例:"), ("en", "Example:")):
        assert call("--help", "--lang", language) == 0
        text = " ".join(capsys.readouterr().out.split())
        assert f"{word} python llama3.py --base_model models/SmolLM2-135M-Instruct" in text
        for option in (
            "base_model", "save_ckpt_log_name", "pruning_ratio", "pruner_type", "taylor",
            "grouping_strategy", "block_wise", "channel_wise", "layer_wise", "layer",
            "block_attention_layer_start", "block_attention_layer_end",
            "block_mlp_layer_start", "block_mlp_layer_end", "iterative_steps", "global_pruning",
            "num_examples", "calibration", "calibration_seq_len", "max_seq_len", "device",
            "eval_device", "test_before_train", "test_after_train", "temperature", "top_p", "seed",
            "save_model", "quiet", "lang", "help",
        ):  # fmt: skip
            assert re.search(rf"--{option}\b", text), option


def test_the_last_layer_of_a_small_model_stays_whole_by_default(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    base_model(tmp_path / "tiny")
    monkeypatch.chdir(tmp_path)
    assert call("--base_model", "tiny", "--pruner_type", "l2", *ON_CPU, "--lang", "en") == 0
    out = capsys.readouterr().out
    # Six layers, the first three of them left out too.
    assert "Attention of layers 3-4: 2 of 4 GQA groups" in out
    assert "MLP of layers 3-4: 10 of 20 channels" in out


# --- a terminal ---------------------------------------------------------------------------


def shown_on_a_terminal(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> str:
    """What a terminal at standard error shows of `llama3.py`."""
    master, slave = pty.openpty()
    shown: list[bytes] = []

    def read() -> None:
        # A terminal whose last writer has left is an error on Linux, an end elsewhere.
        try:
            while part := os.read(master, 4096):
                shown.append(part)
        except OSError:
            pass

    reader = threading.Thread(target=read)
    reader.start()
    monkeypatch.setenv("TERM", "xterm")
    with os.fdopen(slave, "w", encoding="utf-8") as terminal, monkeypatch.context() as patched:
        patched.setattr(sys, "stderr", terminal)
        assert call(*arguments) == 0
    reader.join(timeout=10)
    os.close(master)
    return b"".join(shown).decode("utf-8")


@pytest.mark.parametrize("measure", ["l2", "taylor"])
def test_a_bar_is_shown_on_a_terminal_unless_it_is_not_wanted(
    here: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    measure: str,
) -> None:
    few = ("--num_examples", "2") if measure == "taylor" else ()
    command = ("--base_model", NAME, *RANGES, "--pruner_type", measure, *few, *ON_CPU)
    shown = shown_on_a_terminal(monkeypatch, *command)
    beside_the_bar = capsys.readouterr().out
    # By l2 seven projections of four layers; by Taylor six layers forward, the loss, and five
    # backward: nothing is asked of the first.
    text, steps = {"l2": ("计算权重重要性", "28/28"), "taylor": ("逐层计算并评分", "12/12")}[
        measure
    ]
    assert text in shown
    assert steps in shown
    assert text not in beside_the_bar

    assert shown_on_a_terminal(monkeypatch, *command, "--quiet") == ""
    assert capsys.readouterr().out == beside_the_bar
    # Nor where standard error is no terminal.
    assert call(*command) == 0
    assert capsys.readouterr() == (beside_the_bar, "")


def test_an_interrupted_run_ends_with_130_and_writes_nothing(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupt(*arguments: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("prunescope.interop.hf_save.write_json", interrupt)
    before = contents(here)
    assert call("--base_model", NAME, *RANGES, *ON_CPU, "--save_model") == 130
    assert capsys.readouterr().err.split() == ["已中断"]
    assert contents(here) == before
    assert list((here / "prune_log").iterdir()) == []
