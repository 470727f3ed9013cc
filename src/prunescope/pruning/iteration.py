"""What goes in several steps? A share at a time, each by scores measured on what is left so far."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

from prunescope.architecture import Model, describe
from prunescope.checkpoint import open_checkpoint
from prunescope.checkpoint.weights import WeightMap
from prunescope.interop.export import export
from prunescope.interop.hf_config import Change
from prunescope.interop.hf_save import save
from prunescope.pruning.groups import HIDDEN, LAYERS, Group, group_of, hidden_group, layers_group
from prunescope.pruning.plan import PruningPlan
from prunescope.pruning.scores import Scores
from prunescope.pruning.selection import Cut, select_all, unit_scores
from prunescope.pruning.slicing import kept_layers, remaining, sliced_state
from prunescope.pruning.targets import Target, portion

# Of a model what may go, in which step, from 1.
Score = Callable[[Model, Sequence[Target], int], Scores]


def cut_in_steps(
    model: Model, plan: PruningPlan, targets: Sequence[Target], score: Score
) -> tuple[tuple[Cut, ...], float | None]:
    """The cuts of `model` after `plan.steps` steps, and the unpruned model's calibration loss.

    What lies between two steps is a model folder in the system's place for temporary files. The
    score of a unit is that of the last step in which it was there; indices are the original's.
    """
    current, done = model, [Cut(t, list(range(t.group.units)), []) for t in targets]
    loss: float | None = None
    with TemporaryDirectory(prefix="prunescope.") as temporary:
        for step in range(1, plan.steps + 1):
            wanted = _wanted(current, plan, done, portion(targets, step, plan.steps), targets)
            scores = score(current, wanted, step)
            loss = scores.loss if step == 1 else loss
            chosen = select_all(plan, wanted, unit_scores(plan, wanted, scores))
            done = [_composed(a, b) for a, b in zip(done, chosen, strict=True)]
            if step < plan.steps:
                folder = Path(temporary) / str(step)
                _store(folder, model, done)
                current = describe(open_checkpoint(folder))
    return tuple(done), loss


def _wanted(
    model: Model,
    plan: PruningPlan,
    done: Sequence[Cut],
    goal: Sequence[Target],
    targets: Sequence[Target],
) -> tuple[Target, ...]:
    """What goes of `model`, which has lost what `done` says already."""
    wanted = []
    gone = [cut.target.group.units - len(cut.kept) for cut in done]
    # Ranked across layers, a layer may have lost more than its own share already: what is still
    # to go is then shared out by what is left to go of all.
    together = {t.group.kind for t in targets if t.free}
    for target, part, already in zip(targets, goal, gone, strict=True):
        group = _again(model, plan, target.group)
        remove = part.remove - already
        if target.group.kind in together and target.group.kind != LAYERS:
            remove = 0
        wanted.append(replace(target, group=group, remove=remove))
    for kind in together - {LAYERS}:
        same = [n for n, t in enumerate(targets) if t.group.kind == kind]
        left = sum(goal[n].remove - gone[n] for n in same)
        for n in same:
            wanted[n] = replace(wanted[n], remove=left if n == same[0] else 0)
    return tuple(wanted)


def _again(model: Model, plan: PruningPlan, group: Group) -> Group:
    if group.kind == LAYERS:
        return layers_group(model)
    if group.kind == HIDDEN:
        return hidden_group(model)
    assert group.layer is not None
    return group_of(model, group.layer, group.kind, plan.gqa)


def _composed(before: Cut, after: Cut) -> Cut:
    """Two cuts, one after the other, as one of the original."""
    scores = before.scores or [0.0] * before.target.group.units
    for unit, score in zip(before.kept, after.scores, strict=True):
        scores[unit] = score
    kept = [before.kept[unit] for unit in after.kept]
    group = before.target.group
    return Cut(replace(before.target, remove=group.units - len(kept)), kept, scores)


def _store(folder: Path, model: Model, cuts: Sequence[Cut]) -> None:
    layers = kept_layers(model, cuts)
    with WeightMap() as weights:
        state = sliced_state(model, cuts, weights)
        change = Change(whole_spaces(cuts), layers)
        exported = export(model, state, remaining(model, cuts), "bin", change=change)
        save(folder, exported, {}, None)


def whole_spaces(cuts: Sequence[Cut]) -> dict[str, int]:
    """Space of the whole model → its length, where it was cut."""
    groups = {cut.target.group.kind: len(cut.kept) for cut in cuts}
    return {kind: length for kind, length in groups.items() if kind == HIDDEN}
