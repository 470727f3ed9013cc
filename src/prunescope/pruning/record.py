"""What does `pruning.json` say? Enough to repeat the run and to check its result."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from statistics import fmean
from typing import Any

from prunescope import __version__
from prunescope.analysis.counts import Counts
from prunescope.analysis.record import SCHEMA
from prunescope.pruning.calibration import CalibrationRecord
from prunescope.pruning.groups import LAYERS
from prunescope.pruning.plan import PruningPlan
from prunescope.pruning.selection import Cut


def pruning_record(
    plan: PruningPlan,
    cuts: Sequence[Cut],
    parameters: Counts,
    calibration: CalibrationRecord | None,
    loss: float | None,
    kept_layers: Sequence[int] | None = None,
) -> dict[str, Any]:
    """The record of one run. It has no date and no path: the same run gives the same bytes.

    `layers` holds, by layer and group, the original indices that were kept: of heads, KV heads
    and channels, by space; and a summary of the scores of kept and removed units. `model` holds
    the same of a group of the whole model (`hidden`), and `kept_layers` the original's numbers of
    the layers that are left; both only where there is such a thing.
    """
    layers: dict[str, dict[str, Any]] = {}
    whole: dict[str, Any] = {}
    depth = {}
    for cut in cuts:
        group = cut.target.group
        if group.kind == LAYERS:
            depth = {"kept_layers": list(kept_layers or ()), "layer_scores": cut.scores}
        elif group.layer is None:
            whole[group.kind] = _entry(cut)
        else:
            layers.setdefault(str(group.layer), {})[group.kind] = _entry(cut)
    return {
        "schema": SCHEMA,
        "plan": plan.as_dict(),
        "parameters": {"original": parameters.original, "pruned": parameters.pruned},
        "calibration": calibration
        and {
            "source": calibration.source,
            "windows": calibration.windows,
            "length": calibration.length,
            "sha256": calibration.sha256,
            "loss": loss,
        },
        "versions": {"prunescope": __version__} | _versions("torch", "transformers"),
        **({"model": whole} if whole else {}),
        **depth,
        "layers": layers,
    }


def _entry(cut: Cut) -> dict[str, Any]:
    removed = cut.removed
    return {
        "units": cut.target.group.units,
        "removed_units": len(removed),
        "kept": cut.target.group.left(cut.kept),
        "scores": {
            "kept": _summary([cut.scores[unit] for unit in cut.kept]),
            "removed": _summary([cut.scores[unit] for unit in removed]),
        },
    }


def _summary(scores: Sequence[float]) -> dict[str, float] | None:
    if not scores:
        return None
    return {"min": min(scores), "mean": fmean(scores), "max": max(scores)}


def _versions(*packages: str) -> dict[str, str]:
    found = {}
    for package in packages:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found
