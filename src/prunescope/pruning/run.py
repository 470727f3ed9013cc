"""How is a model pruned, from plan to saved folder?"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from prunescope.analysis.counts import Counts
from prunescope.analysis.record import RECORD, parse_record
from prunescope.architecture import Model
from prunescope.checkpoint.jsonfile import read_object
from prunescope.checkpoint.storage import File
from prunescope.checkpoint.weights import WeightMap
from prunescope.errors import PlanError
from prunescope.interop.assembling import assemble
from prunescope.interop.companions import home
from prunescope.interop.export import export
from prunescope.interop.formats import Format
from prunescope.interop.hf import as_stored, with_generation_settings
from prunescope.interop.hf_config import Change, config_for
from prunescope.interop.hf_save import Card, save
from prunescope.interop.layered import LayeredNetwork
from prunescope.interop.lazy_state import LazyState
from prunescope.interop.padding import Padding
from prunescope.interop.torch_tensors import computing_dtype, stored_state
from prunescope.pruning.allocation import meet_cheapest
from prunescope.pruning.calibration import CalibrationRecord, CalibrationSet
from prunescope.pruning.iteration import cut_in_steps, whole_spaces
from prunescope.pruning.plan import PruningPlan
from prunescope.pruning.record import pruning_record
from prunescope.pruning.replay import recorded_cuts
from prunescope.pruning.scores import Scores
from prunescope.pruning.scoring import Computing, axes_of, score
from prunescope.pruning.selection import Cut, select_all, unit_scores
from prunescope.pruning.slicing import kept_layers, remaining, sliced_state
from prunescope.pruning.targets import Target
from prunescope.steps import Progress, silent

if TYPE_CHECKING:
    import transformers


@dataclass(frozen=True)
class Pruned:
    """A pruned model in memory.

    Attributes:
        state: its tensors, by name, made when they are asked for; those that were not cut lie
            over the original's file.
        config: its config.json.
        record: its pruning.json.
        cuts: what was removed where.
        parameters: stored parameters before and after.
        loss: of the unpruned model on the calibration set, in nats per token; None where it was
            not measured.
    """

    base: Model
    state: LazyState
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
        change = Change(whole_spaces(self.cuts), kept_layers(self.base, self.cuts))
        exported = export(self.base, self.state, lengths, form, is_uniform, change)
        save(folder, exported, self.record, home(self.base), card)
        return exported.padding

    def network(self, device: str) -> transformers.PreTrainedModel:
        """The model, to be run on `device`."""
        dtype = computing_dtype(self.base.checkpoint)
        state = LazyState(
            self.state.outlines,
            lambda name: self.state[name].to(device, dtype),
            self.state.release,
        )
        network = assemble(self.config, state, self.base.checkpoint.path)
        return with_generation_settings(network, self.base)

    def layered(self, device: str) -> LayeredNetwork:
        """The same, of which a layer at a time is in memory."""
        base = self.base.checkpoint
        return LayeredNetwork(self.state, self.config, base.path, device, computing_dtype(base))


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
        calibration: needed where `plan.is_calibrated`.
        scored: what was measured before, and on what; nothing is measured then, and the model
            has been checked to be whole (`check_whole`).

    Raises:
        PlanError: scores that are not finite.
        CheckpointError: weights that cannot be read, or are no whole model.
    """
    if scored is None:
        check_whole(model)

    def measure(current: Model, wanted: Sequence[Target], step: int = 1) -> Scores:
        place = computing.in_step(step)
        with WeightMap() as weights:
            axes = axes_of(wanted)
            return score(current.checkpoint, axes, plan, calibration, weights, place, progress)

    record = calibration.record if calibration and plan.is_calibrated else None
    if plan.steps > 1:
        cuts, loss = cut_in_steps(model, plan, targets, measure)
    else:
        scores, record = scored or (measure(model, targets), record)
        units = unit_scores(plan, targets, scores)
        if plan.knapsack and plan.budget is not None:
            targets = meet_cheapest(plan.budget, targets, units, model)
        cuts = select_all(plan, targets, units)
        loss = scores.loss
    return removed(model, plan, cuts, record, loss)


def check_whole(model: Model) -> None:
    """Raise CheckpointError where something is missing: what is left would load nowhere."""
    with WeightMap() as weights:
        as_stored(model, stored_state(model.checkpoint, weights), is_held=False)


def removed(
    model: Model,
    plan: PruningPlan,
    cuts: tuple[Cut, ...],
    calibration: CalibrationRecord | None = None,
    loss: float | None = None,
) -> Pruned:
    """What `cuts` leave of `model`."""

    def describe(parameters: Counts, layers: list[int] | None) -> dict[str, Any]:
        return pruning_record(plan, cuts, parameters, calibration, loss, layers)

    return _pruned(model, cuts, describe, loss)


def replay(model: Model, file: File) -> Pruned:
    """Do once more what the pruning.json `file` says was done to `model`.

    Raises:
        PlanError: it is no record, or that of another model.
        CheckpointError: it cannot be read, or the weights are no whole model.
    """
    record = parse_record(file)
    if record is None:
        raise PlanError(f"{file}: is no pruning.json of prunescope")
    check_whole(model)
    cuts = recorded_cuts(model, record)
    # What was measured then is still what the choice was made by.
    return _pruned(model, cuts, lambda *_: read_object(file, RECORD), None)


def _pruned(
    model: Model,
    cuts: tuple[Cut, ...],
    describe: Callable[[Counts, list[int] | None], dict[str, Any]],
    loss: float | None,
) -> Pruned:
    # Not closed: tensors are read when they are asked for, also from a file replaced since.
    state = sliced_state(model, cuts, WeightMap())
    parameters = Counts(model.checkpoint.parameters, state.parameters)
    layers = kept_layers(model, cuts)
    return Pruned(
        model,
        state,
        config_for(model, remaining(model, cuts), Change(whole_spaces(cuts), layers)),
        describe(parameters, layers),
        cuts,
        parameters,
        loss,
    )
