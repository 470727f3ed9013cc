"""How does a pruning run read? The plan before, the result after, samples where asked for."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

from prunescope.analysis.counts import Counts
from prunescope.architecture import Model
from prunescope.errors import printable
from prunescope.evaluation.perplexity import Perplexity
from prunescope.pruning.plan import PruningPlan
from prunescope.pruning.planned import planned_parameters
from prunescope.pruning.targets import Target
from prunescope.report.console import Screen
from prunescope.report.layers import layer_ranges
from prunescope.report.messages import Messages

# Groups of the whole model, and units of attention other than a KV head with its query heads.
_OTHERS = {
    "hidden": "prune_hidden",
    "layers": "prune_layers",
    "attention, query": "prune_attention_query",
    "attention, naive": "prune_attention_naive",
}


# As the other lines of a plan call them.
_KINDS = {"attention": "Attention", "mlp": "MLP"}
_BUDGETS = {
    "sparsity": "budget_sparsity",
    "parameters": "budget_parameters",
    "memory": "budget_memory",
}


def print_model(model: Model, screen: Screen, say: Messages) -> None:
    """Which model is pruned."""
    screen.section(say("prune_plan"))
    checkpoint = model.checkpoint
    screen.line(say("prune_model", path=printable(str(checkpoint.path)), n=checkpoint.parameters))


def print_plan(
    model: Model,
    plan: PruningPlan,
    targets: Sequence[Target],
    device: str,
    screen: Screen,
    say: Messages,
    *,
    is_searched: bool = False,
) -> None:
    """What will be removed, how it is chosen, and how many parameters that will leave.

    Args:
        is_searched: `targets` are only the first of several ways to meet the budget.
    """
    print_model(model, screen, say)
    screen.line(say("prune_method", method=_method(plan), device=device))

    if plan.budget is not None:
        budget = {"value": plan.budget.value, "batch": plan.budget.batch}
        screen.line(say(_BUDGETS[plan.budget.of], context=plan.budget.context, **budget))
    if is_searched:
        screen.line(say("prune_searched"))
        return

    def figures(target: Target) -> tuple[str, int, int]:
        return target.group.kind, target.remove, target.group.units

    by_ratio = plan.budget is None and plan.layer_ratios is None and plan.structure != "layer"
    together = [
        target
        for target in targets
        if (target.free or plan.knapsack) and target.group.layer is not None
    ]
    for kind in dict.fromkeys(target.group.kind for target in together):
        same = [target for target in together if target.group.kind == kind]
        layers = layer_ranges(sorted(t.group.layer or 0 for t in same))
        n, total = sum(t.remove for t in same), sum(t.group.units for t in same)
        values = {
            "kind": _KINDS.get(kind, kind),
            "layers": layers,
            "n": n,
            "total": total,
            "floor": plan.floor,
        }
        screen.line(say("prune_knapsack" if plan.knapsack else "prune_together", **values))
    alone = sorted((t for t in targets if t not in together), key=figures)
    for (kind, remove, units), group in groupby(alone, key=figures):
        layers = layer_ranges(sorted(t.group.layer or 0 for t in group))
        key = _OTHERS.get(f"{kind}, {plan.gqa}", _OTHERS.get(kind, f"prune_{kind}"))
        screen.line(say(key, layers=layers, n=remove, total=units))
        if by_ratio and plan.ratio and not remove:
            screen.line(say("prune_zero", ratio=plan.ratio, total=units), "yellow")
    if plan.gqa == "naive":
        screen.line(say("prune_naive"), "yellow")
    left = planned_parameters(model, targets)
    # How a knapsack divides is for the scores to say.
    if left is not None and not plan.knapsack:
        counts = Counts(model.checkpoint.parameters, left)
        screen.line(say("prune_planned", n=left, s=counts.sparsity))


def _method(plan: PruningPlan) -> str:
    windows = [f"{plan.examples} × {plan.example_length}"] if plan.is_calibrated else []
    is_layers = plan.structure == "layer"
    form = [plan.taylor] if plan.importance == "taylor" and not is_layers else []
    method: str = plan.depth_by if is_layers else plan.importance
    if form or windows:
        method += f" ({', '.join([*form, *windows])})"
    if is_layers:
        return method
    if plan.importance != "random":
        method += f", grouping={plan.grouping}"
    return method + (f", steps={plan.steps}" if plan.steps > 1 else "")


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
