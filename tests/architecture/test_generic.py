"""A model that no table knows is read by its names, and every command says what it can do then."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import save_file
from transformers import GPTJConfig, GPTJForCausalLM

from prunescope.analysis.compare import compare
from prunescope.analysis.cost import cost
from prunescope.analysis.trace.run import trace
from prunescope.analysis.verify import verify
from prunescope.analysis.workload import Workload
from prunescope.architecture import Role, describe
from prunescope.architecture.generic import generic_family
from prunescope.checkpoint import Checkpoint, open_checkpoint
from prunescope.errors import ArchitectureError
from tests.support.commands import prunescope
from tests.support.pruning import plan, prune_tiny

UNKNOWN = "no table knows architecture 'gptj': {} needs to know what the axes of its tensors are"


@pytest.fixture(scope="module")
def gptj(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A real model of a family without a table, two layers, and it with half its channels."""
    folder = tmp_path_factory.mktemp("gptj")
    for name, inner in (("original", 24), ("pruned", 12)):
        config = GPTJConfig(
            vocab_size=20, n_embd=16, n_layer=2, n_head=2, n_inner=inner, rotary_dim=4,
            bos_token_id=0, eos_token_id=1, tie_word_embeddings=False,
        )  # fmt: skip
        GPTJForCausalLM(config).save_pretrained(folder / name)
    return folder


def said(folder: Path, *arguments: str) -> str:
    done = prunescope(*arguments, cwd=folder)
    assert done.returncode == 0, done.stderr
    return done.stdout


def saved(path: Path, shapes: Mapping[str, tuple[int, ...]]) -> Checkpoint:
    save_file({name: torch.zeros(shape) for name, shape in shapes.items()}, path)
    return open_checkpoint(path)


def test_layers_are_the_repeating_number_and_modules_what_follows_it(gptj: Path) -> None:
    model = describe(open_checkpoint(gptj / "original"))

    assert model.family.is_generic
    assert list(model.layers) == [0, 1]
    for layer in model.layers.values():
        assert {role.title: module.shape for role, module in layer.items()} == {
            "attn.k_proj": (16, 16), "attn.out_proj": (16, 16), "attn.q_proj": (16, 16),
            "attn.v_proj": (16, 16), "ln_1": (16,), "mlp.fc_in": (24, 16), "mlp.fc_out": (16, 24),
        }  # fmt: skip
    assert {role.title for role in model.outside} == {
        "lm_head", "transformer.ln_f", "transformer.wte",
    }  # fmt: skip
    assert model.parameters == model.checkpoint.parameters


def test_a_pruned_one_is_compared_module_by_module(gptj: Path) -> None:
    found = compare(open_checkpoint(gptj / "original"), open_checkpoint(gptj / "pruned"))

    # 12 of 24 channels: rows and biases of fc_in, columns of fc_out.
    assert found.parameters.removed == 2 * (12 * 16 + 12 + 12 * 16)
    rows = {v.role.title: v.common for v in found.verdicts()}
    assert rows["mlp.fc_in"] == 0.5
    assert rows["attn.q_proj"] is None
    # With a row of the norm no layer would be without one of sparsity 0, whatever was cut of it.
    assert "ln_1" not in rows
    assert {row["模块名称"] for row in found.rows()} == rows.keys()
    assert "ln_1" in {m.role.title for m in found.layers[0].modules}


def test_analyze_says_how_it_was_read(gptj: Path) -> None:
    text = said(gptj, "analyze", "original", "pruned")
    assert "unknown architecture gptj: layers and modules are read off tensor names" in text
    assert "📊 mlp.fc_in" in text
    assert "未知架构 gptj" in said(gptj, "analyze", "original", "pruned", "--lang", "zh")
    found = json.loads(said(gptj, "analyze", "original", "pruned", "--json"))
    assert (found["family"], found["generic"]) == ("generic", True)


def test_sparsity_needs_no_table(gptj: Path) -> None:
    text = said(gptj, "sparsity", "pruned")
    assert "unknown architecture gptj" in text
    assert "mlp.fc_out" in text


