"""`prunescope recover` as a user runs it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.support.commands import prunescope
from tests.support.pruning import described, plan, prune_tiny
from tests.support.tiny import tiny_folder

FEW = ("--cutoff=32", "--batch-size=8", "--epochs=1", "--learning-rate=0.01", "--device=cpu")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("recover")
    prune_tiny(described(tiny_folder(folder / "m")), plan()).save(folder / "out")
    (folder / "text.txt").write_text("the quick brown fox jumps over the lazy dog. " * 60, "utf-8")
    (folder / "empty.jsonl").touch()
    return folder


def test_what_it_writes_is_a_model_for_all_other_commands(folder: Path) -> None:
    done = prunescope(
        "recover", "out", "--output=new", "--text=text.txt", "--teacher=m", *FEW, cwd=folder
    )
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert lines[1] == "Recovery plan"
    assert "Teacher: m, temperature 2, weight 0.5" in lines
    assert lines[-1] == "Recovered model saved to new"
    for command in (("verify", "m", "new"), ("analyze", "m", "new"), ("size", "new")):
        assert prunescope(*command, cwd=folder).returncode == 0, command


def test_json_is_all_that_it_prints(folder: Path) -> None:
    done = prunescope(
        "recover", "out", "--output=again", "--text=text.txt", "--max-steps=2", "--json", *FEW,
        "--batch-size=6", cwd=folder,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    found = json.loads(done.stdout)
    assert (found["schema"], found["steps"]) == ("prunescope.recovery/1", 2)
    assert found["plan"]["learning_rate"] == 0.01
    assert (found["plan"]["batch"], found["plan"]["micro_batch"]) == (6, 3)
    assert found["text"]["source"] == "text.txt"


@pytest.mark.parametrize(
    ("arguments", "cause"),
    [
        (("--text=empty.jsonl",), "empty.jsonl: has no text"),
        (("--text=text.txt", "--cutoff=90000"), "text.txt: the text has "),
        (("--resume",), "x: has no checkpoint to resume from"),
        (
            ("--batch-size=6", "--micro-batch-size=4"),
            "a batch of 6 is no whole number of micro batches of 4",
        ),
        (("--learning-rate=nan",), "Invalid value for '--learning-rate': nan is no finite number"),
        (("--lora-targets=q_proj, wq",), "targets 'q_proj,wq' are not among"),
        (("--teacher=nowhere",), "nowhere: "),
        (("--distill-weight=0.5",), "--distill-weight belongs to --teacher"),
        (("--distill-temperature=1",), "--distill-temperature belongs to --teacher"),
    ],
)
def test_what_cannot_be_done_ends_in_one_line(
    folder: Path, arguments: tuple[str, ...], cause: str
) -> None:
    done = prunescope("recover", "out", "--output=x", *arguments, cwd=folder)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"error: {cause}")
    assert done.stderr.count("\n") == 1
    assert not (folder / "x").exists()
