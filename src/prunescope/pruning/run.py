"""How is a model pruned, from plan to saved folder?"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from prunescope.analysis.counts import Counts
from prunescope.architecture import Model
from prunescope.checkpoint.weights import WeightMap
from prunescope.interop.export import export
from prunescope.interop.formats import Format
from prunescope.interop.hf import as_stored, assemble, home, mapped, with_generation_settings
from prunescope.interop.hf_config import config_for
from prunescope.interop.hf_save import Card, save
from prunescope.interop.padding import Padding
from prunescope.interop.torch_tensors import computing_dtype
from prunescope.pruning.calibration import CalibrationSet
from prunescope.pruning.plan import PruningPlan, Target
from prunescope.pruning.record import pruning_record
from prunescope.pruning.scores import Scores
from prunescope.pruning.scoring import Tick, magnitude_scores, taylor_scores
from prunescope.pruning.selection import Cut, select, unit_scores
from prunescope.pruning.slicing import remaining, sliced_state

if TYPE_CHECKING:
    import torch
    import transformers

# Steps → what counts them off while they are done.
Progress = Callable[[int], AbstractContextManager[Tick]]


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

    def save(
        self,
        folder: Path,
        form: Format = "bin",
        is_uniform: bool = False,
        card: Card | None = None,
    ) -> Padding | None:
        """Write it to `folder`, whole or not at all; see `export` and `save` of interop."""
        lengths = remaining(self.base, self.cuts)
        exported = export(self.base, self.state, lengths, form, is_uniform)
        save(folder, exported, self.record, home(self.base), card)
        return exported.padding

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
    device: str,
    progress: Progress,
) -> Pruned:
    """Score, select and slice.

    Args:
        targets: `resolve(plan, model)`.
        calibration: needed for Taylor importance only.

    Raises:
        PlanError: scores that are not finite.
        CheckpointError: weights that cannot be read, or are no whole model.
    """
    with WeightMap() as weights:
        # A pruned model of which something is missing would load nowhere.
        as_stored(model, mapped(model, weights))
        scores = _score(model, plan, targets, weights, calibration, device, progress)
        units = unit_scores(plan, targets, scores)
        cuts = tuple(select(target, each) for target, each in zip(targets, units, strict=True))
        state = sliced_state(model, cuts, weights)
    stored = {id(tensor): tensor.numel() for tensor in state.values()}
    parameters = Counts(model.checkpoint.parameters, sum(stored.values()))
    return Pruned(
        model,
        state,
        config_for(model, remaining(model, cuts)),
        pruning_record(plan, cuts, parameters, calibration, scores.loss),
        cuts,
        parameters,
        scores.loss,
    )


def _score(
    model: Model,
    plan: PruningPlan,
    targets: Sequence[Target],
    weights: WeightMap,
    calibration: CalibrationSet | None,
    device: str,
    progress: Progress,
) -> Scores:
    if plan.importance == "random":
        return Scores({})
    if plan.importance != "taylor":
        with progress(len(targets)) as tick:
            return magnitude_scores(targets, weights, plan, device, tick)
    if calibration is None:
        raise ValueError("Taylor importance needs a calibration set")
    with progress(len({m.tensor.name for t in targets for m in t.group.members})) as tick:
        return taylor_scores(model, targets, weights, calibration, plan, device, tick)
