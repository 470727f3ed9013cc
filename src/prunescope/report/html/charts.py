"""What do the charts draw? Figures as plain data, which goes into the page as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from math import isfinite
from typing import Any

from prunescope.analysis.breakdown import Component, by_component
from prunescope.analysis.compare_result import LayerComparison
from prunescope.analysis.kept import Kept, KeptUnits
from prunescope.analysis.overview import Overview, PrunedOverview
from prunescope.architecture import Role
from prunescope.report.html.said import Said, both, said
from prunescope.report.trace_findings import space_title

# A hostile file may claim a million layers; the table and the CSV are not for looking at.
MAX_LAYERS = 200
# Stretches of a layer's units that are drawn; fewer where they would be more cells together.
MAX_SHARES, MAX_CELLS = 64, 20_000
# Decimals of what is drawn, as tables have them.
_DIGITS = 4
# What scripts say.
_WORDS = (
    "layer", "sparsity", "size_parameters", "report_title", "report_heat", "report_kept",
    "report_perplexity", "report_bytes_gb", "report_unit", "report_original", "report_pruned",
)  # fmt: skip
_COMPONENTS: dict[Component, str] = {
    "embedding": "component_embedding",
    "attention": "component_attention",
    "mlp": "component_mlp",
    "norms": "component_norms",
    "head": "component_head",
    "other": "component_other",
}


def chart_data(found: Overview, names: Sequence[str]) -> dict[str, Any]:
    """Everything that is drawn; `names` are the original's and the models'."""
    layers = sum(min(len(one.comparison.layers), MAX_LAYERS) for one in found.models)
    spaces = len(found.models[0].comparison.original.family.spaces)
    stretches = max(1, min(MAX_SHARES, MAX_CELLS // (layers * spaces)))
    return {
        "words": {word: said(word).pair() for word in _WORDS},
        "models": [
            _model(one, name, found.wanted.sparsity, stretches)
            for one, name in zip(found.models, names[1:], strict=True)
        ],
        "front": _front(found, names),
    }


def _model(one: PrunedOverview, name: str, target: float | None, stretches: int) -> dict[str, Any]:
    layers = one.comparison.layers[:MAX_LAYERS]
    roles = [verdict.role for verdict in one.comparison.verdicts()]
    overall = one.comparison.parameters.sparsity
    lines = [(overall, said("plot_overall", p=100 * overall))]
    if target is not None:
        lines.append((target, said("report_target", p=100 * target)))
    return {
        "name": name,
        "layers": [[layer.layer, _rounded(layer.parameters.sparsity)] for layer in layers],
        "lines": [[value, text.pair()] for value, text in lines],
        "modules": [role.name for role in roles],
        # One row a layer, in the order of `modules`; null where it has no such module.
        "heat": [[layer.layer, *(_sparsity(layer, role) for role in roles)] for layer in layers],
        "kept": _kept(one.kept, stretches),
        "bytes": [
            [component_title(component).pair(), counts.original, counts.pruned]
            for component, counts in by_component(one.parts).items()
        ],
    }


def component_title(component: Component) -> Said:
    """What a component is called."""
    return said(_COMPONENTS[component])


def _sparsity(layer: LayerComparison, role: Role) -> float | None:
    found = (m.parameters.sparsity for m in layer.modules if m.role is role)
    return next(map(_rounded, found), None)


def _rounded(share: float) -> float:
    return round(share, _DIGITS)


def _kept(kept: Kept, most: int) -> list[dict[str, Any]]:
    spaces = dict.fromkeys(unit.space for unit in kept.units)
    drawn = []
    for space in spaces:
        units = [unit for unit in kept.units if unit.space == space][:MAX_LAYERS]
        largest = max(unit.original for unit in units)
        drawn.append(
            {
                "space": both(partial(space_title, space)).pair(),
                "units": largest,
                "stretches": min(largest, most),
                "layers": [[unit.layer, _shares(unit, most), unit.left] for unit in units],
            }
        )
    return drawn


def _shares(unit: KeptUnits, most: int) -> list[float] | None:
    shares = unit.shares(most)
    return None if shares is None else [round(share, 2) for share in shares]


def _front(found: Overview, names: Sequence[str]) -> list[dict[str, Any]]:
    """Models with a perplexity; none where fewer than two have one."""
    every = [(found.original_size.parameters, found.original_evaluation)]
    every += [(one.sizes.pruned.parameters, one.evaluation) for one in found.models]
    points = [
        {
            "name": names[number],
            "parameters": parameters,
            "perplexity": evaluation.perplexity,
            "best": number - 1 in found.best,
        }
        for number, (parameters, evaluation) in enumerate(every)
        if evaluation is not None
        and evaluation.perplexity is not None
        and isfinite(evaluation.perplexity)
    ]
    return points if len(points) > 1 else []
