"""What is there to say of an original and the models pruned from it, all questions together?"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import isfinite

from prunescope.analysis.breakdown import Part, breakdown
from prunescope.analysis.checks import Check
from prunescope.analysis.compare import compare
from prunescope.analysis.compare_result import Comparison
from prunescope.analysis.cost import Unpriced, cost
from prunescope.analysis.cost_result import Cost
from prunescope.analysis.devices import Device
from prunescope.analysis.evaluation_file import Evaluated
from prunescope.analysis.expectation import Wanted
from prunescope.analysis.kept import Kept, kept_units
from prunescope.analysis.pareto import front
from prunescope.analysis.record import read_record
from prunescope.analysis.size import ModelSize, SizeComparison, compare_sizes, measure
from prunescope.analysis.trace.results import Trace
from prunescope.analysis.verify import Verification, verify
from prunescope.analysis.workload import Workload
from prunescope.architecture import Model
from prunescope.checkpoint import Checkpoint


@dataclass(frozen=True)
class PrunedOverview:
    """One pruned model beside its original.

    Attributes:
        kept: which heads and channels are left.
        cost: None for a family that there are no formulas for.
        trace: what its weights tell; None where they were not read.
        evaluation: None where it was not measured.
    """

    comparison: Comparison
    sizes: SizeComparison
    parts: tuple[Part, ...]
    kept: Kept
    verification: Verification
    cost: Cost | None
    trace: Trace | None
    evaluation: Evaluated | None

    @property
    def path(self) -> str:
        """What the user called it."""
        return self.comparison.pruned.checkpoint.path


@dataclass(frozen=True)
class Overview:
    """An original and its pruned models.

    Attributes:
        device: peaks that costs are held against; None for none.
        wanted: what should have been pruned, as far as the user says.
        best: of the original (-1) and the models (0, 1, …) that have a finite perplexity, those
            that no other beats in parameters and perplexity, by rising parameters.
        workload: of the costs.
    """

    original: Checkpoint
    original_size: ModelSize
    original_cost: Cost | None
    original_evaluation: Evaluated | None
    models: tuple[PrunedOverview, ...]
    device: Device | None
    wanted: Wanted
    best: tuple[int, ...]
    workload: Workload


@dataclass(frozen=True)
class Question:
    """What is asked beside what headers tell.

    Attributes:
        workload, device: of the costs.
        wanted: what should have been pruned.
        evaluations: by the path of the model.
        trace: reads the weights of an original and a pruned model, as `trace.run.trace` does.
        read_weights: reads those of a pruned model, as `checks.values.value_checks` does. Where
            both are None only headers are read.
    """

    workload: Workload
    device: Device | None = None
    wanted: Wanted = Wanted()  # noqa: RUF009 - it is frozen
    evaluations: Mapping[str, Evaluated] | None = None
    trace: Callable[[Checkpoint, Checkpoint], Trace] | None = None
    read_weights: Callable[[Model], tuple[Check, ...]] | None = None


def overview(original: Checkpoint, pruned: Sequence[Checkpoint], asked: Question) -> Overview:
    """Answer every question of every pruned model.

    Raises:
        ArchitectureError: as `compare` and `trace` do.
        CheckpointError: a pruning.json, or weights, that cannot be read.
        PlanError: something is wanted that the original does not have.
        Unpriced: costs of a workload or on a device are asked of a family without formulas.
    """
    size, price = measure(original), _priced(original, asked)
    models = tuple(_pruned(original, one, size, asked) for one in pruned)
    evaluations = asked.evaluations or {}
    before = evaluations.get(original.path)
    return Overview(
        original,
        size,
        price,
        before,
        models,
        asked.device,
        asked.wanted,
        _best(size, before, models),
        asked.workload,
    )


def _priced(model: Checkpoint, asked: Question) -> Cost | None:
    try:
        return cost(model, asked.workload)
    except Unpriced:
        if asked.device is not None or asked.workload != Workload():
            raise
        return None


def _pruned(
    original: Checkpoint, pruned: Checkpoint, size: ModelSize, asked: Question
) -> PrunedOverview:
    traced = asked.trace(original, pruned) if asked.trace else None
    # Layers that moved are matched by their weights, where those were read.
    comparison = (traced.comparison if traced else None) or compare(original, pruned)
    before, after = comparison.original, comparison.pruned
    return PrunedOverview(
        comparison,
        compare_sizes(size, measure(pruned)),
        breakdown(before, after),
        kept_units(before, after, read_record(pruned), traced, comparison.matched.layers),
        verify(pruned, original, asked.wanted, asked.read_weights),
        _priced(pruned, asked),
        traced,
        (asked.evaluations or {}).get(pruned.path),
    )


def _best(
    size: ModelSize, evaluation: Evaluated | None, models: Sequence[PrunedOverview]
) -> tuple[int, ...]:
    every = [(-1, size.parameters, evaluation)]
    every += [(n, m.sizes.pruned.parameters, m.evaluation) for n, m in enumerate(models)]
    measured = [
        (number, (parameters, found.perplexity))
        for number, parameters, found in every
        if found is not None and found.perplexity is not None and isfinite(found.perplexity)
    ]
    return tuple(measured[index][0] for index in front([point for _, point in measured]))
