"""Projections that are one tensor (Phi-3) lose a part for each of them, as if they were several."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
import transformers as hf

import prunescope
from prunescope.analysis.trace.run import trace
from prunescope.analysis.verify import verify
from prunescope.architecture import Model
from prunescope.checkpoint import open_checkpoint
from prunescope.checkpoint.storage import LocalFile
from prunescope.errors import ArchitectureError
from prunescope.pruning.groups import group_of
from prunescope.pruning.plan import Importance
from prunescope.pruning.run import replay
from tests.support.families import family_folder
from tests.support.pruning import described, edit_weights, few_words, plan, prune_tiny, without

IDS = torch.arange(3, 20)[None]
ALL = {"attention": (0, 3), "mlp": (0, 3)}
# 4 query heads and 2 KV heads of 8 rows, 56 channels, a hidden size of 32, 3 layers.
WHOLE, ATTENTION, MLP = 28128, (4 + 2 + 2 + 4) * 8 * 32, 3 * 56 * 32
COLUMNS = {"heads": "self_attn.o_proj.weight", "channels": "mlp.down_proj.weight"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return family_folder("phi3", tmp_path_factory.mktemp("phi3") / "original")


def members(model: Model, kind: str, **options: str) -> list[tuple[str, int, int, int]]:
    """(module, axis, rows of a unit, the row at which the first begins)."""
    found = group_of(model, 1, kind, **options)  # type: ignore[arg-type]
    return [(m.tensor.name.split(".")[-2], m.axis, m.width, m.start) for m in found.members]


def test_a_unit_has_rows_in_each_part_of_a_fused_axis(folder: Path) -> None:
    model = described(folder)
    # Keys and values, the root of Llama's group, come before the queries.
    assert members(model, "attention") == [
        ("qkv_proj", 0, 8, 32),
        ("qkv_proj", 0, 8, 48),
        ("qkv_proj", 0, 16, 0),
        ("o_proj", 1, 16, 0),
    ]
    assert members(model, "attention", gqa="query") == [("qkv_proj", 0, 8, 0), ("o_proj", 1, 8, 0)]
    assert members(model, "mlp") == [
        ("gate_up_proj", 0, 1, 0),
        ("gate_up_proj", 0, 1, 56),
        ("down_proj", 1, 1, 0),
    ]


def test_what_is_left_of_an_axis_is_the_union_of_its_parts(folder: Path) -> None:
    model = described(folder)
    left = group_of(model, 1, "attention").left_by_axis([1])
    qkv = "model.layers.1.self_attn.qkv_proj.weight"
    assert left[qkv, 0] == [*range(16, 32), *range(40, 48), *range(56, 64)]
    left = group_of(model, 1, "mlp").left_by_axis([0, 55])
    assert left["model.layers.1.mlp.gate_up_proj.weight", 0] == [0, 55, 56, 111]
    assert group_of(model, 1, "attention").unit_parameters == ATTENTION // 2
    assert group_of(model, 1, "mlp").unit_parameters == 3 * 32


def test_a_fused_axis_that_others_leave_no_room_on_is_refused(tmp_path: Path) -> None:
    folder = family_folder("phi3", tmp_path / "m")
    edit_weights(folder, {"model.layers.1.mlp.gate_up_proj.weight": torch.zeros(111, 32)})
    with pytest.raises(ArchitectureError, match=r"has 111 channels\+channels rows, where .* 112"):
        group_of(described(folder), 1, "mlp")


@pytest.mark.parametrize("layers", [(0, 3), (1, 3)], ids=["all layers", "some layers"])
@pytest.mark.parametrize("importance", ["l2", "taylor"])
def test_what_is_left_computes_as_the_original_without_it(
    folder: Path, tmp_path: Path, importance: Importance, layers: tuple[int, int]
) -> None:
    wanted = plan(importance, attention=layers, mlp=layers)
    pruned = prune_tiny(described(folder), wanted, few_words(40))
    pruned.save(tmp_path / "p", "hf")

    n = len(range(*layers))
    assert pruned.parameters.pruned == WHOLE - n * (ATTENTION + MLP) // 2
    record = json.loads((tmp_path / "p" / "pruning.json").read_text())
    ours = prunescope.load(tmp_path / "p")(IDS).logits
    with torch.no_grad():
        torch.testing.assert_close(ours, without(folder, record["layers"], COLUMNS)(IDS).logits)
        theirs = hf.AutoModelForCausalLM.from_pretrained(tmp_path / "p", trust_remote_code=n < 3)
        assert torch.equal(theirs.eval()(IDS).logits, ours)
        assert torch.equal(pruned.network("cpu")(IDS).logits, ours)


def test_its_record_and_its_trace_say_what_was_kept(folder: Path, tmp_path: Path) -> None:
    pruned = prune_tiny(described(folder), plan("l2"))
    pruned.save(tmp_path / "p")
    before, after = open_checkpoint(folder), open_checkpoint(tmp_path / "p")

    found = verify(after, before)
    assert [c.name for c in found.checks if c.verdict == "fail"] == []
    traced = trace(before, after)
    for layer, groups in pruned.record["layers"].items():
        spaces = traced.layers[int(layer)].spaces
        kept = groups["mlp"]["kept"]["channels"]
        assert spaces["channels"].kept == tuple(kept)
        heads, kv_heads = (groups["attention"]["kept"][s] for s in ("heads", "kv_heads"))
        assert spaces["heads"].kept == tuple(heads)
        assert spaces["kv_heads"].kept == tuple(kv_heads)
        # Each part of a fused tensor is held against the space that it lies in.
        parts = {s: [m.part for m in space.members if m.part] for s, space in spaces.items()}
        assert parts == {
            "heads": ["1/3"],
            "kv_heads": ["2/3", "3/3"],
            "channels": ["1/2", "2/2"],
        }
    again = replay(described(folder), LocalFile(tmp_path / "p" / "pruning.json"))
    assert all(torch.equal(again.state[name], tensor) for name, tensor in pruned.state.items())


@pytest.mark.parametrize("importance", ["l1", "taylor", "wanda"])
@pytest.mark.parametrize("grouping", ["first", "max"])
def test_the_same_units_go_as_of_a_llama_with_the_same_weights(
    folder: Path, tmp_path: Path, importance: Importance, grouping: str
) -> None:
    fused = hf.AutoModelForCausalLM.from_pretrained(folder)
    parts = {"qkv_proj": {"q": 32, "k": 16, "v": 16}, "gate_up_proj": {"gate": 56, "up": 56}}
    state = {}
    for name, tensor in fused.state_dict().items():
        module = name.split(".")[-2]
        rows = parts.get(module, {"": len(tensor)})
        for part, each in zip(rows, tensor.split(list(rows.values())), strict=True):
            state[name.replace(module, f"{part}_proj") if part else name] = each
    config = {k: v for k, v in fused.config.to_dict().items() if k != "model_type"}
    llama = hf.LlamaForCausalLM(hf.LlamaConfig(**config, head_dim=8))
    llama.load_state_dict(state)
    llama.save_pretrained(tmp_path / "llama")

    wanted = plan(importance, **ALL, grouping=grouping)
    one, other = (
        prune_tiny(described(each), wanted, few_words(40)) for each in (folder, tmp_path / "llama")
    )
    assert [cut.kept for cut in one.cuts] == [cut.kept for cut in other.cuts]
    for a, b in zip(one.cuts, other.cuts, strict=True):
        assert a.scores == pytest.approx(b.scores, rel=1e-4)


def test_zeros_that_make_layers_alike_go_behind_each_part(folder: Path, tmp_path: Path) -> None:
    pruned = prune_tiny(described(folder), plan("l2", ratio=0.3, attention=(0, 2), mlp=(1, 3)))
    pruned.save(tmp_path / "uneven")
    pruned.save(tmp_path / "even", "hf", is_uniform=True)
    stock = hf.AutoModelForCausalLM.from_pretrained(tmp_path / "even").eval()
    with torch.no_grad():
        torch.testing.assert_close(
            stock(IDS).logits, prunescope.load(tmp_path / "uneven")(IDS).logits
        )
