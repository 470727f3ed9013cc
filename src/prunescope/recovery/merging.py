"""What are the model's weights with its adapters merged in? One rounding, to the stored type."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from prunescope.architecture import Model
from prunescope.checkpoint.weights import WeightMap
from prunescope.errors import PrunescopeError
from prunescope.extras import require
from prunescope.interop.torch_tensors import as_tensor
from prunescope.recovery.plan import RecoveryPlan

if TYPE_CHECKING:
    import torch
    import transformers
else:
    torch = require("torch", "prune")

_ADAPTER = "default"
_PREFIX = "base_model.model."


def with_adapters(
    network: transformers.PreTrainedModel, plan: RecoveryPlan, modules: Sequence[str]
) -> Any:
    """`network` with a fresh LoRA beside each of its `modules`, as PEFT builds it.

    Raises:
        MissingExtra: peft is not installed.
    """
    peft = require("peft", "recover")
    torch.manual_seed(plan.seed)
    config = peft.LoraConfig(
        r=plan.rank,
        lora_alpha=plan.alpha,
        lora_dropout=plan.dropout,
        target_modules=list(modules),
        bias="none",
        task_type="CAUSAL_LM",
    )
    # "" by default, and before 0.21 PEFT asks the hub for a model of that name when it saves.
    network.name_or_path = None
    with warnings.catch_warnings():
        # PEFT asks transformers by names that transformers will forget.
        warnings.simplefilter("ignore", FutureWarning)
        return peft.get_peft_model(network, config)


def shapes_of(adapted: Any) -> dict[str, tuple[int, ...]]:
    """Names and shapes of the adapters, as PEFT saves them."""
    state = require("peft", "recover").get_peft_model_state_dict(adapted)
    return {name: tuple(tensor.shape) for name, tensor in state.items()}


def merged_state(model: Model, adapted: Any, weights: WeightMap) -> dict[str, torch.Tensor]:
    """Every stored tensor of `model`, by name, those with an adapter changed by it.

    W + alpha / r · B A is summed in float32 and rounded once to the type that W is stored in;
    all other tensors lie over the map, with the bits they had.

    Raises:
        PrunescopeError: a sum is not finite in that type.
    """
    layers = {
        name.removeprefix(_PREFIX) + ".weight": module
        for name, module in adapted.named_modules()
        if _ADAPTER in getattr(module, "lora_A", {})
    }
    state: dict[str, torch.Tensor] = {}
    for name, info in model.checkpoint.tensors.items():
        if info.shared_with in state:
            state[name] = state[info.shared_with]
            continue
        state[name] = as_tensor(weights, info)
        if name in layers:
            change = layers.pop(name).get_delta_weight(_ADAPTER).detach().float().cpu()
            merged = (state[name].float() + change).to(state[name].dtype)
            if not merged.isfinite().all():
                raise PrunescopeError(f"tensor {name!r} is not finite once merged")
            state[name] = merged
    if layers:
        raise PrunescopeError(f"tensor {next(iter(layers))!r}, which was trained, is not stored")
    return state
