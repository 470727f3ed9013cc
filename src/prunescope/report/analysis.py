"""How does the mission's analysis read? Its three sections, in its order and wording."""

from __future__ import annotations

from prunescope.analysis.compare_result import Comparison, ModuleComparison, RoleVerdict
from prunescope.analysis.counts import Counts
from prunescope.analysis.tabular import dimensions
from prunescope.report.console import Justify, Screen
from prunescope.report.layers import collapsed, layer_ranges, notes, ties
from prunescope.report.messages import Messages

_DEPTH_NOTES = {
    "given": "depth_given",
    "numbers": "depth_numbers",
    "pruning.json": "depth_record",
    "weights": "depth_weights",
}


def print_analysis(
    comparison: Comparison, screen: Screen, say: Messages, *, every: bool = True
) -> None:
    """Print 每层汇总统计, 全局统计 and 详细模块分析.

    Args:
        every: a row for each layer, as the mission's script has it; else neighbours that are
            equal share a row.
    """
    screen.section(say("layer_summary"))
    _layers(comparison, screen, say, every)
    screen.line()
    screen.section(say("global_summary"))
    _totals(comparison, screen, say)
    screen.line()
    screen.section(say("module_analysis"))
    for verdict in comparison.verdicts():
        _module(verdict, comparison.projections(verdict.role), screen, say, every)


def _layers(comparison: Comparison, screen: Screen, say: Messages, every: bool) -> None:
    headers = ["layer_number", "original_parameters", "pruned_parameters", "retention", "sparsity"]
    rows = [
        [
            str(layer.layer),
            f"{layer.parameters.original:,}",
            f"{layer.parameters.pruned:,}",
            *_rates(layer.parameters),
            _remark(layer.parameters, say),
        ]
        for layer in comparison.layers
    ]
    justify: list[Justify] = ["right", "right", "right", "right", "right", "left"]
    screen.table([*(say(h) for h in headers), ""], collapsed(rows, every=every), justify)
    for line in notes(comparison.original, say):
        screen.line(line, "yellow")
    before, after = (len(m.layers) for m in (comparison.original, comparison.pruned))
    if before != after or comparison.matched.source != "numbers":
        screen.line(say(_DEPTH_NOTES[comparison.matched.source], a=before, b=after), "yellow")


def _remark(counts: Counts, say: Messages) -> str:
    if counts.has_grown:
        return say("has_grown")
    return say("is_pruned" if counts.is_pruned else "not_pruned")


def _totals(comparison: Comparison, screen: Screen, say: Messages) -> None:
    counts = comparison.parameters
    screen.line(say("total_original", n=counts.original))
    screen.line(say("total_pruned", n=counts.pruned))
    screen.line(say("total_removed", n=counts.removed))
    screen.line(say("total_retention", r=counts.retention, p=100 * counts.retention))
    screen.line(say("total_sparsity", r=counts.sparsity, p=100 * counts.sparsity))
    shared = comparison.original.checkpoint.shared | comparison.pruned.checkpoint.shared
    if shared:
        screen.line(say("tied", names=ties(shared)))
    head = comparison.head_apart
    if head is not None:
        key = "head_of_original" if head.original else "head_of_pruned"
        screen.line(say(key, n=head.original or head.pruned), "yellow")
    tokens = comparison.tokens_added
    if tokens is not None:
        screen.line(say("tokens_added", a=tokens[0], b=tokens[1]), "yellow")


def _module(
    verdict: RoleVerdict,
    modules: tuple[ModuleComparison, ...],
    screen: Screen,
    say: Messages,
    every: bool,
) -> None:
    screen.line(f"📊 {verdict.role.title}", "bold cyan")
    headers = ["layer", "original_shape", "pruned_shape", "retention", "sparsity"]
    rows = [
        [
            str(m.layer),
            dimensions(m.original_shape),
            dimensions(m.pruned_shape),
            *_rates(m.parameters),
        ]
        for m in modules
    ]
    justify: list[Justify] = ["right", "left", "left", "right", "right"]
    screen.table([say(h) for h in headers], collapsed(rows, every=every), justify)
    screen.line()
    module = verdict.role.title
    if verdict.grown:
        text = say("verdict_grown", module=module, layers=layer_ranges(verdict.grown))
        screen.line(text, "yellow")
    if verdict.common is None:
        if not verdict.grown:
            screen.line(say("verdict_none", module=module), "green")
    elif verdict.spread is not None:
        low, high = verdict.spread
        screen.line(say("verdict_spread", module=module, low=low, high=high), "yellow")
    elif verdict.outliers:
        outliers = ", ".join(f"{n} ({r:.4f})" for n, r in verdict.outliers)
        text = say("verdict_differs", module=module, r=verdict.common, outliers=outliers)
        screen.line(text, "yellow")
    else:
        screen.line(say("verdict_same", module=module, r=verdict.common), "green")
    if verdict.common is not None and verdict.unpruned:
        screen.line(say("unpruned_layers", layers=layer_ranges(verdict.unpruned)), "dim")
    screen.line()


def _rates(counts: Counts) -> list[str]:
    return [f"{counts.retention:.4f}", f"{counts.sparsity:.4f}"]
