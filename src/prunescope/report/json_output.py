"""What do scripts get? Results as JSON, each with the version of its schema."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from prunescope.analysis.compare import Comparison, ModuleComparison
from prunescope.analysis.counts import Counts
from prunescope.analysis.scan import FileScan
from prunescope.analysis.size import ModelSize
from prunescope.analysis.verify import Verification
from prunescope.report.messages import Messages
from prunescope.report.verify import sentence


def analysis_json(comparison: Comparison, verification: Verification | None = None) -> str:
    """A comparison: every module of every layer, norms and embeddings included.

    A verification of the same models comes under `verification`, as `verification_json` has it.
    """
    more = {} if verification is None else {"verification": _verification(verification)}
    return dump(
        {
            "schema": "prunescope.analysis/1",
            "original": comparison.original.checkpoint.path,
            "pruned": comparison.pruned.checkpoint.path,
            "family": comparison.original.family.name,
            "generic": comparison.original.family.is_generic,
            "stacks": comparison.original.stacks,
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
        | more
    )


def verification_json(found: Verification) -> str:
    """Every check with its verdict and findings; texts are English whatever the language."""
    return dump(_verification(found))


def sizes_json(sizes: Sequence[ModelSize]) -> str:
    """Sizes of models, in bytes."""
    return dump(
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
    return dump(
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


def _verification(found: Verification) -> dict[str, Any]:
    say = Messages("en")
    return {
        "schema": "prunescope.verify/1",
        "original": found.original and found.original.checkpoint.path,
        "pruned": found.pruned.checkpoint.path,
        "family": found.pruned.family.name,
        "failed": [check.name for check in found.failed],
        "checks": [
            {
                "group": check.group,
                "name": check.name,
                "verdict": check.verdict,
                "source": check.source,
                "findings": [
                    {
                        "verdict": one.verdict,
                        "code": one.code,
                        "layers": one.layers,
                        "values": dict(one.values),
                        "text": sentence(one, say),
                    }
                    for one in check.findings
                ],
            }
            for check in found.checks
        ],
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


def dump(value: dict[str, Any]) -> str:
    """One schema's object as text."""
    # ASCII: a path or a tensor's name may hold what the terminal's encoding does not.
    return json.dumps(value, indent=2)
