"""How does a pruning run read? The plan before, the result after, samples where asked for."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

from prunescope.analysis.counts import Counts
from prunescope.architecture import Model
from prunescope.errors import printable
from prunescope.evaluation.perplexity import Perplexity
from prunescope.pruning.plan import PruningPlan, Target
from prunescope.report.console import Screen
from prunescope.report.layers import layer_ranges
from prunescope.report.messages import Messages


def print_plan(
    model: Model,
    plan: PruningPlan,
    targets: Sequence[Target],
    device: str,
    screen: Screen,
    say: Messages,
) -> None:
    """What will be removed, and how it is chosen."""
    screen.section(say("prune_plan"))
    checkpoint = model.checkpoint
    screen.line(say("prune_model", path=checkpoint.path, n=checkpoint.parameters))
    method: str = plan.importance
    if method == "taylor":
        method = f"taylor ({plan.taylor}, {plan.examples} × {plan.example_length})"
    if plan.importance != "random":
        method += f", grouping={plan.grouping}"
    screen.line(say("prune_method", method=method, device=device))

    def figures(target: Target) -> tuple[str, int, int]:
        return target.group.kind, target.remove, target.group.units

    for (kind, remove, units), group in groupby(sorted(targets, key=figures), key=figures):
        layers = layer_ranges(sorted(t.group.layer for t in group))
        screen.line(say(f"prune_{kind}", layers=layers, n=remove, total=units))
        if plan.ratio and not remove:
            screen.line(say("prune_zero", ratio=plan.ratio, total=units), "yellow")


def print_result(parameters: Counts, loss: float | None, screen: Screen, say: Messages) -> None:
    """What was removed, in LLM-Pruner's words."""
    if loss is not None:
        screen.line(say("prune_loss", loss=loss))
    a, b = parameters.original, parameters.pruned
    screen.line(say("prune_result", a=a, b=b, p=100 * parameters.retention), "bold")


def print_test(
    title: str, texts: Sequence[str], measured: Perplexity, screen: Screen, say: Messages
) -> None:
    """Generated text and perplexity of one model."""
    screen.section(say(title))
    for text in texts:
        lines = (printable(line, limit=2000) for line in text.splitlines())
        screen.line("> " + "\n  ".join(lines))
    screen.line(
        say(
            "test_perplexity",
            text=say("embedded_text"),
            windows=measured.windows,
            length=measured.length,
            ppl=measured.value,
        ),
        "bold",
    )
