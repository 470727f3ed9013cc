"""A run goes on from the last checkpoint that is whole; what is damaged runs nothing."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from prunescope.data.sources import Documents
from prunescope.errors import CheckpointError
from prunescope.recovery.blocks import Blocks, blocks_of
from prunescope.recovery.checkpoints import last_whole
from prunescope.recovery.plan import RecoveryPlan
from prunescope.recovery.run import recover
from tests.recovery.test_recovery import stopping
from tests.support.pruning import described
from tests.support.tiny import tiny_folder

PLAN = RecoveryPlan(max_steps=5, batch=2, micro_batch=2, cutoff=16, warmup=0, save_every=2)
TEXT = Documents("made up", ("the quick brown fox jumps over the lazy dog. " * 20,), "\n\n")


class Hostile:
    """A pickle that makes a folder called `pwned` where it is loaded."""

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, ("pwned",)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_folder(tmp_path_factory.mktemp("base") / "m")


@pytest.fixture(scope="module")
def blocks(model: Path) -> Blocks:
    return blocks_of(described(model), TEXT, PLAN.cutoff)


@pytest.fixture(scope="module")
def begun(model: Path, blocks: Blocks, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The work of a run that was killed before it had removed the last checkpoint but one."""
    folder = tmp_path_factory.mktemp("begun")
    for name, stop in (("two", 4), ("four", 5)):
        with suppress(KeyboardInterrupt):
            recover(
                described(model), PLAN, blocks, folder / name,
                progress=lambda n, stop=stop: stopping(n, stop),
            )  # fmt: skip
    work = folder / "four" / "recovery"
    (folder / "two" / "recovery" / "checkpoint-2").rename(work / "checkpoint-2")
    assert {p.name for p in work.iterdir()} == {"checkpoint-2", "checkpoint-4", "settings.json"}
    return work


@pytest.fixture
def work(begun: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return shutil.copytree(begun, tmp_path / "out" / "recovery")


def found(work: Path) -> tuple[int, list[str]]:
    """The step that is gone on from, and what is said of others."""
    stored = load_file(work / "checkpoint-2" / "adapter_model.safetensors")
    told: list[str] = []
    folder, step = last_whole(
        work,
        {name: tuple(tensor.shape) for name, tensor in stored.items()},
        lambda err, path: told.append(f"{Path(err.path).name}: {err.cause} -> {path.name}"),
    )
    assert folder == work / f"checkpoint-{step}"
    return step, told


def cut_short(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def hostile(path: Path) -> None:
    torch.save({"state": Hostile()}, path)


def edited(**values: Any) -> Callable[[Path], None]:
    def edit(path: Path) -> None:
        path.write_text(json.dumps(json.loads(path.read_text("utf-8")) | values), "utf-8")

    return edit


def less_one(path: Path) -> None:
    tensors = load_file(path)
    tensors.popitem()
    save_file(tensors, path)


def test_the_last_one_is_taken_where_it_is_whole(work: Path) -> None:
    (work / "checkpoint-x").mkdir()
    assert found(work) == (4, [])


@pytest.mark.parametrize(
    ("name", "damage", "cause"),
    [
        ("trainer_state.json", Path.unlink, "cannot be read (No such file or directory)"),
        ("trainer_state.json", cut_short, "the state of the training is not JSON ("),
        ("trainer_state.json", edited(global_step=3), "is not the state after step 4"),
        ("trainer_state.json", edited(log_history=[]), "is not the state after step 4"),
        ("trainer_state.json", edited(log_history=[{"loss": "x"}] * 4), "is not the state after"),
        ("adapter_model.safetensors", Path.unlink, "cannot be read (No such file or directory)"),
        ("adapter_model.safetensors", cut_short, "truncated inside tensor "),
        ("adapter_model.safetensors", less_one, "holds other adapters than this run trains"),
        *(
            (name, damage, cause)
            for name in ("optimizer.pt", "scheduler.pt", "rng_state.pth")
            for damage, cause in (
                (Path.unlink, "no such file"),
                (cut_short, "cannot be loaded ("),
                (hostile, "cannot be loaded (Weights only load failed. "),
            )
        ),
    ],
)
def test_else_the_one_before_it_and_that_is_said(
    work: Path, tmp_path: Path, name: str, damage: Callable[[Path], None], cause: str
) -> None:
    damage(work / "checkpoint-4" / name)
    step, (told,) = found(work)
    assert step == 2
    assert told.startswith(f"{name}: {cause}")
    assert told.endswith(" -> checkpoint-2")
    assert not (tmp_path / "pwned").exists()


def test_without_one_that_is_whole_the_last_ones_damage_is_the_error(work: Path) -> None:
    cut_short(work / "checkpoint-2" / "optimizer.pt")
    (work / "checkpoint-4" / "trainer_state.json").unlink()
    with pytest.raises(CheckpointError, match=r"checkpoint-4/trainer_state.json: cannot be read"):
        found(work)


def test_the_run_then_ends_as_the_uninterrupted_one(
    model: Path, blocks: Blocks, work: Path, tmp_path: Path
) -> None:
    whole = recover(described(model), PLAN, blocks, tmp_path / "whole")
    cut_short(work / "checkpoint-4" / "optimizer.pt")
    told: list[Path] = []
    resumed = recover(
        described(model), PLAN, blocks, tmp_path / "out", is_resumed=True,
        damaged=lambda err, path: told.append(path),
    )  # fmt: skip
    assert told == [work / "checkpoint-2"]
    assert resumed == whole


@pytest.mark.parametrize(
    ("name", "damage"),
    [
        ("optimizer.pt", lambda path: torch.save({"state": {}, "param_groups": []}, path)),
        ("scheduler.pt", lambda path: torch.save([1], path)),
        ("rng_state.pth", lambda path: torch.save({"python": 0}, path)),
        ("trainer_state.json", edited(spell="x")),
    ],
)
def test_what_holds_other_things_than_it_should_is_one_line(
    model: Path, blocks: Blocks, work: Path, name: str, damage: Callable[[Path], None]
) -> None:
    damage(work / "checkpoint-4" / name)
    with pytest.raises(CheckpointError, match=r"checkpoint-4: cannot be resumed from \("):
        recover(described(model), PLAN, blocks, work.parent, is_resumed=True)
