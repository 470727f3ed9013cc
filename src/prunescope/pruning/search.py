"""Which plan within a budget predicts a text best? Many, from one set of scores, each tried."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Literal

from prunescope.architecture import Model
from prunescope.errors import PlanError
from prunescope.pruning.allocation import meet_cheapest
from prunescope.pruning.budget import meet
from prunescope.pruning.calibration import CalibrationRecord
from prunescope.pruning.plan import PruningPlan
from prunescope.pruning.resolving import resolve
from prunescope.pruning.run import Pruned, removed
from prunescope.pruning.selection import Cut, select_all

Method = Literal["uniform", "global", "knapsack"]
METHODS: tuple[Method, ...] = ("uniform", "global", "knapsack")
# Shares of the removal that the budget asks for, beside all of it: what less and more would cost.
LEVELS = (Fraction(1, 2), Fraction(3, 2))
# By layer and kind.
UnitScores = dict[tuple[int, str], list[float]]


@dataclass(frozen=True, slots=True)
class Candidate:
    """One way to prune, tried.

    Attributes:
        method: the same share of each layer; one ranking across layers; or widths allocated so
            that the scores removed are least.
        attention, mlp: half-open layer ranges; None where nothing of the kind goes.
        cuts: what goes.
        parameters: left.
        within: whether it meets the budget.
        perplexity: of an evaluation text.
    """

    method: Method
    attention: tuple[int, int] | None
    mlp: tuple[int, int] | None
    cuts: tuple[Cut, ...]
    parameters: int
    within: bool
    perplexity: float


@dataclass(frozen=True)
class Search:
    """All that was tried, smallest first."""

    original: int
    candidates: tuple[Candidate, ...]

    @property
    def front(self) -> tuple[Candidate, ...]:
        """Those of which no smaller one, or other of the same size, predicts better."""
        front: list[Candidate] = []
        best = float("inf")
        for each in sorted(self.candidates, key=lambda c: (c.parameters, c.perplexity)):
            if each.perplexity < best:
                front.append(each)
                best = each.perplexity
        return tuple(front)

    @property
    def best(self) -> Candidate:
        """The lowest perplexity within the budget, of equals the smaller.

        Raises:
            PlanError: none has one, or none is within the budget.
        """
        within = [c for c in self.candidates if c.within and c.perplexity == c.perplexity]
        if not within:
            raise PlanError("no candidate within the budget has a perplexity")
        return min(within, key=lambda c: (c.perplexity, c.parameters))


def search(
    model: Model,
    plan: PruningPlan,
    scores: UnitScores,
    judge: Callable[[Pruned], float],
) -> Search:
    """Try scopes and methods at the budget, then the best of them at half and half again as much.

    Args:
        plan: block-wise, with a budget, in one step.
        scores: of every unit of the plan's ranges.
        judge: perplexity.

    Raises:
        PlanError: the plan is none of these, or its budget cannot be met.
    """
    if plan.budget is None or plan.structure != "block" or plan.steps > 1:
        raise PlanError("a search needs a budget, and prunes block-wise and in one step")
    resolve(plan, model)
    found = [
        each
        for scope in scopes(plan)
        for method in METHODS
        if (each := tried(model, plan, scope, method, Fraction(1), scores, judge)) is not None
    ]
    best = Search(0, tuple(found)).best
    scope = best.attention, best.mlp
    for level in LEVELS:
        other = tried(model, plan, scope, best.method, level, scores, judge)
        if other is not None:
            found.append(other)
    found.sort(key=lambda c: (c.parameters, c.perplexity))
    return Search(model.checkpoint.parameters, tuple(found))


def tries(plan: PruningPlan) -> int:
    """How many candidates there are at most."""
    return len(list(scopes(plan))) * len(METHODS) + len(LEVELS)


Scope = tuple["tuple[int, int] | None", "tuple[int, int] | None"]


def scopes(plan: PruningPlan) -> Iterator[Scope]:
    """The plan's ranges, each kind alone, and both without the first or the last sixth."""
    both = plan.attention, plan.mlp
    yield both
    yield plan.attention, None
    yield None, plan.mlp
    cut = [max(1, (end - start) // 6) for start, end in both]
    if all(end - start > n for (start, end), n in zip(both, cut, strict=True)):
        (a, b), (c, d) = both
        yield (a + cut[0], b), (c + cut[1], d)
        yield (a, b - cut[0]), (c, d - cut[1])


def tried(
    model: Model,
    plan: PruningPlan,
    scope: Scope,
    method: Method,
    level: Fraction,
    scores: UnitScores,
    judge: Callable[[Pruned], float],
) -> Candidate | None:
    """Prune by one method within one scope, and judge; None where there is not enough to remove.

    Args:
        plan: with a budget.
        level: share of the removal that the budget asks for.
        scores, judge: as of `search`.

    Raises:
        PlanError: the plan has no budget.
    """
    if plan.budget is None:
        raise PlanError("a search needs a budget")
    attention, mlp = scope
    # Floors hold for all methods but the first, which cuts every layer alike.
    wanted = replace(plan, budget=None, ratio=0.0, everywhere=method != "uniform")
    bounds = {"attention": attention, "mlp": mlp}
    targets = [
        target
        for target in resolve(wanted, model)
        if (each := bounds[target.group.kind]) is not None
        and each[0] <= (target.group.layer or 0) < each[1]
    ]
    units = [scores[t.group.layer or 0, t.group.kind] for t in targets]
    try:
        if method == "knapsack":
            # It weighs what each saves: layers need not be alike.
            targets = [replace(target, free=False) for target in targets]
            chosen = meet_cheapest(plan.budget, targets, units, model, level)
            wanted = replace(wanted, everywhere=False)
        else:
            chosen = meet(plan.budget, targets, model, level)
    except PlanError:
        return None
    cuts = select_all(wanted, chosen, units)
    pruned = removed(model, plan, cuts)
    left = pruned.parameters.pruned
    return Candidate(method, attention, mlp, cuts, left, level >= 1, judge(pruned))


def best_pruned(
    model: Model,
    plan: PruningPlan,
    found: Search,
    calibration: CalibrationRecord | None,
    loss: float | None,
) -> Pruned:
    """The best candidate; its record also says what it was chosen from."""
    best = found.best
    pruned = removed(model, plan, best.cuts, calibration, loss)
    searched = {
        "method": best.method,
        "attention": best.attention,
        "mlp": best.mlp,
        "perplexity": best.perplexity,
        "candidates": len(found.candidates),
    }
    return replace(pruned, record=pruned.record | {"search": searched})
