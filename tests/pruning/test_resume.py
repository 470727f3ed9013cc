"""A pass that was interrupted goes on from its last finished step, to the same scores."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from prunescope.checkpoint import Checkpoint
from prunescope.errors import PrunescopeError
from prunescope.pruning.resolving import resolve
from prunescope.pruning.run import prune
from prunescope.pruning.scores import Scores
from prunescope.pruning.scoring import Computing, forget_progress
from prunescope.pruning.shelf import Shelf
from prunescope.pruning.streaming import Pass
from tests.support.pruning import CALIBRATION as PRUNING_CALIBRATION
from tests.support.pruning import plan as pruning_plan
from tests.support.pruning import prune_tiny
from tests.support.streams import family, plan, scores_of, stored
from tests.support.tiny import tiny_model

UP = "0 model.layers.3.mlp.up_proj.weight"


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    return stored(tmp_path_factory.mktemp("model"), family("qwen2"))


class Killed(BaseException):
    """What no handler catches."""


def same(first: Scores, second: Scores) -> bool:
    return (
        (first.loss, first.influence) == (second.loss, second.influence)
        and set(first.rows) == set(second.rows)
        and all(torch.equal(row, second.rows[key]) for key, row in first.rows.items())
    )


def edit(path: Path, key: str, change: Callable[[Tensor], Tensor]) -> None:
    """Change one tensor of an entry."""
    found = load_file(path)
    save_file(found | {key: change(found[key]).contiguous()}, path)


def interrupted(
    checkpoint: Checkpoint, wanted: Any, work: Path, puts: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A pass that is killed when it is about to keep something for the `puts`th time."""
    put, done = Shelf.put, [0]

    def failing(self: Shelf, name: str, tensors: Any) -> None:
        done[0] += 1
        if done[0] == puts:
            raise Killed
        put(self, name, tensors)

    with monkeypatch.context() as patched:
        patched.setattr(Shelf, "put", failing)
        with pytest.raises(Killed):
            scores_of(checkpoint, wanted, work=work)


# Entries are: what enters the first layer, then two for each of 4 layers, the loss and 4 layers
# back, then the embedding's.
@pytest.mark.parametrize(
    ("importance", "form", "puts"),
    [
        *[("taylor", "param_first", puts) for puts in (1, 2, 5, 9, 10, 11, 13, 19, 20)],
        ("taylor", "param_mix", 14),
        *[("wanda", "param_first", puts) for puts in (2, 7, 11)],
    ],
)
def test_wherever_it_is_killed_it_ends_with_the_same_bits(
    checkpoint: Checkpoint,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    importance: str,
    form: str,
    puts: int,
) -> None:
    wanted = plan(importance, form)
    interrupted(checkpoint, wanted, tmp_path / "work", puts, monkeypatch)
    assert same(
        scores_of(checkpoint, wanted, work=tmp_path / "work"), scores_of(checkpoint, wanted)
    )


