"""How much does a layer change what passes through it?

Block influence: 1 − the mean cosine between a layer's input and its output, over all tokens
(Men et al., ShortGPT, arXiv 2403.03853, §3.1).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from prunescope.architecture import Model
from prunescope.checkpoint.weights import WeightMap
from prunescope.extras import require
from prunescope.interop.hf import as_stored, mapped
from prunescope.interop.torch_tensors import computing_dtype
from prunescope.pruning.calibration import CalibrationSet
from prunescope.pruning.scores import Scores

if TYPE_CHECKING:
    import torch
    from torch import Tensor
else:
    torch = require("torch", "prune")


def influence_scores(
    model: Model,
    weights: WeightMap,
    calibration: CalibrationSet,
    device: str,
    tick: Callable[[], None],
) -> Scores:
    """Each layer's block influence from one forward pass over each calibration window."""
    dtype = computing_dtype(model.checkpoint)
    if dtype == torch.float16 and torch.device(device).type == "cpu":
        dtype = torch.float32
    state = {name: tensor.to(device, dtype) for name, tensor in mapped(model, weights).items()}
    network = as_stored(model, state)
    totals = dict.fromkeys(model.layers, 0.0)
    prefix = model.family.layer_prefix

    def watch(layer: int) -> Callable[..., None]:
        def hook(module: Any, inputs: tuple[Tensor, ...], output: Any) -> None:  # noqa: ARG001
            after = output[0] if isinstance(output, tuple) else output
            cosine = torch.nn.functional.cosine_similarity(inputs[0].float(), after.float(), dim=-1)
            totals[layer] += float(cosine.double().mean())
            tick()

        return hook

    for layer in model.layers:
        network.get_submodule(f"{prefix}{layer}").register_forward_hook(watch(layer))
    loss = 0.0
    with torch.no_grad():
        for window in calibration.windows:
            ids = torch.tensor([window], device=device)
            loss += float(network(input_ids=ids, labels=ids, use_cache=False).loss)
    count = len(calibration.windows)
    influence = {layer: 1 - total / count for layer, total in totals.items()}
    return Scores({}, loss / count, influence)
