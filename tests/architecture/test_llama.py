"""The Llama table names every tensor of the models transformers builds, and no other's."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from transformers import LlamaConfig, LlamaForCausalLM, MistralConfig, MistralForCausalLM

from prunescope.architecture import PROJECTIONS, Model, Role, describe, load_family
from prunescope.checkpoint import open_checkpoint
from prunescope.errors import ArchitectureError

# head_dim is 12 on purpose: hidden / heads would be 8.
SIZES = {
    "vocab_size": 40,
    "hidden_size": 32,
    "intermediate_size": 56,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 12,
}
MODELS = {
    "llama": LlamaConfig(**SIZES, tie_word_embeddings=False),
    "llama tied": LlamaConfig(**SIZES, tie_word_embeddings=True),
    "llama with biases": LlamaConfig(
        **SIZES, attention_bias=True, mlp_bias=True, tie_word_embeddings=False
    ),
    "mistral": MistralConfig(**SIZES, tie_word_embeddings=False),
    "mistral tied": MistralConfig(**SIZES, tie_word_embeddings=True),
}
NAMES = {
    "q_proj": Role.Q,
    "k_proj": Role.K,
    "v_proj": Role.V,
    "o_proj": Role.O,
    "gate_proj": Role.GATE,
    "up_proj": Role.UP,
    "down_proj": Role.DOWN,
    "input_layernorm": Role.INPUT_NORM,
    "post_attention_layernorm": Role.POST_NORM,
    "embed_tokens": Role.EMBEDDING,
    "norm": Role.FINAL_NORM,
    "lm_head": Role.HEAD,
}


@pytest.fixture(scope="module", params=MODELS)
def saved(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that transformers' own save_pretrained wrote."""
    config = MODELS[request.param]
    kind = LlamaForCausalLM if config.model_type == "llama" else MistralForCausalLM
    folder = tmp_path_factory.mktemp("model")
    kind(config).save_pretrained(folder)
    return folder


def test_every_tensor_has_the_role_its_module_is_named_for(saved: Path) -> None:
    model = describe(open_checkpoint(saved))

    assert model.roles.keys() == model.checkpoint.tensors.keys()
    for name, found in model.roles.items():
        assert found.role is NAMES[name.split(".")[-2]], name
    assert list(model.layers) == [0, 1, 2]
    for layer in model.layers.values():
        assert set(PROJECTIONS) | {Role.INPUT_NORM, Role.POST_NORM} == set(layer)
    assert {Role.EMBEDDING, Role.FINAL_NORM} <= set(model.outside)


def test_modules_hold_all_parameters_that_torch_counts(saved: Path) -> None:
    model = describe(open_checkpoint(saved))
    config = model.checkpoint.config
    kind = LlamaForCausalLM if config["model_type"] == "llama" else MistralForCausalLM
    expected = sum(p.numel() for p in kind.from_pretrained(saved).parameters())

    modules = [m for layer in model.layers.values() for m in layer.values()]
    modules += model.outside.values()

    assert sum(m.parameters for m in modules) == model.checkpoint.parameters == expected


def test_every_axis_is_as_long_as_its_space_in_the_config(saved: Path) -> None:
    model = describe(open_checkpoint(saved))
    checked: Counter[str] = Counter()
    for name, found in model.roles.items():
        for axis, length in zip(found.axes, model.checkpoint.tensors[name].shape, strict=True):
            space = model.family.spaces[axis]
            rows = SIZES[space.unit] if space.unit else 1
            assert length == SIZES[space.config] * rows, name
            checked[axis] += 1
    assert set(checked) == {"hidden", "vocab", "heads", "kv_heads", "channels"}


def test_head_dim_is_the_configs_and_not_a_quotient(saved: Path) -> None:
    assert describe(open_checkpoint(saved)).head_dim == 12


def test_a_file_without_config_is_recognised_by_its_names(saved: Path, tmp_path: Path) -> None:
    lone = tmp_path / "model.safetensors"
    lone.write_bytes((saved / "model.safetensors").read_bytes())

    model = describe(open_checkpoint(lone))

    assert model.family.name == "llama"
    assert model.roles == describe(open_checkpoint(saved)).roles
    assert model.head_dim is None


