"""How much may be left? Parameters, sparsity or memory, met to the last unit from shapes alone."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from heapq import merge
from itertools import pairwise
from typing import Literal

from prunescope.analysis.cost import cached_tokens, cost
from prunescope.analysis.workload import Workload
from prunescope.architecture import Model
from prunescope.errors import PlanError
from prunescope.pruning.groups import LAYERS
from prunescope.pruning.planned import is_known, planned
from prunescope.pruning.targets import Target

# The share of a removal that is the whole of it.
ALL = Fraction(1)
_COUNTS = {"": 1, "K": 10**3, "M": 10**6, "B": 10**9, "T": 10**12}
_BYTES = {"": 1, "B": 1} | {
    f"{prefix}{unit}": base ** (power + 1)
    for power, prefix in enumerate("KMGT")
    for unit, base in (("B", 10**3), ("iB", 2**10))
}


@dataclass(frozen=True, slots=True)
class Budget:
    """What a pruned model may need.

    Attributes:
        of: `sparsity` of all stored parameters, a number of `parameters`, or bytes of `memory`:
            weights, and the KV caches of `batch` sequences of `context` tokens in bf16.
        value: at least this sparsity; at most so many parameters or bytes.
    """

    of: Literal["sparsity", "parameters", "memory"]
    value: float
    batch: int = 1
    context: int = 4096


def parse_count(text: str) -> int:
    """`6.7B` → 6,700,000,000; K, M, B and T are powers of 1,000.

    Raises:
        PlanError: it is no number of parameters.
    """
    return _parse(text, _COUNTS, "number of parameters such as 6.7B")


def parse_bytes(text: str) -> int:
    """`12GiB` → 12 × 2^30; GB is 10^9.

    Raises:
        PlanError: it is no size.
    """
    return _parse(text, _BYTES, "size such as 12GiB")


def _parse(text: str, units: dict[str, int], what: str) -> int:
    found = re.fullmatch(r"\s*(\d{1,18}(?:\.\d{1,9})?)\s*([A-Za-z]{0,3})\s*", text, re.ASCII)
    known = {unit.lower(): factor for unit, factor in units.items()}
    if found is None or found[2].lower() not in known:
        raise PlanError(f"{text!r} is no {what}")
    return math.floor(Fraction(found[1]) * known[found[2].lower()])


@dataclass(frozen=True, slots=True)
class Need:
    """How far a model is from a budget, in what the budget counts.

    Attributes:
        limit: what may be needed.
        excess: how much has to go.
        savings: what goes with one unit of each target; of layers, with the last.
    """

    limit: int
    excess: int
    savings: tuple[int, ...]


def need(budget: Budget, targets: Sequence[Target], model: Model, share: Fraction = ALL) -> Need:
    """What `budget` asks of `targets`, or a `share` of it.

    Raises:
        PlanError: the budget is none, or depends on which layers are chosen.
    """
    limit = _limit(budget, model)
    whole = _needed(budget, model, ())
    savings = tuple(
        (whole - _needed(budget, model, (replace(t, remove=least),))) // least
        for t in targets
        # Of experts one unit cannot go alone.
        for least in (len(t.group.experts) or 1,)
    )
    if not (is_known(model, targets) and _saves_alike(budget, targets, savings, model)):
        raise PlanError(
            "layers differ in how much a unit of theirs saves: a ranking across them cannot meet a "
            "budget (take --allocation uniform or knapsack; of whole layers --depth_by first)"
        )
    excess = math.ceil((whole - limit) * share)
    return Need(whole - excess, excess, savings)


def _saves_alike(
    budget: Budget, targets: Sequence[Target], savings: Sequence[int], model: Model
) -> bool:
    """Whether what is chosen among saves as much whatever is chosen: windows shorten caches."""
    found: dict[str, set[int]] = {}
    for target, saving in zip(targets, savings, strict=True):
        if target.free:
            found.setdefault(target.group.kind, set()).add(saving)
    if LAYERS in found and budget.of == "memory":
        found[LAYERS] = {
            cached_tokens(model, layer, place, budget.context)
            for place, layer in enumerate(model.layers)
        }
    return all(len(each) == 1 for each in found.values())


def meet(
    budget: Budget, targets: Sequence[Target], model: Model, share: Fraction = ALL
) -> tuple[Target, ...]:
    """`targets` with as little removed as meets `budget`: no unit of theirs could stay.

    Units go evenly: all targets lose about the same share, so that only the last units of
    some are one more than those of the others.

    Args:
        share: of the removal that the budget asks for.

    Raises:
        PlanError: as `need`, or the budget cannot be met.
    """
    asked = need(budget, targets, model, share)
    if any(target.group.kind == LAYERS for target in targets):
        return _fewest_layers(budget, targets, model, asked.limit)
    excess, units = asked.excess, asked.savings
    removed = [0] * len(targets)
    undo: list[tuple[int, int]] = []
    for index, count in _evenly(targets):
        if excess <= 0:
            break
        undo.append((index, removed[index]))
        excess -= units[index] * (count - removed[index])
        removed[index] = count
    if excess > 0:
        raise _cannot_be_met(budget, model, asked.limit, asked.limit + excess)
    # A large last unit may have made smaller ones before it needless.
    for index, before in reversed(undo):
        spare = units[index] * (removed[index] - before)
        if excess + spare <= 0:
            excess += spare
            removed[index] = before
    return tuple(replace(t, remove=n) for t, n in zip(targets, removed, strict=True))


def _fewest_layers(
    budget: Budget, targets: Sequence[Target], model: Model, limit: int
) -> tuple[Target, ...]:
    """The same for whole layers, of which each may save something else."""
    (target,) = targets
    needed = 0
    for count in target.choices:
        found = replace(target, remove=count)
        needed = _needed(budget, model, (found,))
        if needed <= limit:
            return (found,)
    raise _cannot_be_met(budget, model, limit, needed)


def _cannot_be_met(budget: Budget, model: Model, limit: int, least: int) -> PlanError:
    wanted, most = (_written(budget, model, n) for n in (limit, least))
    return PlanError(f"a budget of {wanted} cannot be met: what may be removed leaves {most}")


def _evenly(targets: Sequence[Target]) -> Iterator[tuple[int, int]]:
    """Every next number of units of each target, in the order in which a growing ratio asks."""
    # Whole numbers instead of fractions of the units: they compare in a hundredth of the time.
    common = math.lcm(*(target.group.units for target in targets))

    def steps(index: int, target: Target) -> Iterator[tuple[int, int, int]]:
        scale = common // target.group.units
        for before, after in pairwise(target.choices):
            yield (before + after) * scale, index, after

    for _, index, count in merge(*(steps(n, target) for n, target in enumerate(targets))):
        yield index, count


def _limit(budget: Budget, model: Model) -> int:
    value = budget.value
    if budget.of == "sparsity":
        if not (math.isfinite(value) and 0 <= value < 1):
            raise PlanError(f"target sparsity {value} is not in [0, 1)")
        return math.floor((1 - Fraction(repr(value))) * model.checkpoint.parameters)
    if not (math.isfinite(value) and value >= 1):
        raise PlanError(f"a budget of {value} {budget.of} is none")
    return int(value)


def _needed(budget: Budget, model: Model, targets: Sequence[Target]) -> int:
    left = planned(model, targets)
    if budget.of == "memory":
        return cost(left, Workload(budget.context, budget.batch)).memory
    return left.parameters


def _written(budget: Budget, model: Model, needed: int) -> str:
    if budget.of == "sparsity":
        return f"sparsity {1 - needed / model.checkpoint.parameters:.4f}"
    return f"{needed:,} {'bytes' if budget.of == 'memory' else budget.of}"
