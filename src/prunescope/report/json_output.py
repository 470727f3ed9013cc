"""What do scripts get? Results as JSON, each with the version of its schema."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from math import isfinite
from typing import Any

from prunescope.analysis.compare import Comparison, ModuleComparison
from prunescope.analysis.counts import Counts
from prunescope.analysis.scan import FileScan
from prunescope.analysis.size import ModelSize
from prunescope.analysis.trace.results import MemberTrace, SpaceTrace, Trace


def analysis_json(comparison: Comparison) -> str:
    """A comparison: every module of every layer, norms and embeddings included."""
    return _dump(
        {
            "schema": "prunescope.analysis/1",
            "original": comparison.original.checkpoint.path,
            "pruned": comparison.pruned.checkpoint.path,
            "family": comparison.original.family.name,
            "parameters": _counts(comparison.parameters),
            "layers": [
                {
                    "layer": layer.layer,
                    "parameters": _counts(layer.parameters),
                    "modules": [_module(m) for m in layer.modules],
                }
                for layer in comparison.layers
            ],
            "outside_layers": [_module(m) for m in comparison.outside],
            "verdicts": [
                {
                    "module": v.role.title,
                    "retention": v.common,
                    "pruned_layers": v.pruned,
                    "unpruned_layers": v.unpruned,
                    "outliers": [{"layer": n, "retention": r} for n, r in v.outliers],
                }
                for v in comparison.verdicts()
            ],
        }
    )


def sizes_json(sizes: Sequence[ModelSize]) -> str:
    """Sizes of models, in bytes."""
    return _dump(
        {
            "schema": "prunescope.size/1",
            "models": [
                {
                    "path": size.path,
                    "format": size.format,
                    "weight_files": list(size.weight_files),
                    "weight_bytes": size.weight_bytes,
                    "folder_bytes": size.folder_bytes,
                    "parameters": size.parameters,
                    "tensor_bytes": size.tensor_bytes,
                    "bits_per_weight": size.bits_per_weight,
                    "dtypes": size.dtypes,
                    "tied": size.shared,
                    "adapter": size.adapter and asdict(size.adapter),
                }
                for size in sizes
            ],
        }
    )


def scans_json(scans: Sequence[FileScan]) -> str:
    """What loading each file would import and call."""
    return _dump(
        {
            "schema": "prunescope.scan/1",
            "files": [
                {
                    "path": scan.path,
                    "format": scan.format,
                    "pickles": scan.pickles,
                    "globals": [
                        {
                            "module": f.found.module,
                            "name": f.found.name,
                            "risk": f.risk,
                            "named": f.named,
                            "called": f.called,
                        }
                        for f in scan.findings
                    ],
                    "error": scan.error,
                }
                for scan in scans
            ],
        }
    )


def trace_json(found: Trace) -> str:
    """What pruning kept: units by their numbers in the original, and every check."""
    return _dump(
        {
            "schema": "prunescope.trace/1",
            "original": found.original,
            "pruned": found.pruned,
            "ok": found.ok,
            "head_dim": found.head_dim,
            "removed_layers": found.removed,
            "reordered": found.reordered,
            "layers": [
                {
                    "layer": layer.layer,
                    "pruned_layer": layer.position,
                    "ok": layer.ok,
                    "spaces": [_space(space) for space in layer.spaces.values()],
                    "pairing": layer.pairing
                    and {
                        "ok": layer.pairing.ok,
                        "even": layer.pairing.even,
                        "heads": [asdict(pair) for pair in layer.pairing.pairs],
                    },
                    "others": [_member(member) for member in layer.others],
                }
                for layer in found.layers
            ],
            "outside_layers": {
                "spaces": [_space(space) for space in found.spaces.values()],
                "others": [_member(member) for member in found.others],
            },
        }
    )


def _space(space: SpaceTrace) -> dict[str, Any]:
    return {
        "space": space.name,
        "rows_per_unit": space.rows,
        "original_units": space.original,
        "kept": space.kept,
        "ok": space.ok,
        "whole_units": space.whole,
        "in_order": space.in_order,
        "ambiguous_rows": space.ambiguous,
        "tensors": [_member(member) for member in space.members],
    }


def _member(member: MemberTrace) -> dict[str, Any]:
    return {
        "tensor": member.tensor,
        "module": member.role.title,
        "disagreeing": member.disagreeing,
        "untraced": member.untraced,
        "identical": member.identical,
        # JSON knows no infinity.
        "drift": member.drift if isfinite(member.drift) else None,
    }


def _module(module: ModuleComparison) -> dict[str, Any]:
    return {
        "module": module.role.title,
        "original_shape": module.original_shape,
        "pruned_shape": module.pruned_shape,
        "parameters": _counts(module.parameters),
    }


def _counts(counts: Counts) -> dict[str, Any]:
    return {
        "original": counts.original,
        "pruned": counts.pruned,
        "retention": counts.retention,
        "sparsity": counts.sparsity,
    }


def _dump(value: dict[str, Any]) -> str:
    # ASCII: a path or a tensor's name may hold what the terminal's encoding does not.
    return json.dumps(value, indent=2)
