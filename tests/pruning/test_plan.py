"""A plan is held against the model before any work, and becomes whole numbers of units."""

from __future__ import annotations

import math
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prunescope.architecture import Model, describe
from prunescope.checkpoint import open_checkpoint
from prunescope.errors import ArchitectureError, PlanError
from prunescope.pruning.plan import PruningPlan
from prunescope.pruning.resolving import resolve
from tests.support.sparse import LlamaShape, Shapes, llama_shapes, write_model

TEN_CHANNELS = LlamaShape(6, 8, 10, 4, 2, 4, 32, tied=True)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    """Six layers of 2 GQA groups and 10 channels."""
    return described(tmp_path_factory.mktemp("model") / "m", TEN_CHANNELS)


def described(folder: Path, shape: LlamaShape, changes: Shapes | None = None) -> Model:
    return describe(
        open_checkpoint(write_model(folder, shape, llama_shapes(shape) | (changes or {})))
    )


def plan(ratio: float = 0.3, attention: tuple[int, int] = (0, 6), mlp: tuple[int, int] = (0, 6)):
    return PruningPlan(ratio, attention, mlp, "l2")


def removed(folder: Path, ratio: float, channels: int) -> int:
    """How many of `channels` go, in the only layer of a model with heads enough for any ratio."""
    model = described(folder, LlamaShape(1, 4, channels, 1000, 1000, 1, 32, tied=True))
    targets = resolve(plan(ratio, (0, 1), (0, 1)), model)
    return next(t.remove for t in targets if t.group.kind == "mlp")


@pytest.mark.parametrize("ratio", [-0.1, -1e-9, 1, 1.0, 1.5, math.nan, math.inf, -math.inf])
def test_a_ratio_outside_0_to_1_is_refused(model: Model, ratio: float) -> None:
    with pytest.raises(PlanError, match=r"pruning ratio \S+ is not in \[0, 1\)"):
        resolve(plan(ratio), model)


@pytest.mark.parametrize("kind", ["attention", "mlp"])
@pytest.mark.parametrize("bounds", [(3, 3), (4, 3), (0, 0)])
def test_an_empty_range_is_refused(model: Model, kind: str, bounds: tuple[int, int]) -> None:
    with pytest.raises(PlanError) as caught:
        resolve(plan(**{kind: bounds}), model)
    start, end = bounds
    assert str(caught.value) == (
        f"{kind} layer range {start}..{end} (half open) is empty "
        f"(set --block_{kind}_layer_start and --block_{kind}_layer_end)"
    )


@pytest.mark.parametrize("kind", ["attention", "mlp"])
@pytest.mark.parametrize("bounds", [(0, 7), (6, 7), (5, 100), (-1, 3)])
def test_a_range_past_the_model_is_refused(
    model: Model, kind: str, bounds: tuple[int, int]
) -> None:
    with pytest.raises(PlanError) as caught:
        resolve(plan(**{kind: bounds}), model)
    start, end = bounds
    assert str(caught.value) == (
        f"{kind} layer range {start}..{end} (half open) goes past the model's 6 layers: 0..5 "
        f"(set --block_{kind}_layer_start and --block_{kind}_layer_end)"
    )


def test_a_range_may_end_with_the_last_layer(model: Model) -> None:
    assert len(resolve(plan(attention=(0, 6), mlp=(5, 6)), model)) == 7


def test_the_two_ranges_are_half_open_and_independent(model: Model) -> None:
    targets = resolve(plan(0.5, attention=(1, 3), mlp=(2, 4)), model)
    assert [(t.group.layer, t.group.kind, t.remove) for t in targets] == [
        (1, "attention", 1),
        (2, "attention", 1),
        (2, "mlp", 5),
        (3, "mlp", 5),
    ]


@pytest.mark.parametrize(
    ("ratio", "units", "expected"),
    [
        (0.3, 10, 3),  # 3.0 as written; 0.3 as a binary fraction is a little less
        (0.25, 8, 2),  # 2.0
        (0.25, 1536, 384),  # SmolLM2's channels
        (0.25, 14336, 3584),  # Llama-3-8B's
        (0.25, 2, 0),  # 0.5: of 0 and 1 the fewer
        (0.25, 6, 1),  # 1.5: of 1 and 2 the fewer
        (0.35, 10, 3),  # 3.5: of 3 and 4 the fewer
        (0.15, 10, 1),  # 1.5
        (0.26, 6, 2),  # 1.56
        (0.24, 6, 1),  # 1.44
        (0.34, 3, 1),  # 1.02
        (0.1, 4, 0),  # 0.4
        (0, 4, 0),
        (1e-05, 10, 0),  # written with an exponent
        (0.875, 4, 3),  # 3.5: of 3 and 4 the fewer, which leaves one
    ],
)
def test_the_nearest_whole_number_goes(
    tmp_path: Path, ratio: float, units: int, expected: int
) -> None:
    assert removed(tmp_path / "m", ratio, units) == expected


@given(hundredths=st.integers(0, 99), units=st.integers(1, 500))
def test_no_other_number_is_nearer_and_a_tie_goes_to_the_fewer(
    tmp_path_factory: pytest.TempPathFactory, hundredths: int, units: int
) -> None:
    exact = Fraction(hundredths * units, 100)
    # The definition by exhaustion: nearest first, of two as near the smaller.
    expected = min(range(units + 1), key=lambda n: (abs(n - exact), n))
    folder = tmp_path_factory.mktemp("m") / "m"
    if expected < units:
        assert removed(folder, hundredths / 100, units) == expected
    else:
        with pytest.raises(PlanError, match="would remove all"):
            removed(folder, hundredths / 100, units)


def test_a_ratio_that_leaves_a_layer_nothing_is_refused(model: Model) -> None:
    # 0.8 × 2 = 1.6, so both GQA groups would go.
    with pytest.raises(PlanError) as caught:
        resolve(plan(0.8), model)
    assert str(caught.value) == (
        "ratio 0.8 would remove all 2 attention units of layer 0: take a smaller ratio"
    )


def test_taylor_needs_something_to_predict(model: Model) -> None:
    for examples, length in ((0, 64), (10, 1)):
        taylor = PruningPlan(
            0.3, (0, 6), (0, 6), "taylor", examples=examples, example_length=length
        )
        with pytest.raises(PlanError, match="at least 1 example of at least 2 tokens"):
            resolve(taylor, model)


def test_a_flaw_in_a_layer_that_is_not_pruned_is_found_before_the_work(tmp_path: Path) -> None:
    flawed = described(tmp_path / "m", TEN_CHANNELS, {"model.layers.5.mlp.up_proj.weight": (9, 8)})
    with pytest.raises(ArchitectureError, match="layer 5"):
        resolve(plan(attention=(0, 2), mlp=(0, 2)), flawed)


def test_the_record_of_a_plan_leaves_out_what_the_measure_does_not_use() -> None:
    base = {"ratio": 0.3, "attention": (0, 6), "mlp": (0, 6), "seed": 42}
    taylor = {"taylor": "param_first", "examples": 10, "example_length": 64}
    ranges = (0, 6), (0, 6)
    assert PruningPlan(0.3, *ranges, "random").as_dict() == base | {"importance": "random"}
    assert PruningPlan(0.3, *ranges, "l1").as_dict() == (
        base | {"importance": "l1", "grouping": "sum"}
    )
    assert PruningPlan(0.3, *ranges).as_dict() == (
        base | {"importance": "taylor", "grouping": "sum"} | taylor
    )
