"""A group holds every axis that must lose the same units, and says how wide a unit is on each."""

from __future__ import annotations

from pathlib import Path

import pytest

from prunescope.architecture import Role, describe
from prunescope.checkpoint import open_checkpoint
from prunescope.errors import ArchitectureError
from prunescope.pruning.groups import Group, group_of
from tests.support.sparse import LlamaShape, Shapes, llama_shapes, write_model
from tests.support.tiny import edit_json

# 8 query heads of 4 rows on a hidden size of 24: heads × head_dim is not the hidden size.
GQA = LlamaShape(2, 24, 20, 8, 2, 4, 32, tied=True)
MHA = LlamaShape(2, 24, 20, 8, 8, 4, 32, tied=True)
MQA = LlamaShape(2, 24, 20, 8, 1, 4, 32, tied=True)


def group(folder: Path, kind: str, shape: LlamaShape = GQA, changes: Shapes | None = None) -> Group:
    """The group of layer 1, some of whose tensors have other shapes."""
    layer = {f"model.layers.1.{name}": s for name, s in (changes or {}).items()}
    write_model(folder / "m", shape, llama_shapes(shape) | layer)
    return group_of(describe(open_checkpoint(folder / "m")), 1, kind)


def members(found: Group) -> list[tuple[str, int, int]]:
    """(tensor name within the layer, axis, width)."""
    prefix = "model.layers.1."
    assert all(m.tensor.name.startswith(prefix) for m in found.members)
    return [(m.tensor.name.removeprefix(prefix), m.axis, m.width) for m in found.members]


def test_a_gqa_group_is_a_kv_head_with_its_query_heads(tmp_path: Path) -> None:
    found = group(tmp_path, "attention")
    assert (found.layer, found.kind, found.units) == (1, "attention", 2)
    # 8 query heads for 2 KV heads: 4 with each, so 4 × 4 rows of q beside 4 of k.
    assert found.parts == {"kv_heads": 1, "heads": 4}
    assert set(members(found)) == {
        ("self_attn.k_proj.weight", 0, 4),
        ("self_attn.v_proj.weight", 0, 4),
        ("self_attn.q_proj.weight", 0, 16),
        ("self_attn.o_proj.weight", 1, 16),
    }


def test_without_gqa_each_head_is_a_unit(tmp_path: Path) -> None:
    found = group(tmp_path, "attention", MHA)
    assert found.units == 8
    assert found.parts == {"kv_heads": 1, "heads": 1}
    assert {width for _, _, width in members(found)} == {4}


def test_with_one_kv_head_there_is_one_unit(tmp_path: Path) -> None:
    found = group(tmp_path, "attention", MQA)
    assert found.units == 1
    assert found.parts == {"kv_heads": 1, "heads": 8}


def test_a_channel_is_a_row_of_gate_and_up_and_a_column_of_down(tmp_path: Path) -> None:
    found = group(tmp_path, "mlp")
    assert (found.units, found.parts) == (20, {"channels": 1})
    assert set(members(found)) == {
        ("mlp.gate_proj.weight", 0, 1),
        ("mlp.up_proj.weight", 0, 1),
        ("mlp.down_proj.weight", 1, 1),
    }


@pytest.mark.parametrize(("kind", "root"), [("attention", Role.K), ("mlp", Role.GATE)])
def test_the_roots_weight_comes_first_and_its_bias_next(
    tmp_path: Path, kind: str, root: Role
) -> None:
    # In the file the biases come last and the root's weight is neither first nor last.
    biases = {"self_attn.k_proj.bias": (8,), "mlp.gate_proj.bias": (20,), "mlp.up_proj.bias": (20,)}
    found = group(tmp_path, kind, changes=biases)
    assert [m.role for m in found.members[:2]] == [root, root]
    assert [len(m.tensor.shape) for m in found.members[:2]] == [2, 1]
    assert root not in [m.role for m in found.members[2:]]


