"""Quantised models: a tiny Llama as each library writes it, or as its source lays it out."""

from __future__ import annotations

from collections.abc import Callable
from math import ceil
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, PreTrainedModel

from prunescope.checkpoint import Checkpoint, open_checkpoint
from tests.support.tiny import edit_json, tiny_network

# Multiples of 64, so that every method's groups and blocks are full.
SIZES = {"hidden_size": 64, "intermediate_size": 128, "head_dim": 16, "num_hidden_layers": 2}
Pack = Callable[[torch.Tensor], dict[str, torch.Tensor]]


def original(folder: Path, **changes: Any) -> Path:
    """The model that the others quantise, in bfloat16."""
    tiny_network(dtype=torch.bfloat16, **SIZES | changes).save_pretrained(folder)
    return folder


def agree(source: Path, folder: Path, dtype: str) -> Checkpoint:
    """The quantised model in `folder`, once its shapes and bytes are those they should be."""
    expected, found = open_checkpoint(source), open_checkpoint(folder)
    assert {n: t.shape for n, t in found.tensors.items()} == {
        n: t.shape for n, t in expected.tensors.items()
    }
    assert found.parameters == expected.parameters
    projections = sum(t.parameters for n, t in expected.tensors.items() if "_proj." in n)
    assert found.dtypes == {dtype: projections, "BF16": expected.parameters - projections}
    # Every byte of the file belongs to a tensor, and each to one.
    data = 0
    with safe_open(folder / "model.safetensors", "pt") as stored:
        for name in stored.keys():  # noqa: SIM118
            tensor = stored.get_tensor(name)
            data += tensor.nbytes
    assert found.nbytes == data
    assert found.bits_per_weight == 8 * data / expected.parameters
    return found


def by_bitsandbytes(source: Path, folder: Path, **settings: Any) -> Path:
    """`source` as transformers and bitsandbytes load and save it."""
    from transformers import BitsAndBytesConfig

    config = BitsAndBytesConfig(**settings)
    AutoModelForCausalLM.from_pretrained(
        source, quantization_config=config, device_map="cpu"
    ).save_pretrained(folder)
    return folder


def by_compressed_tensors(source: Path, folder: Path, preset: str) -> Path:
    """`source` as compressed-tensors compresses and saves it."""
    from compressed_tensors.compressors import ModelCompressor
    from compressed_tensors.quantization import (
        QuantizationConfig,
        apply_quantization_config,
        preset_name_to_scheme,
    )

    model = AutoModelForCausalLM.from_pretrained(source)
    scheme = preset_name_to_scheme(preset, ["Linear"])
    if scheme.weights.group_size:
        scheme.weights.group_size = min(scheme.weights.group_size, 32)
    config = QuantizationConfig(config_groups={"group_0": scheme}, ignore=["lm_head"])
    apply_quantization_config(model, config)
    for name, parameter in model.named_parameters():
        if name.endswith("scale"):
            parameter.data.fill_(1)
    compressor = ModelCompressor.from_pretrained_model(model)
    compressor.compress_model(model)
    model.save_pretrained(folder)
    compressor.update_config(folder)
    return folder


def by_finegrained_fp8(source: Path, folder: Path, block: tuple[int, int] | None) -> Path:
    """`source` with transformers' own FP8 modules; they quantise on a GPU, so without values."""
    from transformers import FineGrainedFP8Config
    from transformers.integrations.finegrained_fp8 import replace_with_fp8_linear

    config = FineGrainedFP8Config(weight_block_size=block)
    model: PreTrainedModel = AutoModelForCausalLM.from_pretrained(source)
    replace_with_fp8_linear(
        model, modules_to_not_convert=["lm_head"], quantization_config=config, pre_quantized=True
    )
    model.to_empty(device="cpu")
    model.config.quantization_config = config
    model.save_pretrained(folder)
    return folder


def by_hand(source: Path, folder: Path, pack: Pack, config: dict[str, Any]) -> Path:
    """`source` with each projection's weight replaced by what `pack` makes of it."""
    folder.mkdir()
    state: dict[str, torch.Tensor] = {}
    for name, tensor in load_file(source / "model.safetensors").items():
        if name.endswith("_proj.weight"):
            stem = name.removesuffix("weight")
            state |= {stem + part: t.contiguous() for part, t in pack(tensor).items()}
        else:
            state[name] = tensor
    save_file(state, folder / "model.safetensors")
    (folder / "config.json").write_text((source / "config.json").read_text())
    edit_json(folder / "config.json", {"quantization_config": config})
    return folder


def words(values: torch.Tensor, bits: int) -> torch.Tensor:
    """Integers below 2^bits, laid end to end along the last axis, in int32 words.

    The lowest bits come first, and an element of 3 bits may lie in two words, as AutoGPTQ packs
    them (qlinear_cuda.py, `pack`): its three words of 32 elements are this very sequence of bits.
    """
    flat = (values.long().unsqueeze(-1) >> torch.arange(bits)) & 1
    stream = flat.flatten(-2).unflatten(-1, (-1, 32))
    return (stream << torch.arange(32)).sum(-1).to(torch.int32)


def gptq(bits: int, group: int, act_order: bool = True) -> Pack:
    """AutoGPTQ's layout (nn_modules/qlinear): words down the columns of [in, out]."""

    def pack(weight: torch.Tensor) -> dict[str, torch.Tensor]:
        out, columns = weight.shape
        groups = ceil(columns / group)
        values = torch.randint(1 << bits, (out, columns))
        parts = {
            "qweight": words(values, bits).T,
            "qzeros": words(torch.randint(1 << bits, (groups, out)), bits),
            "scales": torch.ones(groups, out, dtype=torch.float16),
        }
        if act_order:
            parts["g_idx"] = torch.arange(columns, dtype=torch.int32) // group
        return parts

    return pack


def awq(group: int) -> Pack:
    """AutoAWQ's GEMM layout (modules/linear/gemm.py): words along the rows of [in, out]."""
    order = torch.tensor([0, 2, 4, 6, 1, 3, 5, 7])

    def pack(weight: torch.Tensor) -> dict[str, torch.Tensor]:
        out, columns = weight.shape
        values = torch.randint(16, (columns, out)).unflatten(1, (-1, 8))[..., order].flatten(1)
        zeros = torch.randint(16, (columns // group, out))
        return {
            "qweight": words(values, 4),
            "qzeros": words(zeros, 4),
            "scales": torch.ones(columns // group, out, dtype=torch.float16),
        }

    return pack


def mlx(bits: int, group: int, scale: torch.dtype = torch.bfloat16) -> Pack:
    """What `mlx_lm.convert -q` writes (mlx 0.32): words along `in`; biases but in MX modes."""

    def pack(weight: torch.Tensor) -> dict[str, torch.Tensor]:
        out, columns = weight.shape
        data = words(torch.randint(1 << bits, (out, columns)), bits).view(torch.uint32)
        scales = torch.ones(out, columns // group, dtype=scale)
        parts = {"weight": data, "scales": scales}
        return parts if scale == torch.uint8 else parts | {"biases": scales.clone()}

    return pack
