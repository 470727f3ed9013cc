"""What other tools cut and store: Torch-Pruning, llama.cpp's files, and a real model."""

from __future__ import annotations

from pathlib import Path

import gguf
import pytest
import torch
import torch_pruning
from transformers import AutoModelForCausalLM, LlamaConfig, PreTrainedModel

from prunescope.interop.demo_source import find_gguf
from tests.support.ggufs import (
    CHANNELS,
    HEAD_DIM,
    HEADS,
    HIDDEN,
    KV_HEADS,
    LAYERS,
    VOCAB,
    finish,
    tiny_weights,
    write_gguf,
)
from tests.support.tiny import tiny_folder
from tests.support.traces import (
    cut,
    kept,
    original,
    pruned,
    recorded,
    state_of,
    traced,
    with_state,
)

# It finds the norms' weights by their shape, and says so.
pytestmark = pytest.mark.filterwarnings("ignore:Unwrapped parameters detected")


@pytest.fixture
def network(tmp_path: Path) -> PreTrainedModel:
    folder = original(tmp_path / "before", num_hidden_layers=2)
    network = AutoModelForCausalLM.from_pretrained(folder, attn_implementation="eager")
    network.config.use_cache = False
    return network.requires_grad_(True)


def graph(network: PreTrainedModel) -> torch_pruning.DependencyGraph:
    return torch_pruning.DependencyGraph().build_dependency(
        network,
        example_inputs=torch.arange(1, 9)[None],
        output_transform=lambda output: output.logits,
    )


def test_torch_pruning_keeps_the_channels_that_we_find(
    network: PreTrainedModel, tmp_path: Path
) -> None:
    dependencies = graph(network)
    rank = torch_pruning.importance.GroupMagnitudeImportance()
    expected = {}
    for number, layer in enumerate(network.model.layers):
        prune = torch_pruning.prune_linear_out_channels
        every = dependencies.get_pruning_group(layer.mlp.gate_proj, prune, idxs=list(range(96)))
        lowest = rank(every).argsort()[:24].tolist()
        dependencies.get_pruning_group(layer.mlp.gate_proj, prune, idxs=lowest).prune()
        expected[number] = tuple(c for c in range(96) if c not in lowest)
    found = traced(
        tmp_path / "before",
        with_state(tmp_path / "before", tmp_path / "after", network.state_dict()),
    )

    assert found.ok
    assert {n: spaces["channels"] for n, spaces in kept(found).items()} == expected
    assert all(member.identical for member in found.members)
    assert network.model.layers[0].mlp.down_proj.weight.shape == (64, 72)


def test_torch_pruning_keeps_the_hidden_columns_that_we_find(
    network: PreTrainedModel, tmp_path: Path
) -> None:
    removed = [3, 17, 40]
    prune = torch_pruning.prune_embedding_out_channels
    graph(network).get_pruning_group(network.model.embed_tokens, prune, idxs=removed).prune()
    state = {name: tensor.detach() for name, tensor in network.state_dict().items()}
    assert {tensor.shape[-1] for name, tensor in state.items() if "q_proj" in name} == {61}
    found = traced(tmp_path / "before", with_state(tmp_path / "before", tmp_path / "after", state))
    assert found.ok
    assert found.spaces["hidden"].kept == tuple(c for c in range(64) if c not in removed)


def as_llama_cpp(folder: Path, kind: gguf.GGMLQuantizationType | None = None) -> tuple[Path, Path]:
    """A GGUF file by llama.cpp's writer, and the same weights under transformers' names."""
    stored, weights = tiny_weights()
    config = LlamaConfig(
        hidden_size=HIDDEN,
        intermediate_size=CHANNELS,
        num_attention_heads=HEADS,
        num_key_value_heads=KV_HEADS,
        head_dim=HEAD_DIM,
        num_hidden_layers=LAYERS,
        vocab_size=VOCAB,
    )
    config.save_pretrained(folder / "config")
    state = {name: torch.from_numpy(values) for name, values in weights.items()}
    return (
        write_gguf(folder / "model.gguf", stored, kind=kind),
        with_state(folder / "config", folder / "hf", state),
    )