def test_what_needs_axes_is_refused_in_a_line(gptj: Path) -> None:
    original, pruned = (open_checkpoint(gptj / name) for name in ("original", "pruned"))
    with pytest.raises(ArchitectureError, match=UNKNOWN.format("verify")):
        verify(pruned, original)
    with pytest.raises(ArchitectureError, match=UNKNOWN.format("cost")):
        cost(original, Workload(8, 1))
    with pytest.raises(ArchitectureError, match=UNKNOWN.format("trace")):
        trace(original, pruned)
    with pytest.raises(ArchitectureError, match=UNKNOWN.format("prune")):
        prune_tiny(describe(original), plan(attention=(0, 1), mlp=(0, 1)))


def test_a_lone_file_is_read_as_the_model_it_was_pruned_from(gptj: Path, tmp_path: Path) -> None:
    lone = tmp_path / "x.safetensors"
    lone.write_bytes((gptj / "pruned" / "model.safetensors").read_bytes())

    found = compare(open_checkpoint(gptj / "original"), open_checkpoint(lone))

    assert found.original.family.is_generic
    assert found.pruned.family.is_generic


def test_two_stacks_and_their_experts(tmp_path: Path) -> None:
    shapes = {
        f"{stack}.block.{n}.moe.experts.{e}.w.weight": (4, 2)
        for stack, depth in (("enc", 2), ("dec", 3))
        for n in range(depth)
        for e in range(5)
    } | {"head.0.weight": (3, 2), "head.2.weight": (3, 2)}
    model = describe(saved(tmp_path / "x.safetensors", shapes))

    assert model.stacks == {"dec.block": (0, 1, 2), "enc.block": (3, 4)}
    assert model.layers[4][Role.own("moe.experts.*.w")].shape == (5, 4, 2)
    # Numbers that nothing repeats under are none of layers.
    assert {role.title for role in model.outside} == {"head.0", "head.2"}


def test_one_layer_is_a_stack_and_no_number_is_none(tmp_path: Path) -> None:
    one = describe(saved(tmp_path / "a.safetensors", {"h.0.a.weight": (2,), "w.weight": (3,)}))
    assert list(one.layers) == [0]
    none = describe(saved(tmp_path / "b.safetensors", {"a.weight": (2,), "b.weight": (3,)}))
    assert (list(none.layers), none.parameters) == ([], 5)


def test_a_module_that_is_called_as_a_role_is_none_of_it(tmp_path: Path) -> None:
    shapes = {"h.0.Buffer.weight": (2,), "h.1.Buffer.weight": (2,)}
    model = describe(saved(tmp_path / "x.safetensors", shapes))
    assert model.parameters == 4
    assert [role.is_own for role in model.layers[0]] == [True]


@pytest.mark.parametrize(
    "model_type", [None, 3, [], "", "../families/llama", "LLAMA", "x\n", "a" * 99]
)
def test_a_type_is_never_a_path(tmp_path: Path, model_type: object) -> None:
    shapes = {"q.0.w.weight": (2,), "q.1.w.weight": (2,)}
    save_file({n: torch.zeros(s) for n, s in shapes.items()}, tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text(json.dumps({"model_type": model_type}))
    assert describe(open_checkpoint(tmp_path)).family.is_generic


@given(st.lists(st.text("ab.01_", min_size=1, max_size=12), max_size=12, unique=True))
def test_every_name_has_one_place(names: list[str]) -> None:
    family = generic_family(names)
    found = [family.locate(name) for name in names]
    assert None not in found
    assert len(set(found)) == len(names)


def test_of_a_hundred_stacks_the_largest_are_layers() -> None:
    names = [
        f"s{s}.{n}.m{m}.weight" for s in range(100) for n in range(2) for m in range(s % 3 + 1)
    ]

    family = generic_family(names)

    # 33 stacks have three modules in a layer and 33 two; the names are all there yet.
    assert len(family.stacks) == 64
    assert all(len(stack.layer) > 1 for stack in family.stacks)
    assert all(family.locate(name) for name in names)
