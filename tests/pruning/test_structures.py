"""Whatever is removed, the result computes what the original would without it, and proves it."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, LlamaForCausalLM

import prunescope
from prunescope.analysis.trace.run import trace
from prunescope.checkpoint import open_checkpoint
from prunescope.pruning.plan import PruningPlan
from tests.support.pruning import CALIBRATION, described, plan, prune_tiny, store_as_torch
from tests.support.streams import family
from tests.support.tiny import BIASES, edit_json, tiny_folder, tiny_network
from tests.support.verify import check, codes, failed, verified

# 8 query heads in 4 groups, so that query heads, KV heads and groups are three numbers.
HEADS = {"num_attention_heads": 8, "num_key_value_heads": 4}
TOKENS = torch.arange(3, 303, 5).view(2, 30)
KINDS: dict[str, PruningPlan] = {
    "group": plan(ratio=0.5),
    "query": plan(ratio=0.5, gqa="query"),
    "naive": plan(ratio=0.5, gqa="naive"),
    "global": plan(ratio=0.5, everywhere=True),
    "global query": plan("random", ratio=0.5, everywhere=True, gqa="query"),
    "ratios": plan(layer_ratios={0: {"mlp": 0.3}, 3: {"attention": 0.5, "mlp": 0.1}}),
    "rounded": plan(ratio=0.5, round_to=8),
    "channel": plan(ratio=0.25, structure="channel"),
    "channel, odd": plan("taylor", ratio=0.2, structure="channel"),
    "first layers": plan(structure="layer", layers=3),
    "layers by influence": plan(structure="layer", layers=2, depth_by="influence"),
    "steps": plan("taylor", ratio=0.5, steps=3),
    "channel in steps": plan("taylor", ratio=0.25, structure="channel", steps=2),
    "layers in steps": plan(structure="layer", layers=2, depth_by="influence", steps=2),
    "global in steps": plan("taylor", ratio=0.5, everywhere=True, steps=2),
}


VARIANTS: dict[str, dict[str, Any]] = {
    "plain": {},
    "biases": BIASES,
    "tied": {"tie_word_embeddings": True},
}
# Biases and ties are cut in their own way by these.
CASES = [("plain", kind) for kind in KINDS] + [
    (variant, kind)
    for variant in ("biases", "tied")
    for kind in ("query", "channel", "first layers", "steps")
]


@pytest.fixture(scope="module")
def originals(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    found = {}
    for name, changes in VARIANTS.items():
        network = tiny_network(**HEADS, **changes)
        found[name] = tiny_folder(tmp_path_factory.mktemp(name) / "original", network)
    # With the tie in the file, where both names must lose the same.
    store_as_torch(found["tied"], network.state_dict())
    return found


@pytest.fixture
def original(originals: dict[str, Path]) -> Path:
    return originals["plain"]


def logits(network: Any) -> torch.Tensor:
    with torch.no_grad():
        return network(input_ids=TOKENS).logits


@pytest.mark.parametrize(("variant", "kind"), CASES)
def test_it_is_saved_loaded_verified_and_traced(
    originals: dict[str, Path], tmp_path: Path, variant: str, kind: str
) -> None:
    original = originals[variant]
    pruned = prune_tiny(described(original), KINDS[kind])
    pruned.save(tmp_path / "pruned")
    assert torch.equal(logits(prunescope.load(tmp_path / "pruned")), logits(pruned.network("cpu")))
    found = verified(tmp_path / "pruned", original)
    assert failed(found) == set()
    assert check(found, "record").verdict == "pass"
    traced = trace(open_checkpoint(original), open_checkpoint(tmp_path / "pruned"))
    assert traced.ok is (kind != "naive")
    assert pruned.parameters.pruned == open_checkpoint(tmp_path / "pruned").parameters
    assert 0 < pruned.parameters.pruned < pruned.parameters.original


def test_query_heads_go_evenly_and_kv_heads_stay(original: Path) -> None:
    pruned = prune_tiny(described(original), KINDS["query"])
    for groups in pruned.record["layers"].values():
        kept = groups["attention"]["kept"]
        assert kept["kv_heads"] == [0, 1, 2, 3]
        # Of each pair 2i, 2i + 1 one is left.
        assert [head // 2 for head in kept["heads"]] == [0, 1, 2, 3]
    assert pruned.state["model.layers.1.self_attn.q_proj.weight"].shape == (32, 24)
    assert pruned.state["model.layers.1.self_attn.k_proj.weight"].shape == (32, 24)


def test_naive_removal_leaves_heads_with_foreign_kv_heads(original: Path, tmp_path: Path) -> None:
    pruned = prune_tiny(described(original), KINDS["naive"])
    kept = pruned.record["layers"]["1"]["attention"]["kept"]
    # As many query heads as KV heads go, those of the same numbers; the other four stay.
    assert kept["heads"] == [*kept["kv_heads"], 4, 5, 6, 7]
    assert pruned.state["model.layers.1.self_attn.q_proj.weight"].shape == (6 * 8, 24)
    pruned.save(tmp_path / "pruned")
    assert codes(verified(tmp_path / "pruned", original), "grouping", "warn") == {"foreign"}
    # Without the record nobody says that it was meant so.
    (tmp_path / "pruned" / "pruning.json").unlink()
    assert "grouping" in failed(verified(tmp_path / "pruned", original))


def test_the_hidden_dimension_is_cut_everywhere(original: Path) -> None:
    pruned = prune_tiny(described(original), KINDS["channel"])
    kept = pruned.record["model"]["hidden"]["kept"]["hidden"]
    assert len(kept) == 18
    whole = AutoModelForCausalLM.from_pretrained(original).state_dict()
    state = pruned.state
    for name, tensor in state.items():
        axes = [axis for axis, length in enumerate(whole[name].shape) if length == 24]
        expected = whole[name]
        for axis in axes:
            expected = expected.index_select(axis, torch.tensor(kept))
        assert torch.equal(tensor, expected), name
    assert pruned.config["hidden_size"] == 18
    assert pruned.config["head_dim"] == 8


@pytest.mark.parametrize("kind", ["first layers", "layers by influence"])
def test_layers_that_are_left_compute_as_they_did(original: Path, kind: str) -> None:
    pruned = prune_tiny(described(original), KINDS[kind])
    kept = pruned.record["kept_layers"]
    network = LlamaForCausalLM.from_pretrained(original).eval()
    assert kept == ([0, 1, 2] if kind == "first layers" else most_influential(network, 2))
    network.model.layers = torch.nn.ModuleList(network.model.layers[n] for n in kept)
    torch.testing.assert_close(logits(pruned.network("cpu")), logits(network))
    assert pruned.config["num_hidden_layers"] == len(kept)


def most_influential(network: Any, count: int) -> list[int]:
    """The layers with the lowest mean cosine of what goes in and what comes out."""
    lowest = [0.0] * 4
    ends = [*network.model.layers, network.model.norm]
    for window in CALIBRATION.windows:
        caught: list[torch.Tensor] = []
        hooks = [
            m.register_forward_pre_hook(lambda m, args, seen=caught: seen.append(args[0]))
            for m in ends
        ]
        with torch.no_grad():
            network(input_ids=torch.tensor([window]))
        for hook in hooks:
            hook.remove()
        for n, (a, b) in enumerate(pairwise(caught)):
            cosine = (a * b).sum(-1) / (a.norm(dim=-1) * b.norm(dim=-1))
            lowest[n] += float(cosine.mean())
    return sorted(sorted(range(4), key=lambda n: lowest[n])[:count])


@pytest.mark.parametrize("told", [True, False])
def test_a_layer_keeps_its_kind_of_attention_under_its_new_number(
    tmp_path: Path, told: bool
) -> None:
    """Gemma 2 gives every other layer a window; its older config.json leaves it to the number."""
    network = family("gemma2")
    second = network.model.layers[1]
    with torch.no_grad():
        # It gives what it was given, so that it is the one to go, and nothing changes without it.
        second.self_attn.o_proj.weight.zero_()
        second.mlp.down_proj.weight.zero_()
    network.save_pretrained(tmp_path / "m")
    if not told:
        edit_json(tmp_path / "m" / "config.json", {"layer_types": None})
    pruned = prune_tiny(
        described(tmp_path / "m"),
        PruningPlan(0.5, (0, 4), (0, 4), structure="layer", layers=3, depth_by="influence"),
    )
    assert pruned.record["kept_layers"] == [0, 2, 3]
    assert pruned.config["layer_types"] == ["sliding_attention"] * 2 + ["full_attention"]
    torch.testing.assert_close(logits(pruned.network("cpu")), logits(network))
