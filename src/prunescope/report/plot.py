"""What does the sparsity of the layers look like? The mission's bar chart, with matplotlib."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from prunescope.analysis.compare import Comparison
from prunescope.atomic import replacing
from prunescope.errors import MissingExtra, PrunescopeError
from prunescope.report.messages import Messages

FORMATS = (".png", ".svg", ".pdf")


def plot_sparsity(comparison: Comparison, path: Path, say: Messages) -> None:
    """Draw one bar per layer and a line at the whole model's sparsity.

    Raises:
        MissingExtra, PrunescopeError: as `drawn`.
    """
    with drawn(path, say) as (axes, words):
        axes.bar(
            [layer.layer for layer in comparison.layers],
            [layer.parameters.sparsity for layer in comparison.layers],
            color="#0072B2",
        )
        overall = comparison.parameters.sparsity
        axes.axhline(
            overall, color="#D55E00", linestyle="--", label=words("plot_overall", p=100 * overall)
        )
        axes.set_xlabel(words("plot_x"))
        axes.set_ylabel(words("plot_y"))
        axes.set_title(words("plot_title"))


@contextmanager
def drawn(path: Path, say: Messages) -> Iterator[tuple[Any, Messages]]:
    """Yield axes to draw on, and the words for them; what is drawn is then written to `path`.

    Labels are Chinese where the language and an installed font allow, else English.

    Raises:
        MissingExtra: matplotlib is not installed.
        PrunescopeError: an unknown suffix, or `path` cannot be written.
    """
    if path.suffix.lower() not in FORMATS:
        raise PrunescopeError(f"{path}: a plot ends in {', '.join(FORMATS)}")
    try:
        import matplotlib
    except ModuleNotFoundError:
        raise MissingExtra("matplotlib", "plot") from None
    matplotlib.use("Agg")
    from matplotlib import pyplot

    font = _chinese_font() if say.language == "zh" else None
    # A fixed salt and no date: the same figures give the same file.
    style: Any = {"svg.hashsalt": "prunescope", "font.family": [font] if font else ["sans-serif"]}
    with pyplot.rc_context(style):
        figure, axes = pyplot.subplots(figsize=(15, 5))
        try:
            yield axes, say if font else Messages("en")
            axes.legend()
            with replacing(path) as temporary:
                figure.savefig(temporary, dpi=150, metadata=_undated(path))
        finally:
            pyplot.close(figure)


def _undated(path: Path) -> dict[str, None]:
    return {".svg": {"Date": None}, ".pdf": {"CreationDate": None}}.get(path.suffix.lower(), {})


def _chinese_font() -> str | None:
    from matplotlib import font_manager

    installed = {font.name for font in font_manager.fontManager.ttflist}
    wanted = ("Noto Sans CJK SC", "Source Han Sans SC", "WenQuanYi Micro Hei", "SimHei",
              "Microsoft YaHei", "PingFang SC")  # fmt: skip
    return next((name for name in wanted if name in installed), None)
