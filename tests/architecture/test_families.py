"""Every family's table names what transformers' own class saves, and how long each axis is.

The lengths of spaces are worked out from the configs in `tests.support.families`.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from prunescope.analysis.verify import verify
from prunescope.architecture import Model, Role, describe, load_family
from prunescope.architecture.labels import parts
from prunescope.architecture.tables import family_names, form_of
from prunescope.checkpoint import open_checkpoint
from tests.support.families import MODELS, family_network

Folders = Callable[[str], Path]
_SHARED = {"hidden": 32, "vocab": 40, "channels": 56}
# 4 heads and 2 KV heads of head_dim 12, where the config may say so, else of 32 / 4 = 8.
_WIDE = _SHARED | {"heads": 48, "kv_heads": 24, "head_dim": 12}
_NARROW = _SHARED | {"heads": 32, "kv_heads": 16, "head_dim": 8}
_EXPERTS = {"experts": 6, "expert_channels": 24}
# Two heads' kinds of dimension: 6 + 4 of queries, 6 + 5 of keys and values, 5 of values.
_LATENT = _SHARED | _EXPERTS | {
    "query_heads": 40, "key_value_heads": 44, "value_heads": 20, "query_rank": 10,
    "key_value_rank": 14, "rotary": 4, "shared_channels": 48,
}  # fmt: skip
_MAMBA = {"inner": 64, "state": 8, "step": 6}
_T5 = _SHARED | {"heads": 48, "cross_heads": 48, "biases": 4, "buckets": 32}
LENGTHS: dict[str, dict[str, int]] = {
    "falcon": _NARROW | {"kv_heads": 8, "channels": 128},
    "falcon new": _NARROW | {"channels": 128},
    "falcon old": _NARROW | {"channels": 128},
    "gpt2": _NARROW | {"positions": 64},
    # OPT keeps two rows for padding.
    "opt": _NARROW | {"positions": 66, "embedding": 24},
    "bloom": _NARROW | {"channels": 128},
    "mpt": _NARROW | {"channels": 128},
    "cohere": _NARROW | {"query_norms": 4, "key_norms": 2},
    "deepseek_v2": _LATENT,
    "deepseek_v3": _LATENT,
    "mixtral": _WIDE | {"experts": 6, "expert_channels": 56},
    "qwen2_moe": _WIDE | _EXPERTS | {"shared_channels": 48},
    "qwen3_moe": _WIDE | _EXPERTS,
    "llama4": _WIDE | {"channels": 72, "experts": 6, "expert_channels": 56},
    "gpt_oss": _WIDE | {"sinks": 4, "experts": 6, "expert_channels": 56},
    "mamba": _SHARED | _MAMBA,
    "jamba": _NARROW | _MAMBA | {"experts": 6, "expert_channels": 56},
    "t5": _T5,
    "t5 gated": _T5,
    "bert": _NARROW | {"positions": 64, "segments": 2},
    "vit": _NARROW | {"positions": 17, "labels": 7, "colours": 3, "pixels": 8},
}
_WIDE_ONES = ("llama", "mistral", "qwen2", "qwen3", "gemma", "gemma2", "gemma3", "nemotron", "glm4")
for _name in _WIDE_ONES:
    LENGTHS[_name] = _WIDE
# Engines without the architecture; of these here, heads do not fill the hidden size as llama.cpp
# wants, or a layer has no experts.
LACKING = {
    "opt": {"llama.cpp"},
    "qwen2": {"llama.cpp"},
    "qwen2_moe": {"llama.cpp"},
    "qwen3_moe": {"llama.cpp"},
    "t5": {"vllm"},
    "t5 gated": {"vllm"},
    "vit": {"vllm", "llama.cpp"},
}
# Told apart by no name: what is built alike, and a variant that only the config tells.
ALIKE = {
    "mistral": "llama", "gemma": "llama", "granite": "llama", "smollm3": "llama",
    "cohere2": "cohere", "olmo3": "olmo2",
}  # fmt: skip


def model_of(folder: Path) -> Model:
    return describe(open_checkpoint(folder))


def test_every_table_has_a_model_here() -> None:
    known = {name.split(" ")[0] for name in MODELS}
    # transformers has no class of a Llama in another form: `tests/analysis/test_nemotron.py`.
    assert {name for name in family_names() if form_of(name) == name} <= known


@pytest.mark.parametrize("name", MODELS)
def test_every_tensor_has_a_place_and_every_axis_its_spaces_length(
    folder_of: Folders, name: str
) -> None:
    model = model_of(folder_of(name))
    lengths = LENGTHS.get(name, _NARROW)
    assert model.roles.keys() == model.places.keys() == model.checkpoint.tensors.keys()
    met: set[str] = set()
    for tensor, role in model.roles.items():
        for label, length in zip(role.axes, model.checkpoint.tensors[tensor].shape, strict=True):
            inside = parts(label)
            met |= set(inside)
            if inside:
                assert length == sum(lengths[space] for space in inside), (tensor, label)
    assert met - {"head_dim"} == lengths.keys() & model.family.spaces.keys() - {"head_dim"}


@pytest.mark.parametrize("name", MODELS)
def test_modules_hold_what_torch_counts(folder_of: Folders, name: str) -> None:
    network = family_network(name)
    model = model_of(folder_of(name))

    # DeepSeek's routers have a bias that torch calls a buffer; tied tensors have one address.
    stored = {tensor.data_ptr(): tensor.numel() for tensor in network.state_dict().values()}
    assert model.parameters == sum(stored.values())
    depth = 5 if name.startswith("t5") else 3
    assert list(model.layers) == list(range(depth))


@pytest.mark.parametrize("name", MODELS)
def test_a_healthy_model_is_silent(folder_of: Folders, name: str) -> None:
    checkpoint = open_checkpoint(folder_of(name))
    for original in (None, checkpoint):
        found = verify(checkpoint, original)
        loud = {check.name for check in found.checks if check.verdict in ("fail", "warn")}
        assert loud == LACKING.get(name, set())


@pytest.mark.parametrize("name", MODELS)
def test_without_a_config_names_tell(folder_of: Folders, name: str, tmp_path: Path) -> None:
    lone = tmp_path / "model.safetensors"
    lone.write_bytes((folder_of(name) / "model.safetensors").read_bytes())

    model, same = model_of(lone), model_of(folder_of(name))

    assert model.family.name == ALIKE.get(name, same.family.name)
    if name != "falcon old":
        assert model.roles == same.roles


def test_spaces_of_every_group_exist_and_repeat_per_layer() -> None:
    for name in family_names():
        family = load_family(name)
        for group in family.groups.values():
            assert all(family.spaces[space].per_layer for space in group.spaces)


def test_a_second_stack_is_numbered_on_from_the_first(folder_of: Folders) -> None:
    model = model_of(folder_of("t5"))

    assert model.stacks == {"encoder": (0, 1), "decoder": (2, 3, 4)}
    assert [Role.CROSS_Q in model.layers[n] for n in range(5)] == [False, False, True, True, True]
    assert model.place("decoder.block.1.layer.2.DenseReluDense.wi.weight") == (
        3, "layer.2.DenseReluDense.wi.weight",
    )  # fmt: skip


@pytest.mark.parametrize("name", ["mixtral", "qwen3_moe", "llama4"])
def test_experts_are_one_module_with_their_number_in_front(folder_of: Folders, name: str) -> None:
    model = model_of(folder_of(name))
    width = 24 if name == "qwen3_moe" else 56
    sparse = next(layer for layer in model.layers.values() if Role.EXPERT_DOWN in layer)
    down = sparse[Role.EXPERT_DOWN]
    # Llama 4 stores them as one tensor, the input's axis first.
    assert down.shape == ((6, width, 32) if name == "llama4" else (6, 32, width))
    assert down.parameters == 6 * 32 * width


def test_layers_of_another_kind_have_other_modules(folder_of: Folders) -> None:
    jamba = model_of(folder_of("jamba")).layers
    assert [Role.Q in jamba[n] for n in range(3)] == [False, True, False]
    assert [Role.MAMBA_IN in jamba[n] for n in range(3)] == [True, False, True]
    assert [Role.ROUTER in jamba[n] for n in range(3)] == [False, True, False]
    dense = model_of(folder_of("deepseek_v3")).layers
    assert [Role.GATE in dense[n] for n in range(3)] == [True, False, False]


@pytest.mark.parametrize("name", ["falcon", "falcon new", "falcon old"])
def test_the_config_tells_a_variant(folder_of: Folders, name: str) -> None:
    model = model_of(folder_of(name))
    fused = model.family.layer["self_attention.query_key_value.weight"].axes[0]
    assert (
        fused
        == {
            "falcon": "heads+kv_heads+kv_heads",
            "falcon new": "heads|kv_heads|kv_heads",
            "falcon old": "heads|heads|heads",
        }[name]
    )
    config = json.loads((folder_of(name) / "config.json").read_text("utf-8"))
    assert config["model_type"] == model.family.name == "falcon"
