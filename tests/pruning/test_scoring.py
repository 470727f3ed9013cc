"""Scores of a whole model against an ordinary backward pass of transformers' own model."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import AutoModelForCausalLM, PreTrainedModel

from prunescope.architecture import Model
from prunescope.checkpoint.weights import WeightMap
from prunescope.pruning import scoring
from prunescope.pruning.calibration import CalibrationSet, choose_windows
from prunescope.pruning.plan import PruningPlan, Target, resolve
from prunescope.pruning.scores import Scores
from prunescope.pruning.scoring import magnitude_scores, taylor_scores
from prunescope.pruning.selection import unit_scores
from tests.support.tiny import BIASES, tiny_folder, tiny_model

MODELS: dict[str, dict[str, Any]] = {
    "llama": {},
    "llama with biases": BIASES,
    "llama, tied": {"tie_word_embeddings": True},
    "llama without GQA": {"num_key_value_heads": 4},
    "mistral": {"family": "mistral"},
}
CALIBRATION = choose_windows(range(1, 300), 3, 16, 0, "made up")
# Elements of one row or column → its score.
RowScore = Callable[[Tensor, Tensor], float]
L1: RowScore = lambda w, g: w.abs().sum().item()  # noqa: E731
L2: RowScore = lambda w, g: (w * w).sum().item()  # noqa: E731
FORMS: dict[str, RowScore] = {
    "param_first": lambda w, g: (w * g).abs().sum().item(),
    "vectorize": lambda w, g: (w * g).sum().abs().item(),
}


def made(folder: Path, **changes: Any) -> tuple[Model, PreTrainedModel]:
    """The model in both worlds."""
    model = tiny_model(folder, **changes)
    return model, AutoModelForCausalLM.from_pretrained(folder).eval()


def plan(importance: str, **options: Any) -> PruningPlan:
    return PruningPlan(0.5, (1, 3), (1, 3), importance, **options)


@dataclass
class Measured:
    units: tuple[list[float], ...]
    loss: float | None


def taylor_of(
    model: Model,
    targets: tuple[Target, ...],
    calibration: CalibrationSet = CALIBRATION,
    **options: Any,
) -> Measured:
    wanted = plan("taylor", **options)
    with WeightMap() as weights:
        scores = taylor_scores(model, targets, weights, calibration, wanted, "cpu", lambda: None)
    return Measured(unit_scores(wanted, targets, scores), scores.loss)


def with_gradients(network: PreTrainedModel) -> float:
    """A plain backward pass; the loss."""
    ids = torch.tensor(CALIBRATION.windows)
    loss = network(input_ids=ids, labels=ids).loss
    loss.backward()
    return loss.item()


def units_by_hand(network: PreTrainedModel, target: Target, row: RowScore) -> list[float]:
    """The sum over a unit's rows, written out for each tensor of the layer."""
    layer, units = network.model.layers[target.group.layer], target.group.units
    if target.group.kind == "mlp":
        at_rows, at_columns = [layer.mlp.gate_proj, layer.mlp.up_proj], layer.mlp.down_proj
    else:
        block = layer.self_attn
        at_rows, at_columns = [block.q_proj, block.k_proj, block.v_proj], block.o_proj
    scores = [0.0] * units
    for linear in at_rows:
        parts = [linear.weight] if linear.bias is None else [linear.weight, linear.bias]
        for parameter in parts:
            width = len(parameter) // units
            for index in range(len(parameter)):
                grad = torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
                scores[index // width] += row(parameter[index], grad[index])
    weight = at_columns.weight
    grad = torch.zeros_like(weight) if weight.grad is None else weight.grad
    width = weight.shape[1] // units
    for index in range(weight.shape[1]):
        scores[index // width] += row(weight[:, index], grad[:, index])
    return scores


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", MODELS)
def test_taylor_is_that_of_a_full_backward_pass(tmp_path: Path, name: str, form: str) -> None:
    model, network = made(tmp_path, **MODELS[name])
    targets = resolve(plan("taylor"), model)
    scores = taylor_of(model, targets, taylor=form)
    assert scores.loss == pytest.approx(with_gradients(network), rel=1e-6)
    for target, units in zip(targets, scores.units, strict=True):
        assert units == pytest.approx(units_by_hand(network, target, FORMS[form]), rel=1e-5)


@pytest.mark.parametrize(("importance", "row"), [("l1", L1), ("l2", L2)])
@pytest.mark.parametrize("name", MODELS)
def test_magnitudes_are_those_of_the_weights(
    tmp_path: Path, name: str, importance: str, row: RowScore
) -> None:
    model, network = made(tmp_path, **MODELS[name])
    targets = resolve(plan(importance), model)
    ticks: list[None] = []
    with WeightMap() as weights:
        scores = magnitude_scores(
            targets, weights, plan(importance), "cpu", lambda: ticks.append(None)
        )
    assert scores.loss is None
    assert len(ticks) == len(targets)
    for target, units in zip(targets, unit_scores(plan(importance), targets, scores), strict=True):
        assert units == pytest.approx(units_by_hand(network, target, row), rel=1e-5)


def test_first_takes_the_scores_of_k_and_gate_alone(tmp_path: Path) -> None:
    model, network = made(tmp_path)
    targets = resolve(plan("taylor"), model)
    scores = taylor_of(model, targets, grouping="first")
    with_gradients(network)
    for target, units in zip(targets, scores.units, strict=True):
        layer = network.model.layers[target.group.layer]
        root = layer.self_attn.k_proj if target.group.kind == "attention" else layer.mlp.gate_proj
        rows = (root.weight * root.weight.grad).abs().sum(1)
        assert units == pytest.approx(rows.view(target.group.units, -1).sum(1).tolist(), rel=1e-5)


@pytest.mark.parametrize(
    ("stored", "computed", "tolerance"),
    # A bf16 model is computed as it is stored, a half-precision one in float32 on the CPU.
    [(torch.bfloat16, torch.bfloat16, 1e-2), (torch.float16, torch.float32, 1e-5)],
)
def test_narrow_weights_are_scored(
    tmp_path: Path, stored: torch.dtype, computed: torch.dtype, tolerance: float
) -> None:
    model = tiny_model(tmp_path, dtype=stored)
    targets = resolve(plan("taylor"), model)
    scores = taylor_of(model, targets)
    network = AutoModelForCausalLM.from_pretrained(tmp_path, dtype=computed)
    assert scores.loss == pytest.approx(with_gradients(network), rel=tolerance)
    network.float()
    for target, units in zip(targets, scores.units, strict=True):
        expected = units_by_hand(network, target, FORMS["param_first"])
        assert units == pytest.approx(expected, rel=tolerance)


def test_only_targets_have_gradients_and_each_is_freed_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = tiny_model(tmp_path)
    targets = resolve(plan("taylor"), model)
    seen: list[PreTrainedModel] = []
    assembled = scoring.as_stored

    def spy(*args: Any) -> PreTrainedModel:
        seen.append(assembled(*args))
        return seen[0]

    held: list[int] = []

    def count() -> None:
        held.append(sum(p.grad is not None for p in seen[0].parameters()))

    monkeypatch.setattr(scoring, "as_stored", spy)
    with WeightMap() as weights:
        taylor_scores(model, targets, weights, CALIBRATION, plan("taylor"), "cpu", count)
    # Layers 1 and 2, seven projections each; after each one's turn none has a gradient.
    assert held == [0] * 14
    parts = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
    assert {n for n, p in seen[0].named_parameters() if p.requires_grad} == {
        f"model.layers.{layer}.{'self_attn' if part[0] in 'qkvo' else 'mlp'}.{part}.weight"
        for layer in (1, 2)
        for part in parts
        if part != "o_proj" or part[0] == "o"
    }


def test_random_scores_follow_the_seed(tmp_path: Path) -> None:
    targets = resolve(plan("random"), tiny_model(tmp_path))
    first, again, other = (
        unit_scores(plan("random", seed=seed), targets, Scores({})) for seed in (1, 1, 2)
    )
    assert first == again
    assert all(a != b for a, b in zip(first, other, strict=True))
    # Layers are drawn one after the other, so that they do not lose the same channels.
    assert first[1] != first[3]
    assert [len(units) for units in first] == [2, 20, 2, 20]
    assert all(0 <= score < 1 for units in first for score in units)


def test_scores_are_the_same_each_time(tmp_path: Path) -> None:
    model = tiny_model(tiny_folder(tmp_path))
    targets = resolve(plan("taylor"), model)
    assert taylor_of(model, targets) == taylor_of(model, targets)


def test_other_calibration_gives_other_scores(tmp_path: Path) -> None:
    model = tiny_model(tmp_path)
    targets = resolve(plan("taylor"), model)
    other = CalibrationSet("x", CALIBRATION.windows[:1], "")
    assert taylor_of(model, targets, other).loss != taylor_of(model, targets).loss
