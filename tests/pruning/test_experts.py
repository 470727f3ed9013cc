"""Experts of a layer lose as many channels each, the least important of its own."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers as hf

import prunescope
from prunescope.analysis.trace.run import trace
from prunescope.analysis.verify import verify
from prunescope.checkpoint import open_checkpoint
from prunescope.checkpoint.storage import LocalFile
from prunescope.errors import ArchitectureError, CheckpointError, PlanError
from prunescope.pruning.budget import Budget
from prunescope.pruning.groups import group_of
from prunescope.pruning.plan import Importance
from prunescope.pruning.resolving import resolve
from prunescope.pruning.run import replay
from tests.support.families import MODELS, family_folder
from tests.support.pruning import described, edit_weights, few_words, plan, prune_tiny, without
from tests.support.tiny import edit_json, tiny_tokenizer

IDS = torch.arange(3, 20)[None]
COLUMNS = {"heads": "self_attn.o_proj.weight", "expert_channels": "mlp.experts.down_proj"}
ALL = {"attention": (0, 3), "mlp": (0, 3)}
EXPERTS = 6
# Of 4 query heads and 2 KV heads of 12 rows; and of each channel of one expert.
ATTENTION, CHANNEL = (4 + 2 + 2 + 4) * 12 * 32, 3 * 32
# Of half of a model's channels, the nearest width that transformers computes.
LEFT = {"mixtral": (56, 32), "qwen3_moe": (24, 16), "qwen2_moe": (24, 16)}


def stored(name: str, folder: Path) -> Path:
    """A model all of whose layers have experts."""
    network = MODELS[name]()
    network.config.mlp_only_layers = []
    torch.manual_seed(0)
    type(network)(network.config).save_pretrained(folder)
    tiny_tokenizer().save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def mixtral(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return stored("mixtral", tmp_path_factory.mktemp("mixtral") / "original")


def test_the_experts_of_a_layer_are_lanes_of_one_group(mixtral: Path) -> None:
    found = group_of(described(mixtral), 1, "mlp")
    assert (found.units, found.lanes, found.experts) == (6 * 56, 6, (0, 1, 2, 3, 4, 5))
    assert found.unit_parameters == CHANNEL
    third = [m for m in found.members if m.lane == 3]
    axes = [(m.tensor.name.split(".experts.")[1], m.axis) for m in third]
    assert axes[0] == ("3.w1.weight", 0)
    assert set(axes[1:]) == {("3.w3.weight", 0), ("3.w2.weight", 1)}
    left = found.left([0, 57, 58])
    assert left == {
        "expert_channels[0]": [0],
        "expert_channels[1]": [1, 2],
        **{f"expert_channels[{n}]": [] for n in range(2, 6)},
    }
    assert found.units_of(left) == [0, 57, 58]


@pytest.mark.parametrize("name", LEFT)
@pytest.mark.parametrize("importance", ["l2", "taylor"])
def test_what_is_left_computes_as_the_original_without_it(
    name: str, tmp_path: Path, importance: Importance
) -> None:
    original = stored(name, tmp_path / "original")
    pruned = prune_tiny(described(original), plan(importance, **ALL), few_words(40))
    pruned.save(tmp_path / "p")

    whole, width = LEFT[name]
    biases = (4 + 2 + 2) * 12 if name == "qwen2_moe" else 0
    gone = 3 * ((ATTENTION + biases) // 2 + EXPERTS * (whole - width) * CHANNEL)
    assert pruned.parameters.pruned == pruned.parameters.original - gone
    record = json.loads((tmp_path / "p" / "pruning.json").read_text())
    ours = prunescope.load(tmp_path / "p")(IDS).logits
    with torch.no_grad():
        torch.testing.assert_close(ours, without(original, record["layers"], COLUMNS)(IDS).logits)
        # Alike in all layers: transformers' own class, without any code.
        assert torch.equal(
            hf.AutoModelForCausalLM.from_pretrained(tmp_path / "p")(IDS).logits, ours
        )
    found = verify(open_checkpoint(tmp_path / "p"), open_checkpoint(original))
    # llama.cpp's Qwen2-MoE has heads of hidden size / heads, which is another number now; its
    # Qwen3-MoE norms what the router chose, which this one does not (`norm_topk_prob`).
    noted = {check.name for check in found.checks if check.verdict in ("warn", "fail")}
    assert noted == (set() if name == "mixtral" else {"llama.cpp"})


def test_layers_of_other_widths_are_built_by_the_code_that_travels_along(
    mixtral: Path, tmp_path: Path
) -> None:
    pruned = prune_tiny(described(mixtral), plan("l2"))
    pruned.save(tmp_path / "p", "hf")
    pruned.save(tmp_path / "even", "hf", is_uniform=True)
    with torch.no_grad():
        theirs = hf.AutoModelForCausalLM.from_pretrained(tmp_path / "p", trust_remote_code=True)
        ours = prunescope.load(tmp_path / "p")(IDS).logits
        assert torch.equal(ours, theirs.eval()(IDS).logits)
        padded = hf.AutoModelForCausalLM.from_pretrained(tmp_path / "even")(IDS).logits
        torch.testing.assert_close(ours, padded)


def test_its_record_and_its_trace_say_what_each_expert_kept(mixtral: Path, tmp_path: Path) -> None:
    pruned = prune_tiny(described(mixtral), plan("l2"))
    pruned.save(tmp_path / "p")
    before, after = open_checkpoint(mixtral), open_checkpoint(tmp_path / "p")

    assert [c.name for c in verify(after, before).checks if c.verdict == "fail"] == []
    traced = trace(before, after)
    for layer, groups in pruned.record["layers"].items():
        kept = groups["mlp"]["kept"]
        assert set(kept) == {f"expert_channels[{n}]" for n in range(6)}
        found = traced.layers[int(layer)].spaces
        assert {space: list(found[space].kept) for space in kept} == kept
    again = replay(described(mixtral), LocalFile(tmp_path / "p" / "pruning.json"))
    assert all(torch.equal(again.state[name], tensor) for name, tensor in pruned.state.items())


def test_a_record_that_does_not_fit_the_experts_is_found(mixtral: Path, tmp_path: Path) -> None:
    prune_tiny(described(mixtral), plan("l2")).save(tmp_path / "p")
    file = tmp_path / "p" / "pruning.json"
    layers = json.loads(file.read_text())["layers"]
    kept = layers["1"]["mlp"]["kept"]
    # One expert's last channel is said to be another's: as many are left of all together.
    kept["expert_channels[0]"], kept["expert_channels[1]"] = list(range(33)), list(range(31))
    edit_json(file, {"layers": layers})

    found = verify(open_checkpoint(tmp_path / "p"), open_checkpoint(mixtral))
    (failed,) = [check for check in found.checks if check.verdict == "fail"]
    assert failed.name == "record"
    with pytest.raises(PlanError, match="leaves experts of one layer different widths"):
        replay(described(mixtral), LocalFile(file))


@pytest.mark.parametrize(
    "options",
    [
        {"everywhere": True},
        {"steps": 2},
        {"budget": Budget("sparsity", 0.3)},
        {"everywhere": True, "budget": Budget("parameters", 80_000)},
        {"round_to": 3},
    ],
    ids=str,
)
def test_however_much_goes_a_layers_experts_lose_as_many(
    mixtral: Path, options: dict[str, Any]
) -> None:
    pruned = prune_tiny(described(mixtral), plan("l2", **ALL, **options))
    for groups in pruned.record["layers"].values():
        (width,) = {len(kept) for kept in groups["mlp"]["kept"].values()}
        assert width % (24 if "round_to" in options else 8) == 0 or width == 56
    budget = options.get("budget")
    if budget:
        assert pruned.parameters.pruned <= max(80_000, 0.7 * pruned.parameters.original)
    network = pruned.network("cpu")
    with torch.no_grad():
        assert network(IDS).logits.isfinite().all()


def test_each_expert_loses_its_own_least_channels(mixtral: Path) -> None:
    model = described(mixtral)
    pruned = prune_tiny(model, plan("l2", **ALL, grouping="sum"))
    experts = hf.AutoModelForCausalLM.from_pretrained(mixtral).model.layers[2].mlp.experts
    squares = experts.gate_up_proj.detach().pow(2).sum(2).unflatten(1, (2, 56)).sum(1)
    squares += experts.down_proj.detach().pow(2).sum(1)
    for number, scores in enumerate(squares):
        expected = scores.topk(32).indices.sort().values.tolist()
        kept = pruned.record["layers"]["2"]["mlp"]["kept"]
        assert kept[f"expert_channels[{number}]"] == expected


@pytest.mark.parametrize("name", ["mixtral", "qwen2_moe", "qwen3_moe"])
def test_a_stored_mixture_of_experts_is_loaded_as_transformers_loads_it(
    name: str, tmp_path: Path
) -> None:
    folder = family_folder(name, tmp_path)
    ours, theirs = prunescope.load(folder), hf.AutoModelForCausalLM.from_pretrained(folder).eval()
    with torch.no_grad():
        assert torch.equal(ours(IDS).logits, theirs(IDS).logits)


def test_what_experts_cannot_be_is_said_in_a_line(mixtral: Path, tmp_path: Path) -> None:
    model = described(mixtral)
    with pytest.raises(CheckpointError, match="holds its experts stacked: save it as hf or bin"):
        prune_tiny(model, plan("l2")).save(tmp_path / "p", "llm_pruner")

    odd = stored("mixtral", tmp_path / "odd")
    expert = "model.layers.1.block_sparse_moe.experts.2."
    narrow = {f"{expert}w1.weight": (48, 32), f"{expert}w3.weight": (48, 32)}
    narrow[f"{expert}w2.weight"] = (32, 48)
    edit_weights(odd, {name: torch.zeros(shape) for name, shape in narrow.items()})
    with pytest.raises(
        ArchitectureError, match=r"48 expert_channels rows, where another .* has 56"
    ):
        resolve(plan("l2"), described(odd))
    with pytest.raises(CheckpointError, match=r"expert 2 beside .* is missing or of other shapes"):
        prunescope.load(odd)

    mixed = family_folder("qwen3_moe", tmp_path / "mixed")
    with pytest.raises(ArchitectureError, match="layer 1: no complete mlp"):
        resolve(plan("l2"), described(mixed))
