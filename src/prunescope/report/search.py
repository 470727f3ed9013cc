"""How does a search for a plan read? A table of what was tried, as a CSV too, and its front.

The CSV is UTF-8 with the columns of `COLUMNS`, one row per candidate, smallest first: sparsity of
the whole model with six decimals, perplexity with as many digits as a float64 needs, layer ranges
half open and empty where nothing of the kind goes, yes and no as 1 and 0.
"""

from __future__ import annotations

import csv
from pathlib import Path

from prunescope.analysis.counts import Counts
from prunescope.atomic import replacing
from prunescope.pruning.search import METHODS, Search
from prunescope.report.console import Justify, Screen
from prunescope.report.layers import layer_ranges
from prunescope.report.messages import Messages
from prunescope.report.plot import WIDTHS, drawn

COLUMNS = (
    "parameters", "sparsity", "perplexity", "allocation", "attention_start", "attention_end",
    "mlp_start", "mlp_end", "within_budget", "on_front", "chosen",
)  # fmt: skip
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


def write_search_csv(found: Search, path: Path) -> None:
    """Write every candidate to `path`, replacing it whole.

    Raises:
        PrunescopeError: `path` cannot be written.
    """
    front, best = found.front, found.best
    with replacing(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(COLUMNS)
        for each in found.candidates:
            sparsity = Counts(found.original, each.parameters).sparsity
            writer.writerow(
                (
                    each.parameters,
                    f"{sparsity:.6f}",
                    repr(each.perplexity),
                    each.method,
                    *(each.attention or ("", "")),
                    *(each.mlp or ("", "")),
                    int(each.within),
                    int(each in front),
                    int(each is best),
                )
            )


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
