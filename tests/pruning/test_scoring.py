"""Scores of a whole model against an ordinary backward pass of transformers' own model."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import AutoModelForCausalLM, PreTrainedModel

from prunescope.architecture import Model
from prunescope.checkpoint import open_checkpoint
from prunescope.checkpoint.weights import WeightMap
from prunescope.errors import PlanError
from prunescope.pruning.calibration import CalibrationSet, choose_windows
from prunescope.pruning.groups import hidden_group
from prunescope.pruning.plan import Importance, PruningPlan
from prunescope.pruning.resolving import resolve
from prunescope.pruning.scores import Scores
from prunescope.pruning.scoring import (
    Computing,
    all_axes,
    axes_of,
    default_dtype,
    score,
)
from prunescope.pruning.selection import unit_scores
from prunescope.pruning.targets import Target
from prunescope.steps import Progress, silent
from tests.support.tiny import BIASES, tiny_folder, tiny_model, tiny_network

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
    scores = measured(model, targets, wanted, calibration)
    return Measured(unit_scores(wanted, targets, scores), scores.loss)


def measured(
    model: Model,
    targets: tuple[Target, ...],
    wanted: PruningPlan,
    calibration: CalibrationSet | None = None,
    progress: Progress = silent,
) -> Scores:
    axes = axes_of(targets)
    with WeightMap() as weights:
        return score(model.checkpoint, axes, wanted, calibration, weights, Computing(), progress)


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
    steps: list[int] = []
    ticks: list[None] = []

    @contextmanager
    def counted(number: int) -> Iterator[Callable[[], None]]:
        steps.append(number)
        yield lambda: ticks.append(None)

    scores = measured(model, targets, plan(importance), progress=counted)
    assert scores.loss is None
    assert steps == [len(ticks)] == [len(axes_of(targets))]
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


def test_all_that_any_plan_may_cut_is_every_axis_but_the_vocabularys(tmp_path: Path) -> None:
    axes = all_axes(tiny_model(tmp_path, **BIASES))
    assert axes["model.embed_tokens.weight"] == axes["lm_head.weight"] == {1}
    assert axes["model.norm.weight"] == axes["model.layers.3.self_attn.q_proj.bias"] == {0}
    assert axes["model.layers.0.mlp.down_proj.weight"] == {0, 1}
    # Seven matrices, seven biases and two norms of four layers, and three outside.
    assert len(axes) == 4 * 16 + 3


def test_products_keep_what_tells_units_apart(tmp_path: Path) -> None:
    group = hidden_group(tiny_model(tmp_path))
    # Nine tensors of each of four layers, embedding, head and last norm.
    assert len(group.members) == 4 * 9 + 3

    def products(last: float, rest: float) -> list[float]:
        row = torch.full((24,), rest)
        row[-1] = last
        return Scores({(m.tensor.name, m.axis): row for m in group.members}).of(group, "prod")

    # In float32, which ends at 1e-45 and 3e38, all would be alike.
    for last, rest in ((0.011, 0.01), (1100.0, 1000.0)):
        *others, greatest = products(last, rest)
        assert greatest == pytest.approx(last**39, rel=1e-5)
        assert others == pytest.approx([rest**39] * 23, rel=1e-5)
    assert products(0.0, 0.01)[-1] == 0
    assert math.isnan(products(math.nan, 0.01)[-1])
    for beyond in (1e-9, 1e9):
        with pytest.raises(PlanError) as caught:
            products(beyond, beyond)
        assert str(caught.value) == (
            "the products of 39 hidden scores are beyond float64: "
            "take another --grouping_strategy than prod"
        )


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


@pytest.mark.parametrize(
    ("stored", "device", "importance", "expected"),
    [
        (torch.float16, "cpu", "taylor", torch.float32),
        (torch.float16, "cuda", "taylor", torch.bfloat16),
        (torch.float16, "cuda", "wanda", torch.float16),
        (torch.bfloat16, "cuda", "taylor", torch.bfloat16),
        (torch.float32, "cuda", "taylor", torch.float32),
    ],
)
def test_gradients_are_not_computed_in_float16(
    tmp_path: Path, stored: torch.dtype, device: str, importance: Importance, expected: torch.dtype
) -> None:
    checkpoint = open_checkpoint(tiny_folder(tmp_path, tiny_network(dtype=stored)))
    assert default_dtype(checkpoint, device, importance) == expected
