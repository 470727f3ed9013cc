"""How do zeros and values read? Modules over all layers, layers by their zeros, and what is odd."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from prunescope.analysis.sparsity_result import ModelSparsity, Sparsity
from prunescope.analysis.value_statistics import Values
from prunescope.analysis.zero_patterns import Share
from prunescope.architecture import Role, tabled
from prunescope.errors import printable
from prunescope.report.console import Justify, Screen
from prunescope.report.layers import collapsed, notes, ties
from prunescope.report.messages import Messages

_MAX_NAMES = 10


def print_sparsity(
    found: ModelSparsity, screen: Screen, say: Messages, *, every: bool = False
) -> None:
    """Zeros by module and by layer, values where they were asked for, and what is odd.

    Args:
        every: a row for each layer; else neighbours that are equal share a row.
    """
    total = found.total
    by_role = found.by_role()
    screen.section(say("zeros_title"))
    _patterns(by_role, screen, say)
    screen.line()
    screen.line(say("zeros_total", n=total.zeros.count, total=total.zeros.total, p=_percent(total)))
    for line in notes(found.model, say):
        screen.line(line, "yellow")
    shared = found.model.checkpoint.shared
    if shared:
        screen.line(say("tied", names=ties(shared)))
    _verdicts(found, by_role, screen, say)
    screen.line()
    screen.section(say("zeros_layers"))
    _layers(found, screen, say, every)
    if total.values is not None:
        screen.line()
        screen.section(say("values_title"))
        _values(by_role, screen, say)


def _percent(found: Sparsity) -> float:
    return 100 * found.zeros.ratio


def _patterns(by_role: dict[Role, Sparsity], screen: Screen, say: Messages) -> None:
    headers = [
        say("module"), say("weights"), say("zeros"), "2:4", "4:8", "16×16", "32×32",
        say("empty_rows"), say("empty_columns"),
    ]  # fmt: skip
    rows = [
        [
            role.title,
            f"{found.zeros.total:,}",
            _rate(found.zeros),
            *map(_rate, (found.two_four, found.four_eight, found.blocks16, found.blocks32)),
            *(
                "-" if share is None else f"{share.count:,}"
                for share in (found.rows, found.columns)
            ),
        ]
        for role, found in by_role.items()
    ]
    screen.table(headers, rows, _justify(headers))


def _rate(share: Share | None) -> str:
    return "-" if share is None else f"{100 * share.ratio:.2f}%"


def _verdicts(
    found: ModelSparsity, by_role: dict[Role, Sparsity], screen: Screen, say: Messages
) -> None:
    for pattern, shares in (
        ("2:4", {role: f.two_four for role, f in by_role.items()}),
        ("4:8", {role: f.four_eight for role, f in by_role.items()}),
    ):
        held = [r.title for r, s in shares.items() if s and s.total and s.count == s.total]
        if held:
            text = say("pattern_holds", pattern=pattern, modules=", ".join(held))
            screen.line(text, "green")
    empty = [
        f"{t.tensor.name} ({t.found.rows.count}, {t.found.columns.count})"
        for t in found.tensors
        if t.found.rows and t.found.columns and t.found.rows.count + t.found.columns.count
    ]
    if empty:
        screen.line(say("empty_in", n=len(empty), names=_names(empty)), "yellow")
    broken = [
        f"{t.tensor.name} ({t.found.values.nonfinite:,})"
        for t in found.tensors
        if t.found.values is not None and t.found.values.nonfinite
    ]
    if broken:
        screen.line(say("nonfinite_in", n=len(broken), names=_names(broken)), "bold red")


def _names(names: list[str]) -> str:
    more = ", …" if len(names) > _MAX_NAMES else ""
    return printable(", ".join(names[:_MAX_NAMES]) + more, limit=2000)


def _layers(found: ModelSparsity, screen: Screen, say: Messages, every: bool) -> None:
    modules = found.by_module()
    roles = tabled(role for layer, role in modules if layer is not None)
    rows = []
    for layer in found.model.layers:
        shares = [modules[layer, r].zeros if (layer, r) in modules else None for r in roles]
        whole = [s.zeros for (number, _), s in modules.items() if number == layer]
        rows.append([str(layer), *map(_rate, shares), _rate(_sum(whole))])
    justify: list[Justify] = ["right"] * (len(roles) + 2)
    headers = [say("layer"), *(role.name for role in roles), say("all_modules")]
    screen.table(headers, collapsed(rows, every=every), justify)


def _sum(shares: Iterable[Share]) -> Share:
    return sum(shares, Share(0, 0))


def _values(by_role: dict[Role, Sparsity], screen: Screen, say: Messages) -> None:
    headers = ["module", "mean", "std", "minimum", "maximum", "absmax", "nonfinite"]
    rows = []
    for role, found in by_role.items():
        v = found.values or Values()
        figures = (v.mean, v.std, v.minimum, v.maximum, v.absmax)
        cells = [f"{figure:.4g}" if v.count else "-" for figure in figures]
        rows.append([role.title, *cells, f"{v.nonfinite:,}"])
    screen.table([say(h) for h in headers], rows, _justify(headers))


def _justify(headers: Sequence[str]) -> list[Justify]:
    return ["left" if place == 0 else "right" for place in range(len(headers))]
