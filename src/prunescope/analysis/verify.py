"""Is this pruned model what it should be? Plan, coherence, weights and engines, check by check."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from prunescope.analysis.axes import layout
from prunescope.analysis.checks import Check, finding, judged
from prunescope.analysis.checks.coherence import coherence_checks
from prunescope.analysis.checks.config import config_check
from prunescope.analysis.checks.contents import content_checks
from prunescope.analysis.checks.loading import loading_checks
from prunescope.analysis.checks.plan import plan_checks
from prunescope.analysis.checks.record import record_check
from prunescope.analysis.expectation import Wanted, expect
from prunescope.analysis.record import read_record
from prunescope.analysis.renumbering import layers_left, renumbered
from prunescope.analysis.tabular import Tabular
from prunescope.architecture import Model, describe, describe_both, refuse_generic
from prunescope.checkpoint import Checkpoint
from prunescope.errors import PlanError

_PLAN = ("depth", "untouched", "target", "sparsity", "directions")


@dataclass(frozen=True)
class Verification(Tabular):
    """All checks of one model.

    Attributes:
        original: the model it was compared with; None where it was looked at alone.
        pruned: the model.
        checks: in the order they are reported.
    """

    original: Model | None
    pruned: Model
    checks: tuple[Check, ...]

    @property
    def failed(self) -> tuple[Check, ...]:
        """The checks that say the model is wrong."""
        return tuple(check for check in self.checks if check.verdict == "fail")

    def rows(self) -> list[dict[str, Any]]:
        """One for each check, as `--json` has it but for the findings' texts."""
        return [
            {
                "group": check.group,
                "name": check.name,
                "verdict": check.verdict,
                "source": check.source,
                "findings": [
                    {
                        "verdict": one.verdict,
                        "code": one.code,
                        "layers": list(one.layers),
                        "values": dict(one.values),
                    }
                    for one in check.findings
                ],
            }
            for check in self.checks
        ]


def verify(
    pruned: Checkpoint,
    original: Checkpoint | None = None,
    wanted: Wanted | None = None,
    read_weights: Callable[[Model], tuple[Check, ...]] | None = None,
) -> Verification:
    """Check a pruned model, beside its original or alone.

    Args:
        wanted: what should have been pruned; where it says nothing, `pruning.json` beside the
            pruned model does, or else what most layers suggest.
        read_weights: reads the weights, as `checks.values.value_checks` does; by default only
            headers are read.

    Raises:
        ArchitectureError: an unknown family, no layers, or models of two families.
        CheckpointError: a pruning.json that cannot be read.
        PlanError: something is wanted, and there is no original to hold it against.
    """
    before: Model | None = None
    if original is None:
        after = describe(pruned, strict=False)
    else:
        before, after = describe_both(original, pruned, strict=False)
    refuse_generic(after, "verify")
    wanted = wanted or Wanted()
    if before is None and not wanted.is_nothing:
        raise PlanError(
            "--layers and --expect-… say how a model differs from its original: name it"
        )
    shapes = layout(after, before)
    record = read_record(pruned)
    # What is left is held against the layers that it comes from.
    kept = layers_left(before, after, record) if before is not None else None
    view = before if before is None or kept is None else renumbered(before, kept)
    shapes_before = layout(view) if view is not None else None
    checks: list[Check] = []
    if shapes_before is None or before is None:
        checks += (judged("plan", name, [finding("skip", "no_original")]) for name in _PLAN)
    else:
        expected = expect(wanted, record, shapes_before, shapes, before, kept)
        checks += plan_checks(shapes_before, shapes, expected, before)
    checks.append(record_check(shapes, record, shapes_before, before))
    checks += coherence_checks(shapes, shapes_before, record.gqa if record else "group")
    checks += content_checks(after, view)
    checks.append(config_check(shapes, shapes_before))
    if read_weights is None:
        skipped = finding("skip", "not_asked")
        checks += (judged("weights", name, [skipped]) for name in ("finite", "zeros"))
    else:
        checks += read_weights(after)
    checks += loading_checks(shapes, checks)
    return Verification(before, after, tuple(checks))
