"""Projections fused into one tensor are traced apart, as each is by itself elsewhere."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from prunescope.analysis.trace.results import HeadPair
from prunescope.errors import ArchitectureError
from tests.support.families import MODELS
from tests.support.traces import State, state_of, traced, with_state

# Four query heads of 8 rows share two KV heads; 56 channels (`tests.support.families`).
HEADS, KV_HEADS, HEAD_DIM, CHANNELS = 4, 2, 8, 56
PHI3 = "model.layers.1."


def saved(family: str, folder: Path) -> Path:
    torch.manual_seed(0)
    MODELS[family]().save_pretrained(folder / family)
    return folder / family


def rows(heads: list[int]) -> list[int]:
    return [head * HEAD_DIM + row for head in heads for row in range(HEAD_DIM)]


def cut_phi3(state: State, heads: list[int], kv_heads: list[int], channels: list[int]) -> None:
    """As `Phi3Attention` and `Phi3MLP` slice their rows: q, k, v; gate, up."""
    qkv = state[f"{PHI3}self_attn.qkv_proj.weight"]
    q, k, v = qkv.split([HEADS * HEAD_DIM, KV_HEADS * HEAD_DIM, KV_HEADS * HEAD_DIM])
    kept = torch.cat([q[rows(heads)], k[rows(kv_heads)], v[rows(kv_heads)]])
    state[f"{PHI3}self_attn.qkv_proj.weight"] = kept
    o = state[f"{PHI3}self_attn.o_proj.weight"]
    state[f"{PHI3}self_attn.o_proj.weight"] = o[:, rows(heads)]
    gate, up = state[f"{PHI3}mlp.gate_up_proj.weight"].chunk(2)
    state[f"{PHI3}mlp.gate_up_proj.weight"] = torch.cat([gate[channels], up[channels]])
    state[f"{PHI3}mlp.down_proj.weight"] = state[f"{PHI3}mlp.down_proj.weight"][:, channels]


def test_phi3_is_traced_by_heads_kv_heads_and_channels(tmp_path: Path) -> None:
    before = saved("phi3", tmp_path)
    state = state_of(before)
    channels = [channel for channel in range(CHANNELS) if channel % 3]
    cut_phi3(state, [2, 3], [1], channels)
    found = traced(before, with_state(before, tmp_path / "after", state))

    assert found.ok
    layer = found.layers[1]
    assert {name: space.kept for name, space in layer.spaces.items()} == {
        "heads": (2, 3),
        "kv_heads": (1,),
        "channels": tuple(channels),
    }
    assert layer.pairing is not None
    assert layer.pairing.pairs == (HeadPair(0, 2, 1, 1), HeadPair(1, 3, 1, 1))
    fused = [member.part for member in layer.members if "qkv" in member.tensor]
    assert sorted(filter(None, fused)) == ["1/3", "2/3", "3/3"]
    assert all(member.identical for member in found.members)


def test_query_heads_of_phi3_that_meet_a_foreign_kv_head(tmp_path: Path) -> None:
    before = saved("phi3", tmp_path)
    state = state_of(before)
    cut_phi3(state, [0, 1], [1], list(range(CHANNELS)))
    layer = traced(before, with_state(before, tmp_path / "after", state)).layers[1]
    assert not layer.ok
    assert layer.pairing is not None
    assert [pair.head for pair in layer.pairing.mispaired] == [0, 1]


@pytest.mark.parametrize("forgotten", ["mlp.down_proj", "self_attn.qkv_proj"])
def test_a_fused_tensor_and_its_partner_that_were_cut_differently(
    tmp_path: Path, forgotten: str
) -> None:
    before = saved("phi3", tmp_path)
    state = state_of(before)
    whole = state[f"{PHI3}{forgotten}.weight"]
    cut_phi3(state, [2, 3], [1], list(range(1, CHANNELS)))
    state[f"{PHI3}{forgotten}.weight"] = whole
    found = traced(before, with_state(before, tmp_path / "after", state))
    assert [layer.ok for layer in found.layers] == [True, False, True]


@pytest.mark.parametrize("left", [61, 32])
def test_rows_that_cannot_be_parted_are_an_error(tmp_path: Path, left: int) -> None:
    before = saved("phi3", tmp_path)
    state = state_of(before)
    name = f"{PHI3}self_attn.qkv_proj.weight"
    # The columns of o say that 32 rows are of q: the others are not as many of k as of v, or none.
    state[name] = state[name][:left]
    after = with_state(before, tmp_path / "after", state)
    with pytest.raises(ArchitectureError, match=rf"has {left} heads\+kv_heads\+kv_heads entries"):
        traced(before, after)


def test_parts_of_columns(tmp_path: Path) -> None:
    # GPT-2's Conv1D stores [inputs, q + k + v].
    before = saved("gpt2", tmp_path)
    state = state_of(before)
    kept = rows([0, 3])
    for kind in ("weight", "bias"):
        name = f"transformer.h.1.attn.c_attn.{kind}"
        state[name] = torch.cat([part[..., kept] for part in state[name].chunk(3, dim=-1)], dim=-1)
    name = "transformer.h.1.attn.c_proj.weight"
    state[name] = state[name][kept]
    found = traced(before, with_state(before, tmp_path / "after", state))
    assert found.ok
    assert found.layers[1].spaces["heads"].kept == (0, 3)
    assert all(member.identical for member in found.members)


@pytest.mark.parametrize(
    ("family", "qkv", "o", "groups", "beside"),
    [
        # GPTNeoXAttention: each head's q, k and v; FalconAttention: the query heads of each KV
        # head, then its k and v.
        ("gpt_neox", "gpt_neox.layers.1.attention.query_key_value",
         "gpt_neox.layers.1.attention.dense", HEADS, 3),
        ("falcon new", "transformer.h.1.self_attention.query_key_value",
         "transformer.h.1.self_attention.dense", KV_HEADS, HEADS // KV_HEADS + 2),
    ],
)  # fmt: skip
def test_parts_whose_units_lie_beside_each_other(
    tmp_path: Path, family: str, qkv: str, o: str, groups: int, beside: int
) -> None:
    before = saved(family, tmp_path)
    state = state_of(before)
    for kind in ("weight", "bias"):
        if f"{qkv}.{kind}" in state:
            tensor = state[f"{qkv}.{kind}"]
            parted = tensor.reshape(groups, beside * HEAD_DIM, *tensor.shape[1:])
            state[f"{qkv}.{kind}"] = parted[1:].flatten(0, 1)
    first = (beside - 2) * HEAD_DIM
    state[f"{o}.weight"] = state[f"{o}.weight"][:, first:]
    found = traced(before, with_state(before, tmp_path / "after", state))

    assert found.ok
    spaces = found.layers[1].spaces
    assert spaces["heads"].kept == tuple(range(HEADS))[beside - 2 :]
    if "kv_heads" in spaces:
        assert spaces["kv_heads"].kept == (1,)
        assert found.layers[1].pairing is not None
    assert all(member.identical for member in found.members)
