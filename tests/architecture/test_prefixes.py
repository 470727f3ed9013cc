"""A base model saved alone, and a language model inside a larger one, have their family's roles."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import transformers as hf
from safetensors.torch import load_file, save_file

from prunescope.analysis.verify import verify
from prunescope.architecture import Role, describe
from prunescope.architecture.roles import PROJECTIONS
from prunescope.checkpoint import open_checkpoint
from prunescope.errors import ArchitectureError

TEXT = {
    "vocab_size": 40, "hidden_size": 32, "intermediate_size": 56, "num_hidden_layers": 2,
    "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 12, "pad_token_id": 0,
}  # fmt: skip
VISION = {
    "hidden_size": 16, "intermediate_size": 20, "num_hidden_layers": 2, "num_attention_heads": 2,
    "image_size": 28, "patch_size": 14,
}  # fmt: skip


def gemma3() -> hf.PreTrainedModel:
    config = hf.Gemma3Config(
        text_config=hf.Gemma3TextConfig(**TEXT), vision_config=hf.SiglipVisionConfig(**VISION),
        mm_tokens_per_image=4,
    )  # fmt: skip
    return hf.Gemma3ForConditionalGeneration(config)


def llama4() -> hf.PreTrainedModel:
    text = hf.Llama4TextConfig(
        **TEXT, intermediate_size_mlp=72, num_local_experts=4, num_experts_per_tok=1,
        interleave_moe_layer_step=2,
    )  # fmt: skip
    vision = hf.Llama4VisionConfig(
        **VISION, vision_output_dim=16, projector_input_dim=16, projector_output_dim=16,
        pixel_shuffle_ratio=0.5,
    )  # fmt: skip
    return hf.Llama4ForConditionalGeneration(
        hf.Llama4Config(text_config=text, vision_config=vision)
    )


@pytest.mark.parametrize("name", ["llama", "gpt2", "gpt_neox", "bloom", "mamba", "bert", "opt"])
def test_a_base_model_saved_alone(
    folder_of: Callable[[str], Path], name: str, tmp_path: Path
) -> None:
    whole = describe(open_checkpoint(folder_of(name)))
    hf.AutoModel.from_pretrained(folder_of(name)).save_pretrained(tmp_path)

    base = describe(open_checkpoint(tmp_path))

    assert not set(base.roles) & {n for n in whole.roles if n.startswith(whole.family.base)}
    assert base.layers.keys() == whole.layers.keys()
    for number, layer in whole.layers.items():
        assert {r: m.shape for r, m in layer.items()} == {
            r: m.shape for r, m in base.layers[number].items()
        }


@pytest.mark.parametrize("make", [gemma3, llama4])
def test_a_language_model_with_a_vision_tower(
    make: Callable[[], hf.PreTrainedModel], tmp_path: Path
) -> None:
    network = make()
    network.save_pretrained(tmp_path)

    model = describe(open_checkpoint(tmp_path))

    assert model.family.name == make.__name__
    assert list(model.layers) == [0, 1]
    assert set(PROJECTIONS[:4]) <= set(model.layers[0])
    assert model.head_dim == 12
    # The tower is read by its names, its layers together.
    start = "vision_tower.encoder" if make is gemma3 else "vision_model.model"
    assert model.outside[Role.own(f"{start}.layers.*.self_attn.q_proj")].shape == (16, 16)
    stored = {tensor.data_ptr(): tensor.numel() for tensor in network.state_dict().values()}
    buffers = {b.data_ptr() for n, b in network.named_buffers() if n not in network.state_dict()}
    assert model.parameters == sum(n for at, n in stored.items() if at not in buffers)
    loud = [check for check in verify(model.checkpoint).checks if check.verdict == "fail"]
    assert loud == []


def test_transformers_own_names_in_memory_are_known_too(tmp_path: Path) -> None:
    state = gemma3().state_dict()
    save_file({n: t.clone() for n, t in state.items()}, tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "gemma3", "text_config": TEXT}))
    assert "model.language_model.layers.0.self_attn.q_proj.weight" in state

    model = describe(open_checkpoint(tmp_path))

    assert list(model.layers) == [0, 1]
    assert Role.HEAD in model.outside


def test_one_tensor_under_two_names_is_no_tensor_of_the_family(
    folder_of: Callable[[str], Path], tmp_path: Path
) -> None:
    state = load_file(folder_of("llama") / "model.safetensors")
    bare = {n.removeprefix("model."): t for n, t in state.items()}
    save_file(bare | {"model.norm.weight": torch.ones(32)}, tmp_path / "model.safetensors")
    with pytest.raises(ArchitectureError, match="has no place in family llama"):
        describe(open_checkpoint(tmp_path))
