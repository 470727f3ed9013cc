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

from prunescope.analysis.cost import Workload, cost
from prunescope.architecture import Model
from prunescope.errors import PlanError
from prunescope.pruning.planned import is_known, planned
from prunescope.pruning.targets import Target

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


def meet(budget: Budget, targets: Sequence[Target], model: Model) -> tuple[Target, ...]:
    """`targets` with as little removed as meets `budget`: no unit of theirs could stay.

    Units go evenly: all targets lose about the same share, so that only the last units of
    some are one more than those of the others.

    Raises:
        PlanError: the budget is none, cannot be met, or depends on which layers are chosen.
    """
    limit = _limit(budget, model)
    if not is_known(model, targets):
        raise PlanError(
            "what is chosen among has different sizes in different layers: a budget cannot be met"
        )
    least = tuple(replace(t, remove=0) for t in targets)
    excess = _needed(budget, model, least) - limit
    units = [_needed(budget, model, least) - _needed(budget, model, (_one_off(t),)) for t in least]
    removed = [0] * len(targets)
    undo: list[tuple[int, int]] = []
    for index, count in _evenly(least):
        if excess <= 0:
            break
        undo.append((index, removed[index]))
        excess -= units[index] * (count - removed[index])
        removed[index] = count
    if excess > 0:
        raise PlanError(
            f"a budget of {_written(budget, model, limit)} cannot be met: what may be removed "
            f"leaves {_written(budget, model, limit + excess)}"
        )
    # A large last unit may have made smaller ones before it needless.
    for index, before in reversed(undo):
        spare = units[index] * (removed[index] - before)
        if excess + spare <= 0:
            excess += spare
            removed[index] = before
    return tuple(replace(t, remove=n) for t, n in zip(targets, removed, strict=True))


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


def _one_off(target: Target) -> Target:
    return replace(target, remove=1)


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
