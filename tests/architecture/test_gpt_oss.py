"""gpt-oss as OpenAI published it: experts in MXFP4, and the figures of its model card.

https://arxiv.org/abs/2508.10925, table 1: 20.91 and 116.83 billion parameters, of which 3.61 and
5.13 work for a token (the embedding left out), in 12.8 and 60.8 GiB.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import transformers as hf
from safetensors.torch import load_file, save_file

from prunescope.analysis.breakdown import breakdown, by_component
from prunescope.analysis.cost import cost
from prunescope.analysis.verify import verify
from prunescope.analysis.workload import Workload
from prunescope.architecture import Role, describe
from prunescope.checkpoint import Checkpoint, open_checkpoint
from prunescope.errors import PrunescopeError
from prunescope.pruning.groups import check_prunable
from tests.support.sparse import write_safetensors

LAYERS = {"20b": 24, "120b": 36}
EXPERTS = {"20b": 32, "120b": 128}


def published(folder: Path, size: str) -> tuple[Checkpoint, dict[str, int]]:
    """The model as its repository has it, and transformers' parameters of it, by name."""
    config = hf.GptOssConfig(
        num_hidden_layers=LAYERS[size],
        num_local_experts=EXPERTS[size],
        quantization_config={"quant_method": "mxfp4"},
    )
    with torch.device("meta"):
        network = hf.GptOssForCausalLM(config)
    shapes: dict[str, tuple[int, ...]] = {}
    packed = set()
    for name, tensor in network.state_dict().items():
        if not name.endswith((".experts.gate_up_proj", ".experts.down_proj")):
            shapes[name] = tuple(tensor.shape)
            continue
        # transformers, integrations/mxfp4.py: what it multiplies with is transposed.
        experts, columns, rows = tensor.shape
        shapes[f"{name}_blocks"] = (experts, rows, columns // 32, 16)
        shapes[f"{name}_scales"] = (experts, rows, columns // 32)
        packed |= {f"{name}_blocks", f"{name}_scales"}
    write_safetensors(folder / "model.safetensors", shapes, packed)
    config.architectures = ["GptOssForCausalLM"]
    (folder / "config.json").write_text(json.dumps(config.to_dict()))
    counts = {name: tensor.numel() for name, tensor in network.named_parameters()}
    return open_checkpoint(folder), counts


@pytest.mark.parametrize(
    ("size", "billions", "active", "gib"),
    [("20b", 20.91, 3.61, 12.8), ("120b", 116.83, 5.13, 60.8)],
)
def test_the_figures_are_those_of_its_card(
    tmp_path: Path, size: str, billions: float, active: float, gib: float
) -> None:
    checkpoint, counts = published(tmp_path, size)

    model = describe(checkpoint)
    # Without a cache to attend to, two FLOPs for each weight that works for the token.
    found = cost(checkpoint, Workload(1))

    assert model.parameters == sum(counts.values())
    assert {name: t.parameters for name, t in checkpoint.tensors.items()} == counts
    assert round(model.parameters / 1e9, 2) == billions
    assert round(checkpoint.nbytes / 2**30, 1) == gib
    assert round(found.decode.flops / 2e9, 2) == active
    assert found.expert_share == 4 / EXPERTS[size]
    # Experts without their biases: 17 bytes for 32 weights.
    experts = LAYERS[size] * EXPERTS[size] * 3 * 2880 * 2880
    biases = LAYERS[size] * EXPERTS[size] * 3 * 2880
    assert found.expert_bytes == experts * 17 // 32 + biases * 2


@pytest.mark.parametrize("size", LAYERS)
def test_every_other_layer_keeps_128_tokens(tmp_path: Path, size: str) -> None:
    checkpoint, _ = published(tmp_path, size)

    found = cost(checkpoint, Workload(4096))

    # Keys and values of 8 heads of 64 in bf16, two bytes each.
    layer = 2 * 8 * 64 * 2
    assert found.kv_bytes_per_token == LAYERS[size] * layer
    assert found.kv_bytes == LAYERS[size] // 2 * (128 + 4096) * layer


def test_it_is_checked_and_not_pruned(tmp_path: Path) -> None:
    checkpoint, _ = published(tmp_path, "20b")

    found = verify(checkpoint, checkpoint)

    loud = {check.name for check in found.checks if check.verdict in ("fail", "warn")}
    assert not loud
    with pytest.raises(PrunescopeError, match="a gpt_oss model can be measured, not pruned"):
        check_prunable(describe(checkpoint))


def test_each_tensor_has_its_part_in_the_layer(folder_of: Callable[[str], Path]) -> None:
    model = describe(open_checkpoint(folder_of("gpt_oss")))
    layer = model.layers[0]

    # 4 heads and 2 KV heads of 12, hidden 32, six experts of 56: with biases.
    assert {role: module.parameters for role, module in layer.items()} == {
        Role.Q: 48 * 32 + 48,
        Role.K: 24 * 32 + 24,
        Role.V: 24 * 32 + 24,
        Role.O: 32 * 48 + 32,
        Role.SINKS: 4,
        Role.ROUTER: 6 * 32 + 6,
        Role.EXPERT_GATE_UP: 6 * (32 * 112 + 112),
        Role.EXPERT_DOWN: 6 * (56 * 32 + 32),
        Role.INPUT_NORM: 32,
        Role.POST_NORM: 32,
    }
    assert layer[Role.EXPERT_GATE_UP].shape == (6, 32, 112)
    # Of three layers in float32, the sinks included.
    attention = by_component(breakdown(model, model))["attention"].original
    assert attention == 4 * 3 * (1584 + 2 * 792 + 1568 + 4)


# As unsloth's 4-bit models, llm-compressor's and mlx-lm's have their experts.
APART = {
    "unsloth": ("gate_up_projs.{}", "down_projs.{}"),
    "llm-compressor": ("experts.{}.gate_proj", "experts.{}.down_proj"),
    "MLX": ("gate_proj", "down_proj"),
}


@pytest.mark.parametrize("project", APART)
def test_other_layouts_of_its_experts_are_read_by_their_names(
    folder_of: Callable[[str], Path], tmp_path: Path, project: str
) -> None:
    source = folder_of("gpt_oss")
    state = load_file(source / "model.safetensors")
    others = {name: tensor for name, tensor in state.items() if ".experts." not in name}
    for layer in range(3):
        for name in APART[project]:
            stem = f"model.layers.{layer}.mlp.experts.{name.format(0)}"
            others |= {f"{stem}.weight": torch.zeros(6, 5), f"{stem}.bias": torch.zeros(6)}
    save_file(others, tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_bytes((source / "config.json").read_bytes())

    model = describe(open_checkpoint(tmp_path))

    assert model.family.is_generic
    assert model.parameters == sum(tensor.numel() for tensor in others.values())
    assert list(model.layers) == [0, 1, 2]


def test_heads_that_do_not_agree_are_found(
    folder_of: Callable[[str], Path], tmp_path: Path
) -> None:
    source = folder_of("gpt_oss")
    state = load_file(source / "model.safetensors")
    state["model.layers.1.mlp.experts.down_proj_bias"] = torch.zeros(5, 32)
    state["model.layers.2.self_attn.sinks"] = torch.zeros(3)
    save_file(state, tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_bytes((source / "config.json").read_bytes())

    found = verify(open_checkpoint(tmp_path))

    failed = [one for check in found.checks for one in check.findings if one.verdict == "fail"]
    assert {layer for one in failed for layer in one.layers} == {1, 2}
