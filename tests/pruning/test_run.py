"""A pruned model is the original with some heads and channels silenced, only smaller."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import AutoModelForCausalLM, PreTrainedModel

import prunescope
from prunescope.errors import CheckpointError, PlanError
from prunescope.pruning.resolving import resolve
from prunescope.pruning.run import Pruned
from tests.support.pruning import (
    CALIBRATION,
    described,
    edit_weights,
    plan,
    prune_tiny,
    store_as_torch,
)
from tests.support.tensors import raw_bytes
from tests.support.tiny import BIASES, edit_json, tiny_folder, tiny_model, tiny_network

IMPORTANCE = ("random", "l1", "l2", "taylor")
MODELS: dict[str, dict[str, Any]] = {
    "llama": {},
    "llama with biases": BIASES,
    "llama, tied": {"tie_word_embeddings": True},
    "llama without GQA": {"num_key_value_heads": 4},
    "mistral": {"family": "mistral"},
}
TOKENS = torch.arange(3, 303, 5).view(2, 30)
# q and o 32 × 24, k and v 16 × 24, three of 20 × 24 in the MLP, two norms.
LAYER = 2 * 32 * 24 + 2 * 16 * 24 + 3 * 20 * 24 + 2 * 24
EMBEDDING = 320 * 24


def logits(network: PreTrainedModel) -> Tensor:
    with torch.no_grad():
        return network(input_ids=TOKENS).logits


def silenced(folder: Path, pruned: Pruned) -> PreTrainedModel:
    """transformers' own model in which the columns that read removed heads and channels are 0."""
    network = AutoModelForCausalLM.from_pretrained(folder).eval()
    for cut in pruned.cuts:
        layer = network.model.layers[cut.target.group.layer]
        is_mlp = cut.target.group.kind == "mlp"
        reading = layer.mlp.down_proj if is_mlp else layer.self_attn.o_proj
        width = reading.weight.shape[1] // cut.target.group.units
        with torch.no_grad():
            for unit in cut.removed:
                reading.weight[:, unit * width : (unit + 1) * width] = 0
    return network


@pytest.mark.parametrize("importance", IMPORTANCE)
@pytest.mark.parametrize("name", MODELS)
def test_it_computes_what_the_original_computes_without_the_removed_parts(
    tmp_path: Path, name: str, importance: str
) -> None:
    pruned = prune_tiny(tiny_model(tmp_path, **MODELS[name]), plan(importance))
    found = logits(pruned.network("cpu"))
    torch.testing.assert_close(found, logits(silenced(tmp_path, pruned)), rtol=1e-4, atol=1e-4)
    # Not because nothing was removed.
    whole = logits(AutoModelForCausalLM.from_pretrained(tmp_path).eval())
    assert (found - whole).abs().max() > 0.1


@pytest.mark.parametrize(
    ("changes", "original", "removed"),
    [
        # One GQA group: 16 rows of q, 16 columns of o, 8 rows of k and of v; 10 channels.
        ({}, 2 * EMBEDDING + 4 * LAYER + 24, (2 * 16 + 2 * 8 + 3 * 10) * 24),
        # Tied embeddings are stored, and counted, once.
        ({"tie_word_embeddings": True}, EMBEDDING + 4 * LAYER + 24, (2 * 16 + 2 * 8 + 30) * 24),
        # Biases of q, k, v, gate and up lose what their rows lose; those of o and down nothing.
        (
            BIASES,
            2 * EMBEDDING + 4 * (LAYER + 32 + 16 + 16 + 24 + 20 + 20 + 24) + 24,
            (2 * 16 + 2 * 8 + 3 * 10) * 24 + 16 + 8 + 8 + 10 + 10,
        ),
        # Four KV heads: two heads of 8 rows go from each of q, k, v and o.
        (
            {"num_key_value_heads": 4},
            2 * EMBEDDING + 4 * (LAYER + 2 * 16 * 24) + 24,
            (4 * 16 + 3 * 10) * 24,
        ),
    ],
    ids=["llama", "tied", "biases", "without GQA"],
)
@pytest.mark.parametrize("importance", ["random", "taylor"])
def test_parameters_are_counted(
    tmp_path: Path, importance: str, changes: dict[str, Any], original: int, removed: int
) -> None:
    pruned = prune_tiny(tiny_model(tmp_path, **changes), plan(importance))
    assert pruned.parameters.original == original
    # Layers 1 and 2 of 0..3.
    assert pruned.parameters.pruned == original - 2 * removed
    assert sum(p.numel() for p in pruned.network("cpu").parameters()) == original - 2 * removed


def test_a_tie_that_is_in_the_file_is_counted_once(tmp_path: Path) -> None:
    network = tiny_network(tie_word_embeddings=True)
    model = described(store_as_torch(tiny_folder(tmp_path, network), network.state_dict()))
    parameters = prune_tiny(model, plan()).parameters
    assert parameters.original == EMBEDDING + 4 * LAYER + 24
    assert parameters.removed == 2 * (2 * 16 + 2 * 8 + 3 * 10) * 24


