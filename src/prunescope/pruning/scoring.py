"""How important is each row? One score for each index of each axis that the targets cut."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from prunescope.architecture import Model
from prunescope.checkpoint.weights import WeightMap
from prunescope.extras import require
from prunescope.interop.hf import as_stored, mapped
from prunescope.interop.torch_tensors import as_tensor, computing_dtype
from prunescope.pruning.calibration import CalibrationSet
from prunescope.pruning.importance import magnitude, taylor
from prunescope.pruning.plan import PruningPlan, Target
from prunescope.pruning.scores import Scores

if TYPE_CHECKING:
    import torch
    from torch import Tensor
else:
    torch = require("torch", "prune")

Tick = Callable[[], None]


def magnitude_scores(
    targets: Sequence[Target], weights: WeightMap, plan: PruningPlan, device: str, tick: Tick
) -> Scores:
    """L1 or L2 of the weights, read one tensor at a time."""
    power = 1 if plan.importance == "l1" else 2
    rows = {}
    for target in targets:
        for member in target.group.members:
            weight = as_tensor(weights, member.tensor).to(device)
            rows[member.tensor.name, member.axis] = magnitude(weight, member.axis, power).cpu()
        tick()
    return Scores(rows)


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
    wanted: dict[str, set[int]] = defaultdict(set)
    for target in targets:
        for member in target.group.members:
            wanted[member.tensor.name].add(member.axis)
    rows: dict[tuple[str, int], Tensor] = {}

    def harvest(name: str) -> Callable[[Tensor], None]:
        def hook(parameter: Tensor) -> None:
            assert parameter.grad is not None
            for axis in wanted[name]:
                rows[name, axis] = taylor(
                    parameter.detach(), parameter.grad, axis, plan.taylor
                ).cpu()
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
    return Scores(rows, loss.item())


def _computable(model: Model, weights: WeightMap, device: str) -> dict[str, Tensor]:
    dtype = computing_dtype(model.checkpoint)
    if dtype == torch.float16 and torch.device(device).type == "cpu":
        dtype = torch.float32
    return {name: tensor.to(device, dtype) for name, tensor in mapped(model, weights).items()}
