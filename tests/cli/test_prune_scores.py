"""Scores that are kept, reused and resumed, from the command line."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from prunescope.pruning.shelf import Shelf
from tests.support.prune_command import ON_CPU, RANGES, call, refused
from tests.support.scripts import ROOT, environment
from tests.support.trees import contents

NAME = "tiny"
TAYLOR = ("--base_model", NAME, *RANGES, "--pruner_type", "taylor", "--num_examples", "3", *ON_CPU)


def saved(folder: Path, name: str) -> dict[str, bytes]:
    return contents(folder / "prune_log" / name)


@pytest.mark.parametrize("measure", [("--taylor", "param_mix"), ("--pruner_type", "flap")])
def test_saved_scores_give_what_a_new_measurement_gives(
    here: Path, capsys: pytest.CaptureFixture[str], measure: tuple[str, ...]
) -> None:
    assert call(*TAYLOR, *measure, "--save_scores", "all.safetensors", "--seed", "7") == 0
    again = (*TAYLOR, *measure, "--save_model", "--pruning_ratio", "0.25")
    # Examples and seed are the file's.
    reused = ("--scores", "all.safetensors", "--num_examples", "9")
    capsys.readouterr()
    assert call(*again, *reused, "--save_ckpt_log_name", "reused") == 0
    assert "3 × 64" in capsys.readouterr().out
    assert call(*again, "--seed", "7", "--save_ckpt_log_name", "measured") == 0
    assert saved(here, "reused") == saved(here, "measured")


def test_an_interrupted_run_resumes(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put = Shelf.put

    def failing(self: Shelf, name: str, tensors: Any) -> None:
        if name == "gradient-3":
            raise KeyboardInterrupt
        put(self, name, tensors)

    command = (*TAYLOR, "--save_model", "--resume")
    with monkeypatch.context() as patched:
        patched.setattr(Shelf, "put", failing)
        assert call(*command) == 130
    progress = here / "prune_log" / ".llama_prune.progress"
    assert (progress / "backward-4.safetensors").is_file()
    assert call(*command) == 0
    assert not progress.exists()
    assert call(*TAYLOR, "--save_model", "--save_ckpt_log_name", "straight") == 0
    assert saved(here, "llama_prune") == saved(here, "straight")


def test_what_does_not_go_together_is_refused(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for options in (("--save_scores", "s"), ("--resume",)):
        cause = refused(here, capsys, *TAYLOR, "--scores", "gone", *options)
        assert cause == "--scores measures nothing that --save_scores or --resume could keep"
    for option in ("--scores", "--save_scores"):
        cause = refused(here, capsys, *TAYLOR, "--pruner_type", "random", option, "s")
        assert cause == "random importance has no scores to keep"


def test_a_place_that_scores_cannot_go_to_is_found_before_the_work(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    weights = f"{NAME}/model.safetensors"
    for place, cause in (
        ("none/all.safetensors", "cannot be written (no such folder)"),
        (weights, f"has weights of {NAME}: name another file"),
    ):
        assert refused(here, capsys, *TAYLOR, "--save_scores", place) == f"{place}: {cause}"


def test_a_wider_type_can_be_computed_in(here: Path) -> None:
    losses = []
    for dtype in ("float32", "bfloat16"):
        assert call(*TAYLOR, "--save_model", "--dtype", dtype) == 0
        record = json.loads(saved(here, "llama_prune")["pruning.json"])
        losses.append(record["calibration"]["loss"])
    assert losses[0] != losses[1]
    assert losses[0] == pytest.approx(losses[1], rel=1e-2)


def test_under_torchrun_the_first_process_alone_writes_and_speaks(here: Path) -> None:
    arguments = (*TAYLOR, "--save_model", "--resume", "--save_ckpt_log_name", "two")
    # What torchrun does, without its agent: the environment it gives to each process.
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    told = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    started = [
        subprocess.Popen(
            [sys.executable, ROOT / "llama3.py", *arguments],
            env=environment() | told | {"RANK": rank, "LOCAL_RANK": rank},
            stdout=subprocess.PIPE,
            text=True,
        )
        for rank in "01"
    ]
    outputs = [process.communicate(timeout=120)[0] for process in started]
    assert [process.returncode for process in started] == [0, 0]
    assert "prune_log/two" in outputs[0]
    assert outputs[1] == ""
    # Nor is anything left of the progress that each of them has kept.
    assert [entry.name for entry in (here / "prune_log").iterdir()] == ["two"]
    assert call(*TAYLOR, "--save_model", "--save_ckpt_log_name", "one") == 0
    one, two = (json.loads(saved(here, name)["pruning.json"])["layers"] for name in ("one", "two"))
    assert {n: g["mlp"]["kept"] for n, g in one.items()} == {
        n: g["mlp"]["kept"] for n, g in two.items()
    }
