"""What does the sparsity of layers and modules look like? The mission's bars over a heat map.

Sized for a paper: 3.3 inches are one column, 6.8 a page. Colours are Okabe and Ito's and
matplotlib's cividis, which colour-blind readers tell apart (https://doi.org/10.1038/nmeth.1618,
https://doi.org/10.1371/journal.pone.0199239).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from prunescope.analysis.compare_result import Comparison
from prunescope.atomic import replacing
from prunescope.errors import PrunescopeError
from prunescope.extras import require
from prunescope.report.messages import Messages

FORMATS = (".png", ".svg", ".pdf")
# Inches.
WIDTHS = {"single": 3.3, "double": 6.8}
_BAR, _LINE = "#0072B2", "#D55E00"
_WORDS = (
    "plot_title", "plot_heat", "plot_x", "plot_y", "plot_overall", "search_title", "search_front",
    "search_chosen", "search_parameters", "search_perplexity",
)  # fmt: skip


def plot_sparsity(comparison: Comparison, path: Path, say: Messages, width: str = "double") -> None:
    """Draw one bar per layer, a line at the whole model's sparsity, and every projection below.

    Args:
        width: a key of `WIDTHS`.

    Raises:
        MissingExtra, PrunescopeError: as `drawn`.
    """
    rows = len(comparison.verdicts())
    with drawn(path, say, (WIDTHS[width], 2.3 + 0.16 * rows)) as (figure, words):
        bars, heat = figure.subplots(2, 1, height_ratios=[1.5, 0.16 * rows])
        _draw_bars(comparison, bars, words)
        _draw_heat(comparison, figure, heat, words)


@contextmanager
def drawn(path: Path, say: Messages, inches: tuple[float, float]) -> Iterator[tuple[Any, Messages]]:
    """Yield a figure to draw on, and the words for it; what is drawn is then written to `path`.

    Labels are Chinese where the language and an installed font allow, else English.

    Args:
        inches: width and height.

    Raises:
        MissingExtra: matplotlib is not installed.
        PrunescopeError: an unknown suffix, or `path` cannot be written.
    """
    check_plot(path)
    pyplot = require("matplotlib.pyplot", "plot")
    font = _chinese_font() if say.language == "zh" else None
    with pyplot.rc_context(_style(font)):
        figure = pyplot.figure(figsize=inches, layout="constrained")
        try:
            yield figure, say if font else Messages("en")
            with replacing(path) as temporary:
                figure.savefig(temporary, dpi=300, metadata=_undated(path))
        finally:
            pyplot.close(figure)


def check_plot(path: Path) -> None:
    """Can a plot be drawn at `path`, as far as can be told before the work is done?

    Raises:
        MissingExtra: matplotlib is not installed.
        PrunescopeError: an unknown suffix.
    """
    if path.suffix.lower() not in FORMATS:
        raise PrunescopeError(f"{path}: a plot ends in {', '.join(FORMATS)}")
    require("matplotlib", "plot").use("Agg")


def _draw_bars(comparison: Comparison, axes: Any, say: Messages) -> None:
    sparsities = [layer.parameters.sparsity for layer in comparison.layers]
    axes.bar(range(len(sparsities)), sparsities, color=_BAR)
    overall = comparison.parameters.sparsity
    label = say("plot_overall", p=100 * overall)
    axes.axhline(overall, color=_LINE, linestyle="--", linewidth=1.2, label=label)
    axes.set(ylabel=say("plot_y"), title=say("plot_title"))
    # Room above the bars, so that the legend hides none.
    axes.margins(y=0.3)
    _number_layers(comparison, axes, say)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(loc="upper right", frameon=False)


def _draw_heat(comparison: Comparison, figure: Any, axes: Any, say: Messages) -> None:
    roles = [verdict.role for verdict in comparison.verdicts()]
    values = [
        [
            next((m.parameters.sparsity for m in layer.modules if m.role is role), float("nan"))
            for layer in comparison.layers
        ]
        for role in roles
    ]
    image = axes.imshow(
        values, cmap="cividis", aspect="auto", vmin=0, interpolation="none",
        vmax=max(0.01, *(value for row in values for value in row if value == value)),
    )  # fmt: skip
    axes.set_yticks(range(len(roles)), [role.name for role in roles])
    axes.set(title=say("plot_heat"))
    _number_layers(comparison, axes, say)
    figure.colorbar(image, ax=axes, label=say("plot_y"), pad=0.01, aspect=12)


def _number_layers(comparison: Comparison, axes: Any, say: Messages) -> None:
    """Layers stand at their place in the list: numbers may be missing, where layers went."""
    numbers = [layer.layer for layer in comparison.layers]
    step = -(-len(numbers) // 12)
    axes.set_xticks(range(0, len(numbers), step), [str(n) for n in numbers[::step]])
    axes.set(xlabel=say("plot_x"), xlim=(-0.5, len(numbers) - 0.5))


def _style(font: str | None) -> dict[str, Any]:
    # A fixed salt and no date: the same figures give the same file.
    return {
        "svg.hashsalt": "prunescope",
        "font.family": [font] if font else ["sans-serif"],
        "font.size": 7,
        "axes.titlesize": 8,
        "axes.unicode_minus": False,
        # Text that can be searched and edited, not Type 3 outlines, which publishers refuse.
        "pdf.fonttype": 42,
    }


def _undated(path: Path) -> dict[str, None]:
    return {".svg": {"Date": None}, ".pdf": {"CreationDate": None}}.get(path.suffix.lower(), {})


def _chinese_font() -> str | None:
    from prunescope.report.fonts import font_with

    # Besides the labels: the digits and signs of ticks, and the modules' names.
    zh = Messages("zh")
    return font_with("".join(zh(key, p=0.0) for key in _WORDS) + "0123456789.-ADEGKNOPQTUVW")
