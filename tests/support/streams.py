"""Tiny models of many families, their stored names, and what plain autograd says of them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedModel

from prunescope.checkpoint import Checkpoint, open_checkpoint
from prunescope.checkpoint.weights import WeightMap
from prunescope.pruning.calibration import CalibrationSet, choose_windows
from prunescope.pruning.plan import PruningPlan
from prunescope.pruning.scores import Scores
from prunescope.pruning.scoring import Computing, score
from tests.support.tiny import SHAPE

CALIBRATION = choose_windows(range(1, 300), 3, 16, 0, "made up")
FAMILIES: dict[str, dict[str, Any]] = {
    "llama": {"attention_bias": True, "mlp_bias": True},
    # A window shorter than the text, so that masks matter.
    "mistral": {"sliding_window": 6},
    "qwen2": {"tie_word_embeddings": True},
    "qwen3": {},
    "gemma2": {"sliding_window": 6, "query_pre_attn_scalar": 8, "tie_word_embeddings": True},
    "phi3": {"hidden_size": 32, "pad_token_id": None},
    "mixtral": {"num_local_experts": 4},
}


def family(model_type: str, **changes: Any) -> PreTrainedModel:
    """A tiny network with weights large enough for errors to show."""
    config = AutoConfig.for_model(model_type, **SHAPE | FAMILIES[model_type] | changes)
    network = AutoModelForCausalLM.from_config(config).eval()
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            noise = torch.randn(parameter.shape, generator=generator)
            parameter.copy_(1 + 0.1 * noise if "norm" in name else 0.3 * noise)
    return network


def stored(folder: Path, network: PreTrainedModel) -> Checkpoint:
    """The network in a folder, by its headers."""
    network.save_pretrained(folder)
    return open_checkpoint(folder)


def every_axis(checkpoint: Checkpoint) -> dict[str, set[int]]:
    """All axes of all tensors."""
    return {name: set(range(len(t.shape))) for name, t in checkpoint.tensors.items()}


def plan(importance: str, form: str = "param_first") -> PruningPlan:
    """Only the measure matters."""
    return PruningPlan(0.5, (1, 3), (1, 3), importance, form)


def scores_of(
    checkpoint: Checkpoint,
    wanted: PruningPlan,
    axes: dict[str, set[int]] | None = None,
    calibration: CalibrationSet = CALIBRATION,
    **computing: Any,
) -> Scores:
    """`score` of all axes, or of `axes`."""
    with WeightMap() as weights:
        return score(
            checkpoint,
            every_axis(checkpoint) if axes is None else axes,
            wanted,
            calibration,
            weights,
            Computing(**computing),
        )


@dataclass
class Learned:
    """The loss, and by stored name each weight, its gradient and its mean squared gradient."""

    loss: float
    weight: dict[str, Tensor]
    gradient: dict[str, Tensor]
    squares: dict[str, Tensor]


def learned(network: PreTrainedModel) -> Learned:
    """By an ordinary backward pass over all windows, and one for each window."""
    ids = torch.tensor(CALIBRATION.windows)
    parameters = dict(network.named_parameters(remove_duplicate=False))

    def backward(windows: Tensor) -> tuple[float, dict[str, Tensor]]:
        network.zero_grad()
        loss = network(input_ids=windows, labels=windows).loss
        loss.backward()
        found = {
            name: torch.zeros_like(p) if p.grad is None else p.grad.clone()
            for name, p in parameters.items()
        }
        return loss.item(), found

    loss, gradient = backward(ids)
    examples = [backward(window[None])[1] for window in ids]
    squares = {
        name: torch.stack([example[name].square() for example in examples]).mean(0)
        for name in gradient
    }
    weight = {name: p.detach() for name, p in parameters.items()}
    return Learned(loss, *map(by_stored_name, (weight, gradient, squares)))


def by_stored_name(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Mixtral's stacked experts by the names of its files; all others as they are."""
    found: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        stem = name.replace(".mlp.", ".block_sparse_moe.").rpartition(".experts.")[0]
        if name.endswith(".experts.gate_up_proj"):
            for number, expert in enumerate(tensor):
                found[f"{stem}.experts.{number}.w1.weight"] = expert[: len(expert) // 2]
                found[f"{stem}.experts.{number}.w3.weight"] = expert[len(expert) // 2 :]
        elif name.endswith(".experts.down_proj"):
            for number, expert in enumerate(tensor):
                found[f"{stem}.experts.{number}.w2.weight"] = expert
        elif name.endswith(".mlp.gate.weight"):
            found[name.replace(".mlp.", ".block_sparse_moe.")] = tensor
        else:
            found[name] = tensor
    return found


def difference(actual: Tensor, expected: Tensor) -> float:
    """‖actual − expected‖ / ‖expected‖."""
    return ((actual - expected).norm() / expected.norm().clamp(min=1e-30)).item()
