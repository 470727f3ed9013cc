"""What do scripts get? Results as JSON, each with the version of its schema."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from prunescope.report.messages import Messages

if TYPE_CHECKING:
    # Sizes are told without what comparisons need, which takes longer to import than they to read.
    from prunescope.analysis.checks import Check
    from prunescope.analysis.compare_result import Comparison, ModuleComparison
    from prunescope.analysis.counts import Counts
    from prunescope.analysis.scan import Scan
    from prunescope.analysis.size import ModelSize
    from prunescope.analysis.verify import Verification


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
            "layers_matched_by": comparison.matched.source,
            "generic": comparison.original.family.is_generic,
            "stacks": comparison.original.stacks,
            "parameters": _counts(comparison.parameters),
            "layers": [
                {
                    "layer": layer.layer,
                    "pruned_layer": layer.position,
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
            "models": [row for size in sizes for row in size.rows()],
        }
    )


def scan_json(found: Scan) -> str:
    """What loading each file would import and call."""
    return dump(
        {
            "schema": "prunescope.scan/1",
            "files": [
                {
                    "path": file.path,
                    "format": file.format,
                    "pickles": file.pickles,
                    "globals": [one.record() for one in file.findings],
                    "error": file.error,
                }
                for file in found.files
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
            row | {"findings": _with_texts(row["findings"], check, say)}
            for row, check in zip(found.rows(), found.checks, strict=True)
        ],
    }


def _with_texts(findings: list[dict[str, Any]], check: Check, say: Messages) -> list[Any]:
    from prunescope.report.verify import sentence

    pairs = zip(findings, check.findings, strict=True)
    return [row | {"text": sentence(one, say)} for row, one in pairs]


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
