"""What is left is known from shapes alone, and a budget is met to the last unit."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from pathlib import Path

import pytest
import transformers

from prunescope.analysis.cost import cost
from prunescope.analysis.workload import Workload
from prunescope.architecture import Model, describe
from prunescope.checkpoint import open_checkpoint
from prunescope.errors import PlanError
from prunescope.pruning.budget import Budget, parse_bytes, parse_count
from prunescope.pruning.plan import PruningPlan
from prunescope.pruning.planned import planned, planned_parameters
from prunescope.pruning.resolving import resolve
from prunescope.pruning.targets import Target, portion
from tests.support.sparse import LLAMA_3_8B, TINYLLAMA, LlamaShape, llama_shapes, write_model
from tests.support.tiny import SHAPE, tiny_model


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Model]:
    """True headers, holes for weights."""
    folder = tmp_path_factory.mktemp("models")

    def made(name: str, shape: LlamaShape) -> Model:
        return describe(open_checkpoint(write_model(folder / name, shape, llama_shapes(shape))))

    return {"llama": made("llama", LLAMA_3_8B), "tinyllama": made("tinyllama", TINYLLAMA)}


def plan(start: int, end: int, ratio: float = 0.25, **options: object) -> PruningPlan:
    return PruningPlan(ratio, (start, end), (start, end), "l2", **options)


@pytest.mark.parametrize(
    ("name", "wanted", "parameters"),
    [
        # What LLM-Pruner publishes of its own runs.
        ("llama", plan(4, 30), 6_612_586_496),
        ("tinyllama", plan(4, 18), 945_907_712),
        # 27 layers lose 2 KV heads, the 2 query heads of the same numbers, and 3,584 channels:
        # (2 × 256 + 2 × 256 + 3 × 3,584) × 4,096 = 48,234,496 parameters in each.
        ("llama", plan(3, 30, gqa="naive"), 8_030_261_248 - 27 * 48_234_496),
        # 8 query heads and no KV head: (2 × 1,024 + 3 × 3,584) × 4,096 in each layer.
        ("llama", plan(3, 30, gqa="query"), 8_030_261_248 - 27 * 12_800 * 4_096),
        # A quarter of 4,096 is gone from every parameter: all of them have one hidden axis.
        ("llama", plan(3, 30, structure="channel"), 8_030_261_248 * 3 // 4),
        # 12 layers of 218,112,000, embeddings and head of 128,256 × 4,096, and the last norm.
        (
            "llama",
            plan(3, 30, structure="layer", layers=12),
            12 * 218_112_000 + 2 * 128_256 * 4_096 + 4_096,
        ),
        # As many units in all as without the ranking across layers.
        ("llama", plan(3, 30, everywhere=True), 8_030_261_248 - 27 * 54_525_952),
        # 0.2 × 14,336 = 2,867 is nearest to 45 × 64 = 2,880; of 8 KV heads 2 go.
        (
            "llama",
            plan(3, 30, 0.2, round_to=64),
            8_030_261_248 - 27 * ((2 * 1_024 + 2 * 256) + 3 * 2_880) * 4_096,
        ),
        (
            "llama",
            plan(3, 30, layer_ratios={3: {"mlp": 0.5}, 31: {"attention": 0.125}}),
            8_030_261_248 - (3 * 7_168 + 2 * 512 + 2 * 128) * 4_096,
        ),
    ],
)
def test_planned_parameters(
    models: dict[str, Model], name: str, wanted: PruningPlan, parameters: int
) -> None:
    assert planned_parameters(models[name], resolve(wanted, models[name])) == parameters


def needed(model: Model, targets: tuple[Target, ...], budget: Budget) -> int:
    left = planned(model, targets)
    if budget.of == "memory":
        return cost(left, Workload(budget.context, budget.batch)).memory
    return left.parameters


BUDGETS = {
    "sparsity": (Budget("sparsity", 0.1622), int(1_100_048_384 * (1 - 0.1622))),
    "parameters": (Budget("parameters", 9e8), 900_000_000),
    "memory": (Budget("memory", 2 << 30, batch=16, context=2048), 2 << 30),
}


@pytest.mark.parametrize("name", BUDGETS)
@pytest.mark.parametrize("options", [{}, {"gqa": "query"}, {"round_to": 64}], ids=str)
def test_a_budget_is_met_and_no_unit_could_stay(
    models: dict[str, Model], name: str, options: dict[str, object]
) -> None:
    budget, limit = BUDGETS[name]
    model = models["tinyllama"]
    targets = resolve(plan(3, 20, budget=budget, **options), model)
    assert needed(model, targets, budget) <= limit
    for n, target in enumerate(targets):
        choices = list(target.choices)
        assert target.remove in choices
        if target.remove and n % 9 == 0:
            fewer = replace(target, remove=choices[choices.index(target.remove) - 1])
            assert needed(model, (*targets[:n], fewer, *targets[n + 1 :]), budget) > limit
    # Evenly: within a kind two neighbouring numbers at most.
    removed: dict[str, set[int]] = defaultdict(set)
    for target in targets:
        removed[target.group.kind].add(list(target.choices).index(target.remove))
    assert all(max(counts) - min(counts) <= 1 for counts in removed.values())


@pytest.mark.parametrize(
    ("structure", "unit"),
    # One hidden index: a column of each matrix and embedding, a place in each norm.
    [("channel", 8_030_261_248 // 4_096), ("layer", 218_112_000)],
)
def test_a_budget_decides_on_width_and_depth_too(
    models: dict[str, Model], structure: str, unit: int
) -> None:
    budget = Budget("parameters", parse_count("6.7B"))
    (target,) = resolve(plan(3, 30, structure=structure, budget=budget), models["llama"])
    over = 8_030_261_248 - 6_700_000_000
    assert target.remove == -(-over // unit)


def test_a_budget_that_is_met_already_removes_nothing(models: dict[str, Model]) -> None:
    targets = resolve(plan(3, 30, budget=Budget("parameters", 9e9)), models["llama"])
    assert {target.remove for target in targets} == {0}


@pytest.mark.parametrize(
    ("budget", "cause"),
    [
        (
            Budget("parameters", 1e9),
            "a budget of 1,000,000,000 parameters cannot be met: what may be removed leaves ",
        ),
        (Budget("sparsity", 1.0), r"target sparsity 1\.0 is not in \[0, 1\)"),
        (Budget("sparsity", float("nan")), "target sparsity nan"),
        (Budget("memory", 0), "a budget of 0 memory is none"),
    ],
)
def test_a_budget_that_cannot_be_met_is_refused(
    models: dict[str, Model], budget: Budget, cause: str
) -> None:
    with pytest.raises(PlanError, match=cause):
        resolve(plan(3, 30, budget=budget), models["llama"])


def test_what_a_ranking_leaves_of_widths_that_are_no_multiples_is_not_foretold(
    models: dict[str, Model],
) -> None:
    """14,336 channels are 256 × 56: of 60 they lose 56 first, and a layer more or less may."""
    for round_to, is_told in ((256, True), (60, False)):
        targets = resolve(plan(3, 30, everywhere=True, round_to=round_to), models["llama"])
        assert (planned_parameters(models["llama"], targets) is not None) == is_told


def test_a_ranking_across_layers_of_different_caches_is_refused(tmp_path: Path) -> None:
    """Every other layer of a Gemma 2 keeps 8 tokens, the others all 1,000: a KV head that goes
    of the one is no match for one of the other."""
    shape = SHAPE | {"sliding_window": 8}
    network = transformers.Gemma2ForCausalLM(transformers.Gemma2Config(**shape))
    model = tiny_model(tmp_path, network)
    memory = Budget("memory", 290_000, context=1000)
    ranked = plan(0, 4, budget=memory, everywhere=True)
    by_influence = plan(0, 4, budget=memory, structure="layer", depth_by="influence")
    for each in (ranked, by_influence):
        with pytest.raises(PlanError, match="layers differ in how much a unit of theirs saves"):
            resolve(each, model)
        # Within the window they are alike; and of parameters all save as many.
        for budget in (replace(memory, context=8, value=110_000), Budget("sparsity", 0.1)):
            assert any(target.remove for target in resolve(replace(each, budget=budget), model))
    for each in (replace(ranked, everywhere=False), replace(by_influence, depth_by="first")):
        left = planned(model, resolve(each, model))
        assert cost(left, Workload(1000)).memory <= 290_000


@pytest.mark.parametrize(
    ("text", "count"), [("6.7B", 6_700_000_000), ("1.5k", 1500), ("12", 12), ("2T", 2 * 10**12)]
)
def test_counts_are_decimal(text: str, count: int) -> None:
    assert parse_count(text) == count


@pytest.mark.parametrize(
    ("text", "size"),
    [("12GiB", 12 << 30), ("12gb", 12 * 10**9), ("0.5 MiB", 1 << 19), ("7", 7), ("7B", 7)],
)
def test_sizes_are_binary_where_they_say_so(text: str, size: int) -> None:
    assert parse_bytes(text) == size


@pytest.mark.parametrize("text", ["", "-1", "B", "6.7 Q", "1e9", "٣B", "1" * 30])
def test_what_is_no_number_is_refused(text: str) -> None:
    for parse in (parse_count, parse_bytes):
        with pytest.raises(PlanError, match="is no "):
            parse(text)


def test_steps_end_where_the_plan_does(models: dict[str, Model]) -> None:
    targets = resolve(plan(3, 30, round_to=64), models["llama"])
    parts = [[t.remove for t in portion(targets, step, 3)][:2] for step in (1, 2, 3)]
    # A third of 2 KV heads is 0.67, two thirds 1.33; of 56 × 64 channels 18.67 and 37.33 × 64.
    assert parts == [[1, 19 * 64], [1, 37 * 64], [2, 56 * 64]]


def test_layers_of_different_sizes_each_save_their_own(tmp_path: Path) -> None:
    """Of a pruned TinyLlama the last layers are whole: the first that are left save less.

    Layers 4..17 have 2 KV heads of 64 with their 16 query heads, and 4000 of 5632 channels, fewer.
    """
    shapes = llama_shapes(TINYLLAMA, range(4, 18), q_rows=1024, kv_rows=128, channels=1632)
    model = describe(open_checkpoint(write_model(tmp_path / "m", TINYLLAMA, shapes)))
    whole = 2 * 2048 * 2048 + 2 * 256 * 2048 + 3 * 5632 * 2048 + 2 * 2048
    less = whole - 2048 * (2 * 1024 + 2 * 128 + 3 * 1632)
    total = model.checkpoint.parameters
    for gone in (3, 4, 5, 9):
        left = total - min(gone, 4) * whole - max(0, gone - 4) * less
        budget = Budget("parameters", left)
        (target,) = resolve(plan(0, 22, structure="layer", budget=budget), model)
        assert target.remove == gone
    budget = Budget("parameters", total - 8 * whole - 13 * less)
    with pytest.raises(PlanError, match="cannot be met"):
        resolve(plan(0, 22, structure="layer", budget=budget), model)
