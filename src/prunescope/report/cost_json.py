"""What do scripts get of costs? Bytes and FLOPs as they are, in one JSON object."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from prunescope.analysis.cost_result import Cost
from prunescope.analysis.devices import Device
from prunescope.report.json_output import dump

_RATIOS = (
    "parameters", "weight_bytes", "kv_bytes_per_token", "kv_bytes", "memory_bytes",
)  # fmt: skip
_STEP_RATIOS = ("flops_per_token", "intensity", "tokens_per_second")


def costs_json(costs: Sequence[Cost], device: Device | None) -> str:
    """One model, or an original and a pruned one with their ratios; device figures in base units:
    bytes a second, FLOPs a second, bytes."""
    workload = costs[0].workload
    models = [cost.record(device) for cost in costs]
    value: dict[str, Any] = {
        "schema": "prunescope.cost/1",
        "context": workload.context,
        "batch": workload.batch,
        "kv_dtype": workload.kv_dtype,
        "device": None if device is None else _device(device),
        "models": models,
    }
    if len(models) == 2:
        value["ratios"] = _ratios(*models)
    return dump(value)


def _device(device: Device) -> dict[str, Any]:
    return {
        "title": device.title,
        "bandwidth": device.bandwidth,
        "flops": device.flops,
        "memory_bytes": device.memory,
        "source": device.source,
    }


def _ratios(original: dict[str, Any], pruned: dict[str, Any]) -> dict[str, Any]:
    ratios: dict[str, Any] = {name: _ratio(original[name], pruned[name]) for name in _RATIOS}
    for step in ("prefill", "decode"):
        ratios[step] = {
            name: _ratio(original[step][name], pruned[step][name])
            for name in _STEP_RATIOS
            if name in original[step]
        }
    return ratios


def _ratio(original: float, pruned: float) -> float | None:
    return pruned / original if original else None
