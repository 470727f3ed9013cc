"""What is left of a tensor are the rows and columns kept, bit for bit as they were stored."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from prunescope.architecture import Model
from prunescope.checkpoint.weights import WeightMap
from prunescope.interop.torch_tensors import as_tensor
from prunescope.pruning.groups import group_of
from prunescope.pruning.selection import Cut
from prunescope.pruning.slicing import remaining, sliced_state
from prunescope.pruning.targets import Target
from tests.support.pruning import State, described, store_as_torch
from tests.support.tensors import raw_bytes
from tests.support.tiny import BIASES, tiny_folder, tiny_model, tiny_network

MODELS: dict[str, dict[str, Any]] = {
    "llama": {},
    "llama with biases": BIASES,
    "llama, bf16": {"dtype": torch.bfloat16},
    "llama, tied": {"tie_word_embeddings": True},
    "mistral": {"family": "mistral"},
}
# Channels in no even pattern, the first and the last among them.
CHANNELS = [0, 3, 4, 11, 19]
# Of 4 query heads of 8 rows, 2 belong to each KV head; KV head 1 stays.
HEADS, KV_HEADS = list(range(16, 32)), list(range(8, 16))


def cut(model: Model, layer: int, kind: str, kept: list[int]) -> Cut:
    group = group_of(model, layer, kind)
    return Cut(Target(group, group.units - len(kept)), kept, [0.0] * group.units)


def sliced(model: Model, cuts: Sequence[Cut]) -> State:
    with WeightMap() as weights:
        return sliced_state(model, cuts, weights)


def by_hand(state: State, attention: int, mlp: int) -> State:
    """`state` after KV head 0 of one layer and all but `CHANNELS` of another have gone."""
    rows, columns = 0, 1
    block = f"model.layers.{attention}.self_attn."
    feed = f"model.layers.{mlp}.mlp."
    chosen = {
        block + "q_proj.weight": (rows, HEADS),
        block + "q_proj.bias": (rows, HEADS),
        block + "k_proj.weight": (rows, KV_HEADS),
        block + "k_proj.bias": (rows, KV_HEADS),
        block + "v_proj.weight": (rows, KV_HEADS),
        block + "v_proj.bias": (rows, KV_HEADS),
        block + "o_proj.weight": (columns, HEADS),
        feed + "gate_proj.weight": (rows, CHANNELS),
        feed + "gate_proj.bias": (rows, CHANNELS),
        feed + "up_proj.weight": (rows, CHANNELS),
        feed + "up_proj.bias": (rows, CHANNELS),
        feed + "down_proj.weight": (columns, CHANNELS),
    }
    expected = dict(state)
    for name, (axis, kept) in chosen.items():
        if name in state:
            expected[name] = state[name].index_select(axis, torch.tensor(kept))
    return expected


@pytest.mark.parametrize("name", MODELS)
def test_slices_are_those_that_torch_selects(tmp_path: Path, name: str) -> None:
    network = tiny_network(**MODELS[name])
    model = tiny_model(tmp_path, network)
    state = sliced(model, [cut(model, 1, "attention", [1]), cut(model, 2, "mlp", CHANNELS)])

    assert list(state) == list(model.checkpoint.tensors)
    expected = by_hand(network.state_dict(), attention=1, mlp=2)
    for key, tensor in state.items():
        assert (tensor.shape, tensor.dtype) == (expected[key].shape, expected[key].dtype), key
        assert raw_bytes(tensor) == raw_bytes(expected[key]), key
        assert tensor.is_contiguous()
    assert state["model.layers.1.self_attn.q_proj.weight"].shape == (16, 24)
    assert state["model.layers.2.mlp.down_proj.weight"].shape == (24, 5)


def test_both_groups_of_a_layer_can_be_cut(tmp_path: Path) -> None:
    network = tiny_network(**BIASES)
    model = tiny_model(tmp_path, network)
    state = sliced(model, [cut(model, 3, "attention", [1]), cut(model, 3, "mlp", CHANNELS)])
    expected = by_hand(network.state_dict(), attention=3, mlp=3)
    assert all(torch.equal(state[key], expected[key]) for key in state)


def test_uncut_tensors_lie_over_the_file_and_cut_ones_do_not(tmp_path: Path) -> None:
    model = tiny_model(tmp_path)
    # Nothing goes of layer 2's channels, so nothing of theirs need be copied.
    cuts = [cut(model, 1, "mlp", CHANNELS), cut(model, 2, "mlp", list(range(20)))]
    with WeightMap() as weights:
        state = sliced_state(model, cuts, weights)
        for name, info in model.checkpoint.tensors.items():
            is_cut = name.startswith("model.layers.1.mlp.")
            over_the_file = state[name].data_ptr() == as_tensor(weights, info).data_ptr()
            assert over_the_file is not is_cut, name


def test_the_special_values_of_floats_survive(tmp_path: Path) -> None:
    network = tiny_network()
    # A NaN with a payload, −0, the smallest subnormal and infinity.
    bits = torch.tensor([0x7FC12345, -0x80000000, 1, 0x7F800000], dtype=torch.int32)
    up = network.model.layers[1].mlp.up_proj.weight
    with torch.no_grad():
        up[3, :4] = bits.view(torch.float32)
    model = tiny_model(tmp_path, network)
    kept = sliced(model, [cut(model, 1, "mlp", [3])])["model.layers.1.mlp.up_proj.weight"]
    assert raw_bytes(kept[0, :4]) == raw_bytes(bits)


def test_a_tensor_stored_by_columns_is_sliced_and_kept_by_its_values(tmp_path: Path) -> None:
    state = tiny_network().state_dict()
    for layer in (1, 2):
        name = f"model.layers.{layer}.mlp.down_proj.weight"
        state[name] = state[name].t().contiguous().t()
    model = described(store_as_torch(tiny_folder(tmp_path), state))
    found = sliced(model, [cut(model, 1, "mlp", CHANNELS)])
    assert torch.equal(found["model.layers.1.mlp.down_proj.weight"],
                       state["model.layers.1.mlp.down_proj.weight"][:, CHANNELS])  # fmt: skip
    assert torch.equal(found["model.layers.2.mlp.down_proj.weight"],
                       state["model.layers.2.mlp.down_proj.weight"])  # fmt: skip
    assert all(tensor.is_contiguous() for tensor in found.values())


# --- ties ---------------------------------------------------------------------------------


def test_tied_embeddings_stay_one_tensor(tmp_path: Path) -> None:
    network = tiny_network(tie_word_embeddings=True)
    model = described(store_as_torch(tiny_folder(tmp_path, network), network.state_dict()))
    state = sliced(model, [cut(model, 1, "mlp", CHANNELS)])
    assert state["lm_head.weight"] is state["model.embed_tokens.weight"]


def with_shared_mlps(folder: Path) -> Model:
    """Layer 2 has the very MLP of layer 1."""
    state = tiny_network().state_dict()
    for part in ("gate", "up", "down"):
        state[f"model.layers.2.mlp.{part}_proj.weight"] = state[
            f"model.layers.1.mlp.{part}_proj.weight"
        ]
    return described(store_as_torch(tiny_folder(folder), state))


@pytest.mark.parametrize(
    ("first", "second", "shared"),
    [
        (CHANNELS, CHANNELS, True),
        (CHANNELS, None, False),
        (None, CHANNELS, False),
        (CHANNELS, [1, 3, 4, 11, 19], False),
    ],
    ids=["cut alike", "only the first", "only the second", "cut differently"],
)
def test_layers_that_share_tensors_share_what_is_cut_alike(
    tmp_path: Path, first: list[int] | None, second: list[int] | None, shared: bool
) -> None:
    model = with_shared_mlps(tmp_path)
    kept = {1: first, 2: second}
    state = sliced(model, [cut(model, n, "mlp", k) for n, k in kept.items() if k is not None])
    whole = tiny_network().state_dict()["model.layers.1.mlp.up_proj.weight"]
    for layer, channels in kept.items():
        expected = whole if channels is None else whole[channels]
        assert torch.equal(state[f"model.layers.{layer}.mlp.up_proj.weight"], expected)
    one, two = (state[f"model.layers.{n}.mlp.up_proj.weight"] for n in (1, 2))
    assert (one is two) is shared


# --- what remains -------------------------------------------------------------------------


def test_remaining_counts_heads_kv_heads_and_channels_of_every_layer(tmp_path: Path) -> None:
    model = tiny_model(tmp_path)
    left = remaining(model, [cut(model, 1, "attention", [1]), cut(model, 2, "mlp", CHANNELS)])
    assert left == {
        (0, "heads"): 4, (0, "kv_heads"): 2, (0, "channels"): 20,
        (1, "heads"): 2, (1, "kv_heads"): 1, (1, "channels"): 20,
        (2, "heads"): 4, (2, "kv_heads"): 2, (2, "channels"): 5,
        (3, "heads"): 4, (3, "kv_heads"): 2, (3, "channels"): 20,
    }  # fmt: skip


def test_remaining_starts_from_the_layers_own_shapes(tmp_path: Path) -> None:
    # Already pruned: config.json still counts 20 channels, layer 1 has 5.
    network = tiny_network()
    model = tiny_model(tmp_path / "whole", network)
    state = sliced(model, [cut(model, 1, "mlp", CHANNELS)])
    uneven = described(store_as_torch(tiny_folder(tmp_path / "uneven", network), state))
    left = remaining(uneven, [cut(uneven, 3, "mlp", [7])])
    assert [left[layer, "channels"] for layer in range(4)] == [20, 5, 20, 1]
