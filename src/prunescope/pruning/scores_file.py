"""How are scores kept for another day? In a safetensors file that says what they were measured on.

Its tensors are `<tensor name>:<axis>`, float32 and of one axis each. Its metadata are one entry,
`prunescope`, a JSON object of `layout` (the version of it), `model` (`model_digest`), `measure`,
`calibration`, `loss` and `influence`: safetensors writes several in another order each time. A
ratio, a range or a grouping is chosen anew from them in seconds.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from prunescope.atomic import replacing
from prunescope.checkpoint import Checkpoint, TensorInfo, safetensors
from prunescope.checkpoint.digest import model_digest
from prunescope.checkpoint.storage import LocalFile
from prunescope.checkpoint.weights import WeightMap
from prunescope.errors import CheckpointError, PlanError
from prunescope.extras import require
from prunescope.interop.torch_tensors import as_tensor
from prunescope.pruning.calibration import CalibrationRecord
from prunescope.pruning.plan import PruningPlan
from prunescope.pruning.scores import Scores
from prunescope.pruning.streaming import Axes

if TYPE_CHECKING:
    from torch import Tensor

LAYOUT = 1
_ENTRY = "prunescope"


def save_scores(
    path: Path,
    scores: Scores,
    plan: PruningPlan,
    checkpoint: Checkpoint,
    calibration: CalibrationRecord | None,
) -> None:
    """Write `scores` to `path`, whole or not at all.

    Raises:
        PlanError: random importance, which has none.
        PrunescopeError: the file cannot be written.
    """
    if plan.importance == "random":
        raise PlanError("random importance has no scores to save")
    notes = {
        "layout": LAYOUT,
        "model": model_digest(checkpoint),
        "measure": measure(plan),
        "calibration": None if calibration is None else calibration.as_dict(),
        "loss": scores.loss,
        "influence": {str(layer): value for layer, value in scores.influence.items()},
    }
    tensors = {f"{name}:{axis}": row.contiguous() for (name, axis), row in scores.rows.items()}
    with replacing(path) as temporary:
        require("safetensors.torch", "prune").save_file(
            tensors, temporary, {_ENTRY: json.dumps(notes)}
        )


def load_scores(
    path: Path, plan: PruningPlan, checkpoint: Checkpoint, needed: Axes
) -> tuple[Scores, CalibrationRecord | None]:
    """What `save_scores` has written, if it was measured as `plan` says, on this model.

    Args:
        needed: stored tensor → axes that a score is needed of.

    Raises:
        PlanError: it is of another model or measure, or lacks what is needed.
        CheckpointError: it is no such file, or damaged.
    """
    file = LocalFile(path)
    contents = safetensors.read(file)
    notes = _notes(file, contents.metadata)
    if notes["model"] != model_digest(checkpoint):
        raise PlanError(f"{path}: holds the scores of another model than {checkpoint.path}")
    if notes["measure"] != measure(plan):
        raise PlanError(f"{path}: was measured by {notes['measure']}, not by {measure(plan)}")
    rows: dict[tuple[str, int], Tensor] = {}
    with WeightMap() as weights:
        for info in contents.tensors.values():
            rows[_place(checkpoint, info)] = as_tensor(weights, info).clone()
            weights.release()
    lacking = [(name, axis) for name, axes in needed.items() for axis in axes]
    # FLAP has nothing to say of most axes.
    if plan.importance != "flap":
        for name, axis in lacking:
            if (name, axis) not in rows:
                raise PlanError(f"{path}: has no scores of axis {axis} of {name!r}")
    try:
        influence = {int(layer): float(v) for layer, v in notes["influence"].items()}
        loss = None if notes["loss"] is None else float(notes["loss"])
        record = _record(plan, notes)
    except (AttributeError, OverflowError, TypeError, ValueError):
        raise _foreign(file) from None
    return Scores(rows, loss, influence), record


def measured_on(path: Path, plan: PruningPlan) -> PruningPlan:
    """`plan`, with the windows and the seed that the scores in this file were measured with.

    Raises:
        CheckpointError: it is no such file, or damaged.
    """
    file = LocalFile(path)
    notes = _notes(file, safetensors.read(file).metadata)
    try:
        record = _record(plan, notes)
    except (OverflowError, TypeError, ValueError):
        raise _foreign(file) from None
    if record is None:
        return plan
    windows, length = record.windows, record.length
    return replace(plan, examples=windows, example_length=length, seed=record.seed)


def measure(plan: PruningPlan) -> str:
    """The measure's name: `l2`, `taylor param_first`, …"""
    if plan.structure == "layer":
        return "influence"
    return f"taylor {plan.taylor}" if plan.importance == "taylor" else plan.importance


def _notes(file: LocalFile, metadata: Any) -> dict[str, Any]:
    keys = ("layout", "model", "measure", "calibration", "loss", "influence")
    try:
        told = json.loads(metadata[_ENTRY])
        notes = {key: told[key] for key in keys}
    except (KeyError, TypeError, ValueError, RecursionError):
        raise CheckpointError(file, "holds no scores of prunescope") from None
    if notes["layout"] != LAYOUT:
        raise CheckpointError(file, f"is of layout {notes['layout']}, not {LAYOUT}")
    return notes


def _foreign(file: LocalFile) -> CheckpointError:
    return CheckpointError(file, "its metadata are not those of scores")


def _record(plan: PruningPlan, notes: dict[str, Any]) -> CalibrationRecord | None:
    record = _calibration(notes["calibration"])
    if plan.is_calibrated and record is None:
        raise ValueError
    return record


def _calibration(told: Any) -> CalibrationRecord | None:
    """What scores were measured on.

    Raises:
        TypeError: it is no such record.
    """
    if told is None:
        return None
    record = CalibrationRecord(**told)
    counts = record.windows, record.length, record.seed
    if not all(type(n) is int for n in counts) or not (
        isinstance(record.source, str) and isinstance(record.sha256, str)
    ):
        raise TypeError
    return record


def _place(checkpoint: Checkpoint, info: TensorInfo) -> tuple[str, int]:
    """The tensor and axis that a row of the file scores."""
    name, _, axis = info.name.rpartition(":")
    tensor = checkpoint.tensors.get(name)
    if tensor is None or axis not in map(str, range(len(tensor.shape))):
        raise CheckpointError(info.file, f"{info.name!r} is no axis of the model")
    if info.dtype != "F32" or info.shape != (tensor.shape[int(axis)],):
        raise CheckpointError(info.file, f"{info.name!r} is no float32 score of each index")
    return name, int(axis)
