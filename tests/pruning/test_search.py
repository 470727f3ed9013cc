"""A search tries ranges and methods by one set of scores, and takes the best within its budget."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import pytest

from prunescope.architecture import Model
from prunescope.checkpoint.weights import WeightMap
from prunescope.errors import PlanError
from prunescope.pruning.budget import Budget
from prunescope.pruning.plan import PruningPlan
from prunescope.pruning.resolving import resolve
from prunescope.pruning.run import Pruned
from prunescope.pruning.scoring import Computing, axes_of, score
from prunescope.pruning.search import Candidate, Search, best_pruned, scopes, search, tries
from prunescope.pruning.selection import unit_scores
from tests.support.pruning import CALIBRATION
from tests.support.tiny import tiny_model

PLAN = PruningPlan(0.5, (0, 6), (0, 6), "taylor", budget=Budget("sparsity", 0.2))


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    shape = {"num_hidden_layers": 6, "num_attention_heads": 8, "num_key_value_heads": 4}
    return tiny_model(tmp_path_factory.mktemp("m"), **shape)


@pytest.fixture(scope="module")
def scores(model: Model) -> dict[tuple[int, str], list[float]]:
    targets = resolve(replace(PLAN, budget=None, ratio=0.0), model)
    with WeightMap() as weights:
        axes = axes_of(targets)
        found = score(model.checkpoint, axes, PLAN, CALIBRATION, weights, Computing())
    units = unit_scores(PLAN, targets, found)
    return {(t.group.layer or 0, t.group.kind): u for t, u in zip(targets, units, strict=True)}


def candidate(parameters: int, perplexity: float, within: bool = True) -> Candidate:
    return Candidate("uniform", (0, 6), None, (), parameters, within, perplexity)


def test_everything_is_tried_at_the_budget_and_the_best_scope_beside_it(
    model: Model, scores: dict[tuple[int, str], list[float]]
) -> None:
    judged: list[Pruned] = []

    def judge(pruned: Pruned) -> float:
        judged.append(pruned)
        # The later, the better: what comes last within the budget is chosen.
        return 1000.0 - len(judged)

    found = search(model, PLAN, scores, judge)
    original = model.checkpoint.parameters
    assert len(found.candidates) == len(judged) <= tries(PLAN)
    within = [c for c in found.candidates if c.within]
    # Met, and by less than one unit more than needed (a GQA group: 2 × 16 + 2 × 8 rows of 24).
    limit = original * Fraction(4, 5)
    for each in within:
        assert each.parameters <= limit
    at_budget = [c for c in within if c.parameters > limit - 48 * 24]
    assert {c.method for c in at_budget} == {"uniform", "global", "knapsack"}
    over = [c for c in found.candidates if not c.within]
    assert all(limit < c.parameters < original for c in over)
    # What is smaller or larger than asked for is tried in one scope only.
    assert len({(c.attention, c.mlp) for c in over}) == 1
    best = best_pruned(model, PLAN, found, None, None)
    assert best.parameters.pruned == found.best.parameters
    assert best.record["search"]["perplexity"] == found.best.perplexity
    assert best.record["search"]["candidates"] == len(judged)


def test_an_allocation_by_scores_removes_less_score_than_the_others(
    model: Model, scores: dict[tuple[int, str], list[float]]
) -> None:
    found = search(model, PLAN, scores, lambda pruned: float(pruned.parameters.pruned))
    whole = [c for c in found.candidates if (c.attention, c.mlp) == ((0, 6), (0, 6)) and c.within]
    lost = {
        c.method: sum(cut.scores[unit] for cut in c.cuts for unit in cut.removed)
        for c in whole
        if c.parameters > model.checkpoint.parameters * 0.79
    }
    assert lost["knapsack"] <= lost["global"] * 1.0001
    assert lost["knapsack"] < lost["uniform"]


def test_the_front_is_what_nothing_smaller_beats() -> None:
    all_of_them = [candidate(30, 5.0), candidate(10, 9.0), candidate(20, 9.5), candidate(30, 6.0),
                   candidate(15, 7.0, within=False), candidate(12, float("nan"))]  # fmt: skip
    found = Search(40, tuple(all_of_them))
    assert [(c.parameters, c.perplexity) for c in found.front] == [(10, 9.0), (15, 7.0), (30, 5.0)]
    assert found.best.perplexity == 5.0
    with pytest.raises(PlanError, match="no candidate within the budget"):
        _ = Search(40, (candidate(1, float("nan")), candidate(2, 3.0, within=False))).best


def test_scopes_are_the_ranges_each_kind_alone_and_a_sixth_less() -> None:
    wide = replace(PLAN, attention=(3, 30), mlp=(3, 30))
    assert list(scopes(wide)) == [
        ((3, 30), (3, 30)), ((3, 30), None), (None, (3, 30)), ((7, 30), (7, 30)), ((3, 26), (3, 26))
    ]  # fmt: skip
    assert len(list(scopes(replace(PLAN, attention=(3, 4))))) == 3


@pytest.mark.parametrize(
    "wrong",
    [{"budget": None}, {"structure": "channel"}, {"steps": 2}, {"budget": Budget("sparsity", 0.9)}],
    ids=str,
)
def test_a_plan_that_cannot_be_searched_is_refused(
    model: Model, wrong: dict[str, object], tmp_path: Path
) -> None:
    with pytest.raises(PlanError):
        search(model, replace(PLAN, **wrong), {}, lambda pruned: 1.0)
