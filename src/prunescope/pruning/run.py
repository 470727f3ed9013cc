"""How is a model pruned, from plan to saved folder?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from prunescope.analysis.counts import Counts
from prunescope.architecture import Model
from prunescope.checkpoint.weights import WeightMap
from prunescope.interop.hf import as_stored, assemble, home, mapped, with_generation_settings
from prunescope.interop.hf_config import config_for
from prunescope.interop.hf_save import save
from prunescope.interop.torch_tensors import computing_dtype
from prunescope.pruning.calibration import CalibrationRecord, CalibrationSet
from prunescope.pruning.plan import PruningPlan, Target
from prunescope.pruning.record import pruning_record
from prunescope.pruning.scores import Scores
from prunescope.pruning.scoring import Computing, axes_of, score
from prunescope.pruning.selection import Cut, select, unit_scores
from prunescope.pruning.slicing import remaining, sliced_state
from prunescope.steps import Progress, silent

if TYPE_CHECKING:
    import torch
    import transformers


@dataclass(frozen=True)
class Pruned:
    """A pruned model in memory.

    Attributes:
        state: its tensors, by name; those that were not cut lie over the original's file.
        config: its config.json.
        record: its pruning.json.
        cuts: what was removed where.
        parameters: stored parameters before and after.
        loss: of the unpruned model on the calibration set, in nats per token; None where it was
            not measured.
    """

    base: Model
    state: dict[str, torch.Tensor]
    config: dict[str, Any]
    record: dict[str, Any]
    cuts: tuple[Cut, ...]
    parameters: Counts
    loss: float | None

    def save(self, folder: Path) -> None:
        """Write it to `folder`, whole or not at all."""
        save(folder, self.state, self.config, self.record, home(self.base))

    def network(self, device: str) -> transformers.PreTrainedModel:
        """The model, to be run on `device`."""
        dtype = computing_dtype(self.base.checkpoint)
        state = {name: tensor.to(device, dtype) for name, tensor in self.state.items()}
        network = assemble(self.config, state, self.base.checkpoint.path)
        return with_generation_settings(network, self.base)


def prune(
    model: Model,
    plan: PruningPlan,
    targets: Sequence[Target],
    calibration: CalibrationSet | None,
    computing: Computing,
    progress: Progress = silent,
    scored: tuple[Scores, CalibrationRecord | None] | None = None,
) -> Pruned:
    """Score, select and slice.

    Args:
        targets: `resolve(plan, model)`.
        calibration: needed for calibrated importance only.
        scored: what was measured before, and on what; nothing is measured then.

    Raises:
        PlanError: scores that are not finite.
        CheckpointError: weights that cannot be read, or are no whole model.
    """
    with WeightMap() as weights:
        # A pruned model of which something is missing would load nowhere.
        as_stored(model, mapped(model, weights))
        if scored is None:
            axes = axes_of(targets)
            scores = score(model.checkpoint, axes, plan, calibration, weights, computing, progress)
            record = calibration.record if calibration and plan.is_calibrated else None
        else:
            scores, record = scored
        units = unit_scores(plan, targets, scores)
        cuts = tuple(select(target, each) for target, each in zip(targets, units, strict=True))
        state = sliced_state(model, cuts, weights)
    stored = {id(tensor): tensor.numel() for tensor in state.values()}
    parameters = Counts(model.checkpoint.parameters, sum(stored.values()))
    return Pruned(
        model,
        state,
        config_for(model, remaining(model, cuts)),
        pruning_record(plan, cuts, parameters, record, scores.loss),
        cuts,
        parameters,
        scores.loss,
    )
