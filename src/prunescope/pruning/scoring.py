"""How important is each row? One score for each index of each axis that is asked for."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

from prunescope import __version__
from prunescope.architecture import Model
from prunescope.checkpoint import Checkpoint
from prunescope.checkpoint.digest import model_digest
from prunescope.checkpoint.weights import WeightMap
from prunescope.extras import require
from prunescope.interop.layered import LayeredNetwork
from prunescope.interop.torch_tensors import as_tensor, computing_dtype, stored_state
from prunescope.pruning.calibration import CalibrationSet
from prunescope.pruning.importance import magnitude
from prunescope.pruning.plan import Importance, PruningPlan
from prunescope.pruning.processes import ALONE, Processes
from prunescope.pruning.scores import Scores
from prunescope.pruning.shelf import Shelf, SpilledShelf, clear, kept_shelf
from prunescope.pruning.streaming import Axes, Pass, share
from prunescope.pruning.targets import Target
from prunescope.steps import Progress, silent

if TYPE_CHECKING:
    import torch
else:
    torch = require("torch", "prune")

# Boundary activations beyond this go to a temporary folder.
_IN_MEMORY = 1 << 30


@dataclass(frozen=True, slots=True)
class Computing:
    """Where and how scores are computed; nothing of it decides what they are.

    Attributes:
        device: torch's name.
        dtype: of weights and activations; None for `default_dtype`.
        work: a folder that keeps the progress of an interrupted pass; None to keep none.
        processes: who shares the windows.
    """

    device: str = "cpu"
    dtype: torch.dtype | None = None
    work: Path | None = None
    processes: Processes = ALONE

    def in_step(self, step: int) -> Computing:
        """The same, with a folder for the progress of this step, the first one's being `work`."""
        if self.work is None or step == 1:
            return self
        return replace(self, work=self.work.with_name(f"{self.work.name}.{step}"))


def axes_of(targets: Iterable[Target]) -> dict[str, set[int]]:
    """The axes that `targets` cut, by tensor."""
    axes: dict[str, set[int]] = defaultdict(set)
    for target in targets:
        for member in target.group.members:
            axes[member.tensor.name].add(member.axis)
    return dict(axes)


def all_axes(model: Model) -> dict[str, set[int]]:
    """Every axis that any plan may cut, by tensor: all but the vocabulary's."""
    axes: dict[str, set[int]] = {}
    for name, role in model.roles.items():
        found = {axis for axis, space in enumerate(role.axes) if space != "vocab"}
        if found:
            axes[name] = found
    return axes


def score(
    checkpoint: Checkpoint,
    axes: Axes,
    plan: PruningPlan,
    calibration: CalibrationSet | None,
    weights: WeightMap,
    computing: Computing,
    progress: Progress = silent,
) -> Scores:
    """Score `axes` by the measure of `plan`; `random` has no scores.

    Args:
        axes: stored tensor → axes; see `axes_of` and `all_axes`. Without any, a measure that is
            calibrated gives the loss and each layer's block influence alone.
        calibration: needed by `taylor`, `wanda` and `flap` only.

    Raises:
        CheckpointError: weights that cannot be read, or are no whole model.
        PrunescopeError: the folder for progress cannot be used.
    """
    if plan.structure == "layer":
        if not plan.is_calibrated:
            return Scores({})
        # Block influence comes with any forward pass; nothing in a layer is scored.
        axes, plan = {}, replace(plan, importance="wanda")
    elif plan.importance == "random":
        return Scores({})
    if not plan.is_calibrated:
        return _magnitudes(checkpoint, axes, plan, weights, computing, progress)
    if calibration is None:
        raise ValueError(f"{plan.importance} importance needs a calibration set")
    dtype = computing.dtype or default_dtype(checkpoint, computing.device, plan.importance)
    state = stored_state(checkpoint, weights)
    network = LayeredNetwork(state, checkpoint.config, checkpoint.path, computing.device, dtype)
    wanted = {name: axes[name] for name in axes if network.holds(name)}
    windows = share(calibration.windows, computing.processes)
    key = _key(checkpoint, wanted, plan, calibration, dtype, computing)
    shelf = _shelf(windows.numel() * dtype.itemsize, network, computing, key)
    work = Pass(
        network,
        plan.importance,
        plan.taylor,
        wanted,
        windows,
        len(calibration.windows),
        shelf,
        computing.processes,
    )
    with progress(work.steps) as work.tick:
        rows, loss, influence = work.run()
    return Scores(rows, loss, influence)


def forget_progress(computing: Computing) -> None:
    """Remove what `score` has kept for `computing`, in all steps: once its scores have served."""
    for step in count(1):
        folder = _folder(computing.in_step(step))
        if folder is None or not folder.is_dir():
            return
        clear(folder)


def default_dtype(checkpoint: Checkpoint, device: str, importance: Importance) -> torch.dtype:
    """What scores are computed in where nobody says: the model's own dtype, but for float16.

    A CPU has no fast arithmetic for it, and the gradients of a loss that is a mean over many tokens
    fall below its range: on a device `taylor` has the range of bfloat16 instead.
    """
    dtype = computing_dtype(checkpoint)
    if dtype != torch.float16:
        return dtype
    if torch.device(device).type == "cpu":
        return torch.float32
    return torch.bfloat16 if importance == "taylor" else dtype


def _magnitudes(
    checkpoint: Checkpoint,
    axes: Axes,
    plan: PruningPlan,
    weights: WeightMap,
    computing: Computing,
    progress: Progress,
) -> Scores:
    """L1 or L2 of the weights, read one tensor at a time."""
    power = 1 if plan.importance == "l1" else 2
    rows = {}
    with progress(len(axes)) as tick:
        for name, wanted in axes.items():
            weight = as_tensor(weights, checkpoint.tensors[name]).to(computing.device)
            for axis in wanted:
                rows[name, axis] = magnitude(weight, axis, power).cpu()
            weights.release()
            tick()
    return Scores(rows)


def _shelf(
    bytes_a_feature: int, network: LayeredNetwork, computing: Computing, key: Mapping[str, Any]
) -> Shelf:
    folder = _folder(computing)
    if folder is not None:
        return kept_shelf(folder, key)
    hidden = network.network.get_input_embeddings().weight.shape[1]
    kept = bytes_a_feature * hidden * (len(network.layers) + 1)
    return SpilledShelf() if kept > _IN_MEMORY else Shelf()


def _folder(computing: Computing) -> Path | None:
    work, processes = computing.work, computing.processes
    return work if work is None or processes.count == 1 else Path(f"{work}-{processes.rank}")


def _key(
    checkpoint: Checkpoint,
    axes: Mapping[str, Collection[int]],
    plan: PruningPlan,
    calibration: CalibrationSet,
    dtype: torch.dtype,
    computing: Computing,
) -> dict[str, Any]:
    """What progress depends on: with any of it changed, it is of no use."""
    return {
        "model": model_digest(checkpoint),
        "measure": plan.importance,
        "form": plan.taylor,
        "calibration": calibration.digest,
        "dtype": str(dtype),
        "device": torch.device(computing.device).type,
        "axes": {name: sorted(axes[name]) for name in sorted(axes)},
        "process": [computing.processes.rank, computing.processes.count],
        "versions": [__version__, torch.__version__, require("transformers", "prune").__version__],
        # What has gone before this step was chosen by all of it.
        "plan": plan.as_dict() if plan.steps > 1 else None,
    }
