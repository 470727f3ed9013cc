"""Wanda and FLAP against their formulas, from inputs that ordinary hooks have seen."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from tests.support.streams import (
    CALIBRATION,
    FAMILIES,
    difference,
    every_axis,
    family,
    plan,
    scores_of,
    stored,
)

IDS = torch.tensor(CALIBRATION.windows)


def seen(network: PreTrainedModel) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """By module: all inputs of linear layers, [tokens, in], and outputs of norms."""
    inputs: dict[str, Tensor] = {}
    outputs: dict[str, Tensor] = {}

    def hook(name: str) -> Any:
        def note(module: nn.Module, given: tuple[Tensor, ...], output: Any) -> None:
            if isinstance(module, nn.Linear):
                inputs[name] = given[0].reshape(-1, given[0].shape[-1]).double()
            elif "Norm" in type(module).__name__:
                outputs[name] = output.reshape(-1, output.shape[-1]).double()

        return note

    for name, module in network.named_modules():
        module.register_forward_hook(hook(name))
    with torch.no_grad():
        network(IDS)
    return inputs, outputs


def wanda_by_hand(network: PreTrainedModel) -> dict[tuple[str, int], Tensor]:
    inputs, outputs = seen(network)
    found: dict[tuple[str, int], Tensor] = {}
    for name, module in network.named_modules():
        if name in inputs:
            elements = module.weight.detach().double().abs() * inputs[name].norm(dim=0)
            found[f"{name}.weight", 0], found[f"{name}.weight", 1] = (
                elements.sum(1),
                elements.sum(0),
            )
            if module.bias is not None:
                # The input of a bias is 1 for each of the 48 tokens.
                found[f"{name}.bias", 0] = module.bias.detach().double().abs() * 48**0.5
        elif name in outputs:
            found[f"{name}.weight", 0] = outputs[name].norm(dim=0)
    embedding = network.get_input_embeddings().weight.detach().double()
    counts = torch.bincount(IDS.flatten(), minlength=len(embedding)).double()
    elements = embedding.abs() * counts.sqrt()[:, None]
    for axis in (0, 1):
        key = ("model.embed_tokens.weight", axis)
        tied = found.pop(("lm_head.weight", axis)) if network.config.tie_word_embeddings else 0
        found[key] = elements.sum(1 - axis) + tied
    return found


@pytest.mark.parametrize("model_type", ["llama", "qwen2", "qwen3", "gemma2", "phi3"])
def test_wanda_is_the_sum_of_weights_times_norms_of_their_inputs(
    tmp_path: Path, model_type: str
) -> None:
    network = family(model_type)
    checkpoint = stored(tmp_path, network)
    scores = scores_of(checkpoint, plan("wanda"))
    expected = wanda_by_hand(network)
    assert set(scores.rows) == set(expected)
    for key, row in scores.rows.items():
        assert difference(row, expected[key].float()) < 1e-5, key


@pytest.mark.parametrize("model_type", ["llama", "gemma2"])
def test_flap_is_the_variance_of_an_input_times_its_columns_squares(
    tmp_path: Path, model_type: str
) -> None:
    network = family(model_type)
    checkpoint = stored(tmp_path, network)
    scores = scores_of(checkpoint, plan("flap"))
    inputs, _ = seen(network)
    parameters = dict(network.named_parameters(remove_duplicate=False))
    expected = {
        (f"{name}.weight", 1): parameters[f"{name}.weight"].detach().double().square().sum(0)
        * values.var(dim=0)
        for name, values in inputs.items()
    }
    if network.config.tie_word_embeddings:
        expected["model.embed_tokens.weight", 1] = expected.pop(("lm_head.weight", 1))
    assert set(scores.rows) == set(expected)
    for key, row in scores.rows.items():
        assert difference(row, expected[key].float()) < 1e-5, key


def test_an_expert_sees_the_tokens_that_are_routed_to_it(tmp_path: Path) -> None:
    network = family("mixtral")
    checkpoint = stored(tmp_path, network)
    scores = scores_of(checkpoint, plan("wanda"))
    block = network.model.layers[1].mlp
    given: list[Tensor] = []
    block.register_forward_hook(lambda _, inputs, __: given.append(inputs[0].flatten(0, 1)))
    with torch.no_grad():
        network(IDS)
        _, _, chosen = block.gate(given[0])
    for number in range(FAMILIES["mixtral"]["num_local_experts"]):
        routed = given[0][(chosen == number).any(-1)].detach()
        w1, w3 = block.experts.gate_up_proj[number].detach().chunk(2)
        stem = f"model.layers.1.block_sparse_moe.experts.{number}"
        for part, weight in (("w1", w1), ("w3", w3)):
            elements = weight.abs() * routed.norm(dim=0)
            assert difference(scores.rows[f"{stem}.{part}.weight", 0], elements.sum(1)) < 1e-5
        between = torch.nn.functional.silu(routed @ w1.T) * (routed @ w3.T)
        elements = block.experts.down_proj[number].detach().abs() * between.norm(dim=0)
        assert difference(scores.rows[f"{stem}.w2.weight", 1], elements.sum(0)) < 1e-5
    assert set(scores.rows) == {(n, a) for n, axes in every_axis(checkpoint).items() for a in axes}