def test_what_is_done_is_not_done_again(
    checkpoint: Checkpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Killed when the scores of layer 2 are there and the gradient before it is not.
    interrupted(checkpoint, plan("taylor"), tmp_path / "work", 15, monkeypatch)
    again: list[tuple[str, int]] = []
    steps = {"forward": Pass._forward, "backward": Pass._backward}
    for step, do in steps.items():

        def spy(self: Pass, number: int, name: str = step, do: Any = do) -> None:
            again.append((name, number))
            do(self, number)

        monkeypatch.setattr(Pass, f"_{step}", spy)
    scores_of(checkpoint, plan("taylor"), work=tmp_path / "work")
    assert again == [("backward", number) for number in (2, 1, 0)]


def test_progress_of_another_pass_is_not_used(
    checkpoint: Checkpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    interrupted(checkpoint, plan("taylor"), tmp_path / "work", 15, monkeypatch)
    other = plan("taylor", "vectorize")
    assert same(scores_of(checkpoint, other, work=tmp_path / "work"), scores_of(checkpoint, other))


def test_progress_of_a_model_of_the_same_shapes_is_not_used(
    checkpoint: Checkpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    interrupted(checkpoint, plan("taylor"), tmp_path / "work", 15, monkeypatch)
    trained = family("qwen2")
    with torch.no_grad():
        for parameter in trained.parameters():
            parameter.mul_(1.1)
    other = stored(tmp_path / "other", trained)
    assert same(
        scores_of(other, plan("taylor"), work=tmp_path / "work"), scores_of(other, plan("taylor"))
    )


def test_an_interrupted_step_goes_on_where_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = tiny_model(tmp_path / "model")
    wanted = pruning_plan("taylor", steps=2)
    targets, computing = resolve(wanted, model), Computing(work=tmp_path / "work")
    backward, again = Pass._backward, [0]

    def spy(self: Pass, number: int) -> None:
        again[0] += 1
        # Each step goes back through layers 3, 2 and 1: this is the last of the second.
        if again[0] == 6:
            raise Killed
        backward(self, number)

    monkeypatch.setattr(Pass, "_backward", spy)
    with pytest.raises(Killed):
        prune(model, wanted, targets, PRUNING_CALIBRATION, computing)
    again[0] = 10
    resumed = prune(model, wanted, targets, PRUNING_CALIBRATION, computing)
    assert again[0] == 11
    assert resumed.record == prune_tiny(model, wanted).record
    # Of what was chosen in the first step another plan must know nothing.
    other = pruning_plan("taylor", steps=2, grouping="max")
    found = prune(model, other, resolve(other, model), PRUNING_CALIBRATION, computing)
    assert found.record == prune_tiny(model, other).record
    assert sorted(entry.name for entry in tmp_path.glob("work*")) == ["work", "work.2"]
    forget_progress(computing)
    assert not list(tmp_path.glob("work*"))


def test_a_folder_with_other_files_is_left_alone(checkpoint: Checkpoint, tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(PrunescopeError, match="holds other files"):
        scores_of(checkpoint, plan("taylor"), work=tmp_path)
    forget_progress(Computing(work=tmp_path))
    assert [entry.name for entry in tmp_path.iterdir()] == ["thesis.txt"]


def test_progress_is_forgotten_once_it_has_served(checkpoint: Checkpoint, tmp_path: Path) -> None:
    scores_of(checkpoint, plan("taylor"), work=tmp_path / "work")
    assert (tmp_path / "work").is_dir()
    forget_progress(Computing(work=tmp_path / "work"))
    assert not (tmp_path / "work").exists()


@pytest.mark.parametrize(
    ("name", "damage", "cause"),
    [
        ("forward-2", lambda path: os.truncate(path, 60), "remove "),
        ("forward-1", Path.unlink, "progress has lost forward-1: remove that folder to begin "),
        ("backward-3", Path.unlink, "progress has lost backward-3: "),
        ("exit-4", Path.unlink, "progress has lost exit-4: "),
        ("gradient-0", lambda path: save_file({}, path), "progress has lost backward-0: "),
        ("input-2", lambda path: save_file({"0": torch.ones(3)}, path), "progress input-2 is of "),
        ("gradient-3", lambda path: save_file({"x": torch.ones(3)}, path), "progress gradient-3 "),
        ("backward-3", lambda path: save_file({"1 x": torch.ones(3)}, path), "progress holds "),
        ("forward-0", lambda path: save_file({"x": torch.ones(3)}, path), "progress holds other"),
        ("exit-4", lambda path: edit(path, "loss", lambda _: torch.ones(2)), "progress holds "),
        ("forward-2", lambda path: edit(path, "turned", lambda row: row[:1]), "progress holds "),
        ("backward-3", lambda path: edit(path, UP, lambda row: row[:-1]), "progress holds other"),
        ("backward-3", lambda path: edit(path, UP, lambda row: row.repeat(2)), "progress holds "),
        ("backward-3", lambda path: edit(path, UP, lambda row: row[None]), "progress holds other"),
        ("backward-3", lambda path: edit(path, UP, lambda row: row.long()), "progress holds other"),
        ("backward-3", lambda path: save_file({"1" * 5000: torch.ones(1)}, path), "progress hold"),
    ],
)  # fmt: skip
def test_damaged_progress_is_one_line(
    checkpoint: Checkpoint,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    damage: Any,
    cause: str,
) -> None:
    # Killed when the scores of layer 2 are there and the gradient before it is not.
    interrupted(checkpoint, plan("taylor"), tmp_path / "work", 15, monkeypatch)
    damage(tmp_path / "work" / f"{name}.safetensors")
    with pytest.raises(PrunescopeError) as caught:
        scores_of(checkpoint, plan("taylor"), work=tmp_path / "work")
    assert cause in str(caught.value)
    assert str(caught.value).startswith(str(tmp_path / "work"))
