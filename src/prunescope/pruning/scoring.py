"""How important is each unit? One score for each unit of each target, by the plan's measure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from prunescope.architecture import Model
from prunescope.checkpoint.weights import WeightMap
from prunescope.extras import require
from prunescope.interop.hf import as_stored, mapped
from prunescope.interop.torch_tensors import as_tensor, computing_dtype
from prunescope.pruning.calibration import CalibrationSet
from prunescope.pruning.groups import Member
from prunescope.pruning.importance import combine, magnitude, taylor, unit_scores
from prunescope.pruning.plan import PruningPlan, Target

if TYPE_CHECKING:
    import torch
    from torch import Tensor
else:
    torch = require("torch", "prune")

Tick = Callable[[], None]


@dataclass(frozen=True, slots=True)
class Scores:
    """For each target the scores of its units, and the loss where it was measured."""

    units: tuple[list[float], ...]
    loss: float | None = None


def random_scores(targets: Sequence[Target], seed: int) -> Scores:
    """Uniform in [0, 1), in the order of the targets."""
    generator = torch.Generator().manual_seed(seed)
    return Scores(tuple(torch.rand(t.group.units, generator=generator).tolist() for t in targets))


def magnitude_scores(
    targets: Sequence[Target], weights: WeightMap, plan: PruningPlan, device: str, tick: Tick
) -> Scores:
    """L1 or L2 of the weights, read one tensor at a time."""
    power = 1 if plan.importance == "l1" else 2

    def score(member: Member) -> Tensor:
        weight = as_tensor(weights, member.tensor).to(device)
        return unit_scores(magnitude(weight, member.axis, power), member.width)

    units = []
    for target in targets:
        members = [score(member) for member in target.group.members]
        units.append(combine(members, plan.grouping).tolist())
        tick()
    return Scores(tuple(units))


def taylor_scores(
    model: Model,
    targets: Sequence[Target],
    weights: WeightMap,
    calibration: CalibrationSet,
    plan: PruningPlan,
    device: str,
    tick: Tick,
) -> Scores:
    """Taylor scores from one backward pass over the whole calibration set.

    Only the targets' weights have gradients, and each gradient is turned into scores and freed
    as soon as it is complete, so they are never all in memory at once. A model of dtype F16 is
    computed in float32 on the CPU, any other as `computing_dtype` says.
    """
    network = as_stored(model, _computable(model, weights, device))
    wanted: dict[str, list[tuple[int, int, Member]]] = defaultdict(list)
    for number, target in enumerate(targets):
        for place, member in enumerate(target.group.members):
            wanted[member.tensor.name].append((number, place, member))
    found: list[list[Tensor | None]] = [[None] * len(t.group.members) for t in targets]

    def harvest(name: str) -> Callable[[Tensor], None]:
        def hook(parameter: Tensor) -> None:
            assert parameter.grad is not None
            for number, place, member in wanted[name]:
                channels = taylor(parameter.detach(), parameter.grad, member.axis, plan.taylor)
                found[number][place] = unit_scores(channels, member.width).cpu()
            parameter.grad = None
            tick()

        return hook

    parameters = dict(network.named_parameters(remove_duplicate=False))
    for name in wanted:
        parameters[name].requires_grad_(True)
        parameters[name].register_post_accumulate_grad_hook(harvest(name))
    ids = torch.tensor(calibration.windows, device=device)
    loss = network(input_ids=ids, labels=ids, use_cache=False).loss
    loss.backward()
    units = tuple(
        combine([scores for scores in members if scores is not None], plan.grouping).tolist()
        for members in found
    )
    return Scores(units, loss.item())


def _computable(model: Model, weights: WeightMap, device: str) -> dict[str, Tensor]:
    dtype = computing_dtype(model.checkpoint)
    if dtype == torch.float16 and torch.device(device).type == "cpu":
        dtype = torch.float32
    return {name: tensor.to(device, dtype) for name, tensor in mapped(model, weights).items()}