@pytest.mark.parametrize("importance", IMPORTANCE)
def test_the_same_seed_gives_the_same_model(tmp_path: Path, importance: str) -> None:
    model = tiny_model(tmp_path)
    first, again = (prune_tiny(model, plan(importance, seed=7)) for _ in range(2))
    assert first.record == again.record
    assert first.config == again.config
    assert list(first.state) == list(again.state)
    assert all(raw_bytes(first.state[n]) == raw_bytes(again.state[n]) for n in first.state)


def test_another_seed_removes_other_parts_at_random(tmp_path: Path) -> None:
    model = tiny_model(tmp_path)
    kept = [[cut.kept for cut in prune_tiny(model, plan("random", seed=s)).cuts] for s in (1, 2)]
    assert kept[0] != kept[1]


def test_taylor_removes_what_changes_the_loss_least(tmp_path: Path) -> None:
    model = tiny_model(tmp_path)
    pruned = prune_tiny(model, plan("taylor"))
    network = AutoModelForCausalLM.from_pretrained(tmp_path)
    ids = torch.tensor(CALIBRATION.windows)
    loss = network(input_ids=ids, labels=ids).loss
    loss.backward()
    assert pruned.loss == pytest.approx(loss.item(), rel=1e-6)

    def salience(linear: Any) -> Tensor:
        return (linear.weight * linear.weight.grad).abs()

    for cut in pruned.cuts:
        layer = network.model.layers[cut.target.group.layer]
        if cut.target.group.kind == "mlp":
            scores = salience(layer.mlp.gate_proj).sum(1) + salience(layer.mlp.up_proj).sum(1)
            scores = scores + salience(layer.mlp.down_proj).sum(0)
        else:
            block = layer.self_attn
            by_row = [salience(p).sum(1) for p in (block.q_proj, block.k_proj, block.v_proj)]
            scores = sum(s.view(2, -1).sum(1) for s in [*by_row, salience(block.o_proj).sum(0)])
        order = scores.argsort().tolist()
        assert cut.removed == sorted(order[: len(order) // 2])


def test_l2_removes_the_smallest(tmp_path: Path) -> None:
    network = tiny_network()
    with torch.no_grad():
        for layer in network.model.layers[1:3]:
            # Odd channels and the first KV head are next to nothing.
            for linear in (layer.mlp.gate_proj, layer.mlp.up_proj):
                linear.weight[1::2] *= 1e-3
            layer.self_attn.k_proj.weight[:8] *= 1e-3
            layer.self_attn.v_proj.weight[:8] *= 1e-3
            layer.self_attn.q_proj.weight[:16] *= 1e-3
    pruned = prune_tiny(tiny_model(tmp_path, network), plan("l2"))
    assert [cut.removed for cut in pruned.cuts] == [[0], list(range(1, 20, 2))] * 2


def test_nothing_to_remove_is_the_original(tmp_path: Path) -> None:
    network = tiny_network()
    pruned = prune_tiny(tiny_model(tmp_path, network), plan(ratio=0))
    assert pruned.parameters.removed == 0
    assert all(torch.equal(pruned.state[n], t) for n, t in network.state_dict().items())


@pytest.mark.parametrize("importance", ["l1", "l2", "taylor"])
@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_weights_that_are_no_numbers_cannot_be_ranked(
    tmp_path: Path, importance: str, value: float
) -> None:
    network = tiny_network()
    with torch.no_grad():
        network.model.layers[1].mlp.up_proj.weight[3, 3] = value
    with pytest.raises(PlanError, match=r"scores of layer 1 are not finite"):
        prune_tiny(tiny_model(tmp_path, network), plan(importance))


def test_a_model_that_is_not_whole_is_refused(tmp_path: Path) -> None:
    tiny_folder(tmp_path)
    edit_weights(tmp_path, {"model.norm.weight": None})
    with pytest.raises(CheckpointError, match=r"tensor 'model\.norm\.weight' is missing"):
        prune_tiny(described(tmp_path), plan())


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
def test_narrow_models_stay_narrow(tmp_path: Path, dtype: torch.dtype) -> None:
    pruned = prune_tiny(tiny_model(tmp_path, dtype=dtype), plan("taylor"))
    assert {t.dtype for t in pruned.state.values()} == {dtype}
    assert pruned.network("cpu").dtype == dtype
    assert logits(pruned.network("cpu")).isfinite().all()


def test_saved_and_loaded_it_computes_the_same_and_can_be_pruned_again(tmp_path: Path) -> None:
    tiny_folder(tmp_path / "m")
    edit_json(tmp_path / "m" / "generation_config.json", {"eos_token_id": [0, 5]})
    first = prune_tiny(described(tmp_path / "m"), plan())
    first.save(tmp_path / "once")
    assert torch.equal(logits(prunescope.load(tmp_path / "once")), logits(first.network("cpu")))
    assert first.network("cpu").generation_config.eos_token_id == [0, 5]
    # Of 10 channels 5 go; the one KV head left cannot be halved (0.5 rounds to none).
    again = described(tmp_path / "once")
    assert [t.remove for t in resolve(plan(), again)] == [0, 5, 0, 5]
    second = prune_tiny(again, plan())
    assert second.parameters.removed == 2 * 3 * 5 * 24
    # In its own place: its tensors still lie over the file that is replaced.
    expected = logits(second.network("cpu"))
    second.save(tmp_path / "once")
    assert torch.equal(logits(prunescope.load(tmp_path / "once")), expected)
