"""How does a search for a plan read? A table of what was tried, and its Pareto front as a plot."""

from __future__ import annotations

from pathlib import Path

from prunescope.analysis.counts import Counts
from prunescope.pruning.search import METHODS, Search
from prunescope.report.console import Justify, Screen
from prunescope.report.layers import layer_ranges
from prunescope.report.messages import Messages
from prunescope.report.plot import WIDTHS, drawn

_COLOURS = {"uniform": "#0072B2", "global": "#009E73", "knapsack": "#D55E00"}


def print_search(found: Search, windows: tuple[int, int], screen: Screen, say: Messages) -> None:
    """Every candidate, smallest first; which are on the Pareto front, and which is chosen.

    Args:
        windows: how many there were to evaluate on, and their tokens.
    """
    screen.section(say("search_title"))
    front, best = found.front, found.best
    rows = [
        [
            f"{each.parameters:,}",
            f"{Counts(found.original, each.parameters).sparsity:.4f}",
            f"{each.perplexity:.2f}",
            each.method,
            _range(each.attention),
            _range(each.mlp),
            say("search_yes") if each.within else "-",
            say("search_chosen") if each is best else say("search_front") if each in front else "",
        ]
        for each in found.candidates
    ]
    headers = (
        "search_parameters", "search_sparsity", "search_perplexity", "search_method",
        "search_attention", "search_mlp", "search_within", "search_mark",
    )  # fmt: skip
    sides: tuple[Justify, ...] = (*("right",) * 3, *("left",) * 5)
    screen.table([say(h) for h in headers], rows, sides)
    screen.line(say("search_measured", text=say("embedded_text"), n=windows[0], length=windows[1]))


def _range(bounds: tuple[int, int] | None) -> str:
    return "-" if bounds is None else layer_ranges(range(*bounds))


def plot_front(found: Search, path: Path, say: Messages) -> None:
    """Draw perplexity over parameters, one mark for each candidate, and the front as a line.

    Raises:
        MissingExtra: matplotlib is not installed.
        PrunescopeError: `path` cannot be written.
    """
    with drawn(path, say, (WIDTHS["double"], 4.0)) as (figure, words):
        axes = figure.subplots()
        for method in METHODS:
            same = [c for c in found.candidates if c.method == method]
            axes.scatter(
                [c.parameters for c in same],
                [c.perplexity for c in same],
                color=_COLOURS[method],
                label=method,
            )
        axes.step(
            [c.parameters for c in found.front],
            [c.perplexity for c in found.front],
            where="post",
            color="#999999",
            label=words("search_front"),
        )
        best = found.best
        axes.scatter(
            [best.parameters], [best.perplexity], s=180, facecolors="none", edgecolors="black",
            label=words("search_chosen"),
        )  # fmt: skip
        axes.set_yscale("log")
        axes.set_xlabel(words("search_parameters"))
        axes.set_ylabel(words("search_perplexity"))
        axes.set_title(words("search_title"))
        axes.legend(frameon=False)