def tiny(folder: Path, config: dict[str, object] | None = None, **extra: torch.Tensor) -> Model:
    """One layer's q_proj with further tensors; `__` in a name stands for a dot."""
    tensors = {"model.layers.0.self_attn.q_proj.weight": torch.ones(4, 4)}
    tensors |= {name.replace("__", "."): tensor for name, tensor in extra.items()}
    save_file(tensors, folder / "model.safetensors")
    if config is not None:
        (folder / "config.json").write_text(json.dumps(config))
    return describe(open_checkpoint(folder))


def test_without_head_dim_it_is_hidden_size_over_heads(tmp_path: Path) -> None:
    config = {"model_type": "llama", "hidden_size": 96, "num_attention_heads": 8}

    assert tiny(tmp_path, config).head_dim == 12


@pytest.mark.parametrize(
    "name",
    [
        "model__layers__0__self_attn__q_norm__weight",
        "model__layers__0__mlp__experts__0__gate_proj__weight",
        "model__layers____self_attn__k_proj__weight",
        "model__layers__x__self_attn__k_proj__weight",
        "model__layers__-1__self_attn__k_proj__weight",
        "model__layers__01__self_attn__k_proj__weight",
        "model__layers__1000000__self_attn__k_proj__weight",
        "model__layers__٣__self_attn__k_proj__weight",
        "layers__0__self_attn__k_proj__weight",
        "model__layers__0__self_attn__q_proj__weight__scale",
        "visual__patch_embed__weight",
    ],
)
def test_a_foreign_tensor_is_named(tmp_path: Path, name: str) -> None:
    with pytest.raises(ArchitectureError) as caught:
        tiny(tmp_path, {"model_type": "llama"}, **{name: torch.ones(4, 4)})

    assert repr(name.replace("__", ".")) in str(caught.value)
    assert "of shape [4, 4] has no place in family llama" in str(caught.value)


@pytest.mark.parametrize("shape", [(16,), (4, 2, 2)])
def test_a_tensor_with_other_axes_is_named(tmp_path: Path, shape: tuple[int, ...]) -> None:
    with pytest.raises(ArchitectureError, match=r"k_proj\.weight' of shape"):
        tiny(tmp_path, None, model__layers__0__self_attn__k_proj__weight=torch.ones(shape))


def test_old_files_rotary_buffers_have_a_place(tmp_path: Path) -> None:
    buffer = {"model__layers__0__self_attn__rotary_emb__inv_freq": torch.ones(6)}

    assert tiny(tmp_path, None, **buffer).layers[0][Role.BUFFER].shape == (6,)


def test_a_model_without_layers_is_refused(tmp_path: Path) -> None:
    save_file({"model.norm.weight": torch.ones(4)}, tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text('{"model_type": "llama"}')

    with pytest.raises(ArchitectureError, match="no layers among 1 tensors"):
        describe(open_checkpoint(tmp_path))


def test_layers_are_in_numerical_order(tmp_path: Path) -> None:
    layers = {
        f"model__layers__{n}__self_attn__q_proj__weight": torch.ones(4, 4) for n in (10, 2, 1)
    }

    assert list(tiny(tmp_path, None, **layers).layers) == [0, 1, 2, 10]


def test_a_bias_belongs_to_its_projection(tmp_path: Path) -> None:
    model = tiny(tmp_path, None, model__layers__0__self_attn__q_proj__bias=torch.ones(4))

    module = model.layers[0][Role.Q]
    assert module.shape == (4, 4)
    assert module.parameters == 4 * 4 + 4


def test_spaces_that_are_pruned_together_exist_and_repeat_per_layer() -> None:
    family = load_family("llama")

    for group in family.groups.values():
        assert all(family.spaces[name].per_layer for name in group.spaces)
    labels = {
        axis for role in (*family.model.values(), *family.layer.values()) for axis in role.axes
    }
    assert labels == set(family.spaces)
