"""What do the charts draw? Figures as plain data, which goes into the page as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from math import isfinite
from typing import Any

from prunescope.analysis.breakdown import Component, by_component
from prunescope.analysis.kept import Kept
from prunescope.analysis.overview import Overview, PrunedOverview
from prunescope.architecture import PROJECTIONS
from prunescope.report.html.said import Said, both, said
from prunescope.report.trace_findings import space_title

# A hostile file may claim a million layers; the table and the CSV are not for looking at.
MAX_LAYERS = 200
# Stretches of a layer's units that are drawn.
MAX_SHARES = 64
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
    return {
        "words": {word: said(word).pair() for word in _WORDS},
        "models": [
            _model(one, name, found.wanted.sparsity)
            for one, name in zip(found.models, names[1:], strict=True)
        ],
        "front": _front(found, names),
    }


def _model(one: PrunedOverview, name: str, target: float | None) -> dict[str, Any]:
    layers = one.comparison.layers[:MAX_LAYERS]
    roles = [verdict.role for verdict in one.comparison.verdicts()]
    overall = one.comparison.parameters.sparsity
    lines = [(overall, said("plot_overall", p=100 * overall))]
    if target is not None:
        lines.append((target, said("report_target", p=100 * target)))
    return {
        "name": name,
        "layers": [[layer.layer, layer.parameters.sparsity] for layer in layers],
        "lines": [[value, text.pair()] for value, text in lines],
        "modules": [role.name for role in PROJECTIONS if role in roles],
        "heat": [
            [layer.layer, module.role.name, module.parameters.sparsity]
            for layer in layers
            for module in layer.modules
            if module.role in roles
        ],
        "kept": _kept(one.kept),
        "bytes": [
            [component_title(component).pair(), counts.original, counts.pruned]
            for component, counts in by_component(one.parts).items()
        ],
    }


def component_title(component: Component) -> Said:
    """What a component is called."""
    return said(_COMPONENTS[component])


def _kept(kept: Kept) -> list[dict[str, Any]]:
    spaces = dict.fromkeys(unit.space for unit in kept.units)
    drawn = []
    for space in spaces:
        units = [unit for unit in kept.units if unit.space == space][:MAX_LAYERS]
        shares = [(unit.layer, unit.shares(MAX_SHARES)) for unit in units]
        largest = max(unit.original for unit in units)
        drawn.append(
            {
                "space": both(partial(space_title, space)).pair(),
                "units": largest,
                "stretches": min(largest, MAX_SHARES),
                "layers": [[layer, share] for layer, share in shares],
            }
        )
    return drawn


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