@pytest.mark.parametrize("kind", [None, gguf.GGMLQuantizationType.Q8_0])
def test_llama_cpps_row_order_is_undone(
    tmp_path: Path, kind: gguf.GGMLQuantizationType | None
) -> None:
    stored, plain = as_llama_cpp(tmp_path, kind)
    state = state_of(plain)
    for name, axis, rows in (
        ("q_proj", 0, range(32, 64)),
        ("o_proj", 1, range(32, 64)),
        ("k_proj", 0, range(16, 32)),
        ("v_proj", 0, range(16, 32)),
    ):
        cut(state, f"model.layers.1.self_attn.{name}.weight", axis, rows)
    found = traced(stored, with_state(plain, tmp_path / "after", state))

    assert found.ok
    spaces = found.layers[1].spaces
    assert (spaces["heads"].kept, spaces["kv_heads"].kept) == ((2, 3), (1,))
    assert all(member.identical for member in found.members) == (kind is None)
    assert max(member.drift for member in found.members) < 0.01
    back = traced(plain, stored)
    assert back.ok
    assert kept(back) == {}


def test_the_other_way_round(tmp_path: Path) -> None:
    stored, plain = as_llama_cpp(tmp_path)
    found = traced(plain, stored)
    assert found.ok
    assert all(member.identical for member in found.members)
    names = {member.tensor for member in found.members}
    assert "blk.1.attn_q.weight" in names


def test_smollm2_pruned_by_magnitude(smollm2: Path, tmp_path: Path) -> None:
    ranges = {"attention": (3, 27), "mlp": (3, 27)}
    after = pruned(smollm2, tmp_path / "after", "l2", ratio=0.25, **ranges)
    found = traced(smollm2, after)

    assert found.ok
    assert sorted(recorded(after)) == list(range(3, 27))
    assert kept(found) == recorded(after)
    assert all(member.identical for member in found.members)
    # One of three KV heads with three query heads, and 384 of 1536 channels.
    sizes = {tuple(len(units) for units in spaces.values()) for spaces in kept(found).values()}
    assert sizes == {(6, 2, 1152)}


def test_smollm2_is_its_gguf_file_dequantised(smollm2: Path, tmp_path: Path) -> None:
    found = traced(find_gguf(tmp_path), smollm2)
    assert found.ok
    assert kept(found) == {}
    assert {member.drift for member in found.members} == {0.0}
    # Norms are stored as they are, matrices in blocks of four bits.
    assert {m.identical for m in found.members if "norm" in m.tensor} == {True}
    assert {m.identical for m in found.members if "proj" in m.tensor} == {False}


def test_norms_in_blocks_are_compared_too(tmp_path: Path) -> None:
    _, plain = as_llama_cpp(tmp_path)
    kind = gguf.GGMLQuantizationType.Q8_0
    writer = gguf.GGUFWriter(tmp_path / "norms.gguf", "llama")
    writer.add_block_count(LAYERS)
    writer.add_embedding_length(HIDDEN)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(KV_HEADS)
    for name, values in tiny_weights()[0].items():
        if values.ndim == 1 and len(values) % 32 == 0:
            writer.add_tensor(name, gguf.quantize(values, kind), raw_dtype=kind)
        else:
            writer.add_tensor(name, values)
    finish(writer)
    found = traced(plain, tmp_path / "norms.gguf")

    norms = [m for m in found.members if "norm" in m.tensor]
    assert {member.disagreeing for member in norms} == {0}
    assert not any(member.identical for member in norms)
    # Eight bits leave each value within 1/254 of the largest beside it.
    assert 0 < max(member.drift for member in norms) < 0.01
    assert found.ok


@pytest.mark.parametrize("blocks", [1, 2, 64])
def test_a_vector_with_scales_is_compared_too(tmp_path: Path, blocks: int) -> None:
    before = tiny_folder(tmp_path / "before", hidden_size=64)
    state = state_of(before)
    name = "model.norm.weight"
    # By powers of two, which lose nothing: integers times a scale for each block.
    whole = torch.arange(64) % 100
    scales = 2.0 ** -torch.arange(blocks).float()
    state[name] = whole * scales.repeat_interleave(64 // blocks)
    before = with_state(before, tmp_path / "plain", state)
    packed = state | {name: whole.to(torch.int8), f"{name}_scale": scales}
    found = traced(before, with_state(before, tmp_path / "packed", packed))

    (norm,) = (member for member in found.others if member.tensor == name)
    assert (norm.disagreeing, norm.drift) == (0, 0.0)