def test_biases_on_a_cut_axis_belong_and_those_of_the_hidden_axis_do_not(tmp_path: Path) -> None:
    biases: Shapes = {
        "self_attn.q_proj.bias": (32,),
        "self_attn.k_proj.bias": (8,),
        "self_attn.v_proj.bias": (8,),
        "self_attn.o_proj.bias": (24,),
    }
    found = group(tmp_path, "attention", changes=biases)
    assert {m for m in members(found) if m[0].endswith("bias")} == {
        ("self_attn.q_proj.bias", 0, 16),
        ("self_attn.k_proj.bias", 0, 4),
        ("self_attn.v_proj.bias", 0, 4),
    }


def test_rows_of_units_are_consecutive(tmp_path: Path) -> None:
    found = group(tmp_path, "mlp")
    assert found.rows([0, 2], 3) == [0, 1, 2, 6, 7, 8]
    assert found.rows([1, 3], 1) == [1, 3]


@pytest.mark.parametrize(
    ("kind", "changes", "message"),
    [
        (
            "mlp",
            {"mlp.up_proj.weight": (19, 24)},
            "layer 1: model.layers.1.mlp.up_proj.weight has 19 channels rows, "
            "where another tensor has 20",
        ),
        (
            "mlp",
            {"mlp.down_proj.weight": (24, 20), "mlp.gate_proj.bias": (21,)},
            "layer 1: model.layers.1.mlp.gate_proj.bias has 21 channels rows, "
            "where another tensor has 20",
        ),
        (
            "attention",
            {"self_attn.v_proj.weight": (4, 24)},
            "layer 1: model.layers.1.self_attn.v_proj.weight has 4 kv_heads rows, "
            "where another tensor has 8",
        ),
        (
            "attention",
            {"self_attn.o_proj.weight": (24, 28), "self_attn.q_proj.weight": (32, 24)},
            "layer 1: model.layers.1.self_attn.q_proj.weight has 32 heads rows, "
            "where another tensor has 28",
        ),
        (
            "attention",
            {"self_attn.k_proj.weight": (6, 24), "self_attn.v_proj.weight": (6, 24)},
            "layer 1: 6 kv_heads rows are no whole number of 4",
        ),
        (
            "attention",
            {"self_attn.k_proj.weight": (12, 24), "self_attn.v_proj.weight": (12, 24)},
            "layer 1: 8 heads cannot share 3 units evenly",
        ),
    ],
)
def test_tensors_that_do_not_agree_are_refused_by_name(
    tmp_path: Path, kind: str, changes: Shapes, message: str
) -> None:
    with pytest.raises(ArchitectureError) as caught:
        group(tmp_path, kind, changes=changes)
    assert str(caught.value) == f"{tmp_path / 'm'}: {message}"


@pytest.mark.parametrize("name", ["self_attn.k_proj.weight", "self_attn.q_proj.weight"])
def test_a_layer_without_the_root_or_a_whole_space_is_refused(tmp_path: Path, name: str) -> None:
    # Without q and o there are no query heads at all; without k alone there is no root.
    absent = {name, "self_attn.o_proj.weight"} if "q_proj" in name else {name}
    shapes = {n: s for n, s in llama_shapes(GQA).items() if n.partition("1.")[2] not in absent}
    model = describe(open_checkpoint(write_model(tmp_path / "m", GQA, shapes)))
    with pytest.raises(ArchitectureError, match="layer 1: no complete attention"):
        group_of(model, 1, "attention")
    assert group_of(model, 0, "attention").units == 2


def test_without_a_head_size_heads_cannot_be_told_apart(tmp_path: Path) -> None:
    write_model(tmp_path / "m", GQA, llama_shapes(GQA))
    edit_json(tmp_path / "m" / "config.json", {"head_dim": None, "hidden_size": None})
    model = describe(open_checkpoint(tmp_path / "m"))
    with pytest.raises(ArchitectureError, match=r"config\.json does not give head_dim"):
        group_of(model, 1, "attention")
    assert group_of(model, 1, "mlp").units == 20
