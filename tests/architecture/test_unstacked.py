"""Experts stacked in a state dict of transformers 5 are read one by one, as files have them."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

import prunescope
from prunescope.analysis.compare import compare
from prunescope.analysis.cost import cost
from prunescope.analysis.sparsity import sparsity
from prunescope.analysis.verify import verify
from prunescope.architecture import describe
from prunescope.checkpoint import open_checkpoint
from prunescope.checkpoint.weights import WeightMap
from prunescope.errors import ArchitectureError
from prunescope.interop.convert import convert
from prunescope.interop.torch_tensors import as_tensor
from tests.support.families import family_network
from tests.support.pruning import described, plan, prune_tiny

FAMILIES = ("mixtral", "qwen2_moe", "qwen3_moe", "deepseek_v2", "deepseek_v3", "jamba")
GATE_UP = "model.layers.0.mlp.experts.gate_up_proj"
State = dict[str, torch.Tensor]


def saved(folder: Path, name: str) -> tuple[Path, State]:
    """A folder by `save_pretrained`, and what the model's state dict holds."""
    network = family_network(name)
    network.save_pretrained(folder)
    return folder, network.state_dict()


def in_memory(folder: Path, state: State, config: Path | None, kind: str = "torch") -> Path:
    """A folder with `state` as it is."""
    folder.mkdir()
    if config is not None:
        shutil.copy(config / "config.json", folder)
    if kind == "torch":
        torch.save(state, folder / "pytorch_model.bin")
    else:
        save_file(state, folder / "model.safetensors")
    return folder


@pytest.mark.parametrize("kind", ["torch", "safetensors"])
@pytest.mark.parametrize("name", FAMILIES)
def test_each_expert_is_the_tensor_that_save_pretrained_writes(
    tmp_path: Path, name: str, kind: str
) -> None:
    files, state = saved(tmp_path / "files", name)
    expected = load_file(files / "model.safetensors")
    assert not expected.keys() >= state.keys()
    model = described(in_memory(tmp_path / "memory", state, files, kind))
    with WeightMap() as weights:
        found = {n: as_tensor(weights, info) for n, info in model.checkpoint.tensors.items()}
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[n], expected[n]) for n in expected)


@pytest.mark.parametrize("name", FAMILIES)
def test_all_figures_are_those_of_the_files(tmp_path: Path, name: str) -> None:
    files, state = saved(tmp_path / "files", name)
    memory = in_memory(tmp_path / "memory", state, files)
    a, b = open_checkpoint(files), open_checkpoint(memory)
    rows = compare(a, b).rows()
    assert rows == compare(a, a).rows()
    assert any("Expert Gate" in row["模块名称"] for row in rows)
    assert not verify(b, a).failed
    assert not verify(b).failed
    codes = {c.name: {one.code for one in c.findings} for c in verify(b).checks}
    assert "stacked" in codes["vllm"]
    assert "stacked" not in codes["transformers"]
    assert sparsity(b).total == sparsity(a).total
    if describe(a).family.unpriced is None:
        assert cost(b).record() | {"path": ""} == cost(a).record() | {"path": ""}


@pytest.mark.parametrize("name", FAMILIES)
def test_a_bare_file_is_told_by_its_names(tmp_path: Path, name: str) -> None:
    _, state = saved(tmp_path / "files", name)
    torch.save(state, tmp_path / "lone.bin")
    assert describe(open_checkpoint(tmp_path / "lone.bin")).family.name == name


def test_it_is_converted_pruned_and_loaded_as_the_files_are(tmp_path: Path) -> None:
    files, state = saved(tmp_path / "files", "mixtral")
    memory = in_memory(tmp_path / "memory", state, files)
    convert(memory, tmp_path / "out")
    expected, found = (load_file(f / "model.safetensors") for f in (files, tmp_path / "out"))
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[n], expected[n]) for n in expected)
    out = verify(open_checkpoint(tmp_path / "out")).checks
    assert all(one.code != "stacked" for check in out for one in check.findings)
    loaded = prunescope.load(memory).state_dict()
    assert all(torch.equal(loaded[n], state[n]) for n in state)
    wanted = plan()
    for folder in (files, memory):
        prune_tiny(described(folder), wanted).save(tmp_path / f"{folder.name}-pruned", "hf")
    pruned = [
        load_file(tmp_path / f"{n}-pruned" / "model.safetensors") for n in ("files", "memory")
    ]
    assert pruned[0].keys() == pruned[1].keys()
    assert all(torch.equal(tensor, pruned[1][n]) for n, tensor in pruned[0].items())


@pytest.mark.parametrize(
    "stack",
    [
        torch.zeros(6, 32, 48).transpose(1, 2),  # 48 rows, but not row behind row
        torch.zeros(6, 47, 32),  # gate and up of 23.5 rows
        torch.zeros(48, 32),
        torch.zeros(5000, 2, 1),
        torch.zeros(6, 0, 32),
    ],
    ids=["strided", "odd", "two axes", "too many experts", "empty"],
)  # fmt: skip
def test_what_cannot_be_taken_apart_is_refused_with_what_to_do(
    tmp_path: Path, stack: torch.Tensor
) -> None:
    files, state = saved(tmp_path / "files", "qwen3_moe")
    memory = in_memory(tmp_path / "memory", state | {GATE_UP: stack}, files)
    with pytest.raises(ArchitectureError) as caught:
        describe(open_checkpoint(memory))
    assert f"tensor '{GATE_UP}'" in str(caught.value)
    assert str(caught.value).endswith("memory: save the model by save_pretrained")
    assert "\n" not in str(caught.value)


def test_stacks_of_more_experts_than_any_model_has_are_refused(tmp_path: Path) -> None:
    # 19 layers of 4096 experts, a gate and an up each: 155,648 tensors from 160 KB of weights.
    shapes = {
        f"model.layers.{n}.mlp.experts.gate_up_proj": torch.zeros(4096, 2, 1, dtype=torch.uint8)
        for n in range(19)
    }
    save_file(shapes, tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text('{"model_type": "qwen3_moe"}')

    with pytest.raises(ArchitectureError, match="more experts in its stacked tensors than any"):
        describe(open_checkpoint(tmp_path))


def test_pieces_of_a_stack_are_to_be_put_together_first(tmp_path: Path) -> None:
    files, state = saved(tmp_path / "files", "qwen3_moe")
    checkpoint = open_checkpoint(in_memory(tmp_path / "memory", state, files))
    whole = checkpoint.tensors[GATE_UP]
    in_pieces = replace(whole, parts=(replace(whole, start=(0, 0, 0)),))
    with pytest.raises(ArchitectureError, match="memory: run prunescope convert first"):
        describe(replace(checkpoint, tensors={**checkpoint.tensors, GATE_UP: in_pieces}))


def test_experts_that_are_there_already_are_not_doubled(tmp_path: Path) -> None:
    files, state = saved(tmp_path / "files", "qwen3_moe")
    both = state | load_file(files / "model.safetensors")
    checkpoint = open_checkpoint(in_memory(tmp_path / "memory", both, files))
    with pytest.raises(ArchitectureError, match="by save_pretrained"):
        describe(checkpoint)
