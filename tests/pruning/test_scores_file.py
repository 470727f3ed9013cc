"""Saved scores serve another ratio, on the same model and by the same measure only."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from prunescope.architecture import Model
from prunescope.checkpoint.digest import model_digest
from prunescope.checkpoint.weights import WeightMap
from prunescope.errors import CheckpointError, PlanError, PrunescopeError
from prunescope.pruning.plan import PruningPlan
from prunescope.pruning.resolving import resolve
from prunescope.pruning.run import prune
from prunescope.pruning.scores_file import load_scores, save_scores
from prunescope.pruning.scoring import Computing, all_axes, axes_of, score
from tests.support.pruning import CALIBRATION, plan, prune_tiny
from tests.support.tiny import tiny_model

TAYLOR = plan("taylor")


@pytest.fixture
def model(tmp_path: Path) -> Model:
    return tiny_model(tmp_path / "model")


def saved(path: Path, model: Model, wanted: PruningPlan = TAYLOR) -> Path:
    calibration = CALIBRATION if wanted.is_calibrated else None
    with WeightMap() as weights:
        axes = all_axes(model)
        scores = score(model.checkpoint, axes, wanted, calibration, weights, Computing())
    record = calibration and calibration.record
    save_scores(path, scores, wanted, model.checkpoint, record)
    return path


def rewritten(path: Path, notes: dict[str, Any] | None = None, **tensors: torch.Tensor) -> Path:
    """The same file with other metadata (None removes one) or tensors."""
    with safe_open(path, "pt") as file:
        told = json.loads(file.metadata()["prunescope"])
    entry = {"prunescope": json.dumps(told | (notes or {}))}
    save_file(load_file(path) | tensors, path, entry)
    return path


def loaded(path: Path, model: Model, wanted: PruningPlan = TAYLOR) -> Any:
    return load_scores(path, wanted, model.checkpoint, axes_of(resolve(wanted, model)))


@pytest.mark.parametrize("importance", ["l1", "taylor", "wanda", "flap"])
def test_another_ratio_is_chosen_from_them_as_if_measured_anew(
    tmp_path: Path, model: Model, importance: str
) -> None:
    path = saved(tmp_path / "scores", model, plan(importance))
    other = plan(importance, ratio=0.25, grouping="max")
    targets = resolve(other, model)
    again = prune(model, other, targets, None, Computing(), scored=loaded(path, model, other))
    measured = prune_tiny(model, other)
    assert [cut.removed for cut in again.cuts] == [cut.removed for cut in measured.cuts]
    assert again.record == measured.record


def test_the_file_says_what_it_is(tmp_path: Path, model: Model) -> None:
    path = saved(tmp_path / "scores", model)
    with safe_open(path, "pt") as file:
        notes = json.loads(file.metadata()["prunescope"])
        assert file.get_tensor("model.norm.weight:0").shape == (24,)
    assert notes["measure"] == "taylor param_first"
    assert notes["model"] == model_digest(model.checkpoint)
    assert notes["calibration"]["sha256"] == CALIBRATION.digest
    assert notes["calibration"]["windows"] == 3
    scores, record = loaded(path, model)
    assert record == CALIBRATION.record
    assert scores.loss == notes["loss"]
    assert list(scores.influence) == [0, 1, 2, 3]


def test_those_of_another_model_are_refused(tmp_path: Path, model: Model) -> None:
    path = saved(tmp_path / "scores", model)
    # The second has been trained from the first: its headers are the same to the byte.
    for name, changes in {"wider": {"intermediate_size": 22}, "trained": {"seed": 1}}.items():
        with pytest.raises(PlanError, match="holds the scores of another model than"):
            loaded(path, tiny_model(tmp_path / name, **changes))


def test_those_of_another_measure_are_refused(tmp_path: Path, model: Model) -> None:
    path = saved(tmp_path / "scores", model)
    for wanted, name in (
        (plan("wanda"), "wanda"),
        (replace(TAYLOR, taylor="vectorize"), "taylor vectorize"),
    ):
        with pytest.raises(PlanError) as caught:
            loaded(path, model, wanted)
        assert str(caught.value) == f"{path}: was measured by taylor param_first, not by {name}"


def test_the_same_scores_are_the_same_bytes(tmp_path: Path, model: Model) -> None:
    written = {saved(tmp_path / str(n), model).read_bytes() for n in range(4)}
    assert len(written) == 1


def test_random_ones_are_not_kept(tmp_path: Path, model: Model) -> None:
    with pytest.raises(PlanError, match="random importance has no scores"):
        saved(tmp_path / "scores", model, plan("random"))
    assert not (tmp_path / "scores").exists()


NAME = "model.layers.0.mlp.up_proj.weight"
WORDS = CALIBRATION.record.as_dict() | {"windows": "3"}


@pytest.mark.parametrize(
    ("notes", "tensors", "cause"),
    [
        ({"layout": 9}, {}, "is of layout 9, not 1"),
        ({"loss": "low"}, {}, "its metadata are not those of scores"),
        ({"influence": [1]}, {}, "its metadata are not those of scores"),
        ({"calibration": {"source": "x"}}, {}, "its metadata are not those of scores"),
        ({"calibration": None}, {}, "its metadata are not those of scores"),
        ({"calibration": {}}, {}, "its metadata are not those of scores"),
        ({"calibration": 0}, {}, "its metadata are not those of scores"),
        ({"calibration": WORDS}, {}, "its metadata are not those of scores"),
        ({"loss": 10**400}, {}, "its metadata are not those of scores"),
        ({}, {f"{NAME}:2": torch.ones(20)}, "is no axis of the model"),
        ({}, {"stranger:0": torch.ones(20)}, "is no axis of the model"),
        ({}, {f"{NAME}:0": torch.ones(19)}, "is no float32 score of each index"),
        ({}, {f"{NAME}:0": torch.ones(20).double()}, "is no float32 score of each index"),
    ],
)
def test_what_does_not_fit_is_refused_in_one_line(
    tmp_path: Path, model: Model, notes: Any, tensors: Any, cause: str
) -> None:
    path = rewritten(saved(tmp_path / "scores", model), notes, **tensors)
    with pytest.raises(CheckpointError) as caught:
        loaded(path, model)
    assert str(caught.value).endswith(cause)
    assert "\n" not in str(caught.value)


def test_other_files_are_no_scores(tmp_path: Path, model: Model) -> None:
    other = tmp_path / "model" / "model.safetensors"
    with pytest.raises(CheckpointError, match="holds no scores of prunescope"):
        loaded(other, model)
    (tmp_path / "text").write_text("scores")
    for name in ("text", "gone"):
        with pytest.raises(PrunescopeError):
            loaded(tmp_path / name, model)


def test_a_row_that_is_needed_and_not_there_is_named(tmp_path: Path, model: Model) -> None:
    path = saved(tmp_path / "scores", model)
    with safe_open(path, "pt") as file:
        told = file.metadata()
    rows = load_file(path)
    del rows["model.layers.1.mlp.up_proj.weight:0"]
    save_file(rows, path, told)
    with pytest.raises(PlanError, match=r"has no scores of axis 0 of 'model\.layers\.1\.mlp\.up"):
        loaded(path, model)


@pytest.mark.parametrize("places", [[], [0, 1], [0, 1, 2, 4]], ids=str)
def test_every_layer_needs_its_influence(tmp_path: Path, model: Model, places: list[int]) -> None:
    wanted = plan(structure="layer", layers=2, depth_by="influence")
    path = saved(tmp_path / "scores", model, wanted)
    rewritten(path, {"influence": {str(place): 0.5 for place in places}})
    targets = resolve(wanted, model)
    with pytest.raises(PlanError, match="no scores for each of the layers"):
        prune(model, wanted, targets, None, Computing(), scored=loaded(path, model, wanted))
