"""Loading gives exactly what transformers gives, or one line that says what does not fit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import (
    AutoModelForCausalLM,
    Gemma3Config,
    Gemma3ForConditionalGeneration,
    Gemma3TextConfig,
    PreTrainedModel,
    SiglipVisionConfig,
)

import prunescope
from prunescope.architecture import describe
from prunescope.checkpoint import open_checkpoint
from prunescope.errors import ArchitectureError, CheckpointError
from prunescope.pruning.groups import check_prunable
from tests.support.pruning import edit_weights, store_as_torch
from tests.support.tiny import BIASES, edit_json, tiny_folder, tiny_network

ROPE: dict[str, Any] = {"rope_theta": 1e4, "factor": 4.0}
LLAMA_3: dict[str, Any] = ROPE | {
    "rope_type": "llama3",
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 16,
}
MODELS: dict[str, dict[str, Any]] = {
    "llama": {},
    "llama with biases": BIASES,
    "llama, tied": {"tie_word_embeddings": True},
    "llama, bf16": {"dtype": torch.bfloat16},
    "llama 3's rotary embedding": {"rope_parameters": LLAMA_3},
    "a rotary embedding that scales attention": {"rope_parameters": ROPE | {"rope_type": "yarn"}},
    # Its buffer changes with the length of the text: 30 tokens are past its 16.
    "a rotary embedding that adapts": {
        "rope_parameters": ROPE | {"rope_type": "dynamic"},
        "max_position_embeddings": 16,
    },
    "mistral": {"family": "mistral"},
    "mistral with a window": {"family": "mistral", "sliding_window": 5},
}
TOKENS = torch.arange(3, 303, 5).view(2, 30)
LAST = "model.layers.3."


def logits(network: PreTrainedModel) -> Tensor:
    with torch.no_grad():
        return network(input_ids=TOKENS).logits


def refused(folder: Path) -> str:
    """The one line that says why."""
    with pytest.raises(CheckpointError) as caught:
        prunescope.load(folder)
    text = str(caught.value)
    assert "\n" not in text
    assert text.startswith(str(folder))
    return text


@pytest.mark.parametrize("name", MODELS)
def test_a_model_computes_exactly_what_transformers_own_computes(tmp_path: Path, name: str) -> None:
    tiny_folder(tmp_path, **MODELS[name])
    ours = prunescope.load(tmp_path)
    theirs = AutoModelForCausalLM.from_pretrained(tmp_path).eval()
    assert ours.dtype == theirs.dtype
    assert torch.equal(logits(ours), logits(theirs))
    assert not ours.training
    assert not any(p.is_meta for p in [*ours.parameters(), *ours.buffers()])


def test_embeddings_that_differ_in_the_file_are_not_tied(tmp_path: Path) -> None:
    tiny_folder(tmp_path)
    edit_json(tmp_path / "config.json", {"tie_word_embeddings": True})
    theirs = AutoModelForCausalLM.from_pretrained(tmp_path).eval()
    assert torch.equal(logits(prunescope.load(tmp_path)), logits(theirs))


def test_a_weight_file_can_be_named_and_a_type_asked_for(tmp_path: Path) -> None:
    network = tiny_network(dtype=torch.bfloat16)
    store_as_torch(tiny_folder(tmp_path, network), network.state_dict())
    found = prunescope.load(tmp_path / "pytorch_model.bin", dtype=torch.float32)
    assert {p.dtype for p in found.parameters()} == {torch.float32}
    theirs = AutoModelForCausalLM.from_pretrained(tmp_path, dtype=torch.float32).eval()
    assert torch.equal(logits(found), logits(theirs))


def test_of_mixed_types_the_most_frequent_is_computed_in(tmp_path: Path) -> None:
    state = tiny_network(dtype=torch.bfloat16).state_dict()
    state = {n: t.float() if "norm" in n else t for n, t in state.items()}
    store_as_torch(tiny_folder(tmp_path, dtype=torch.bfloat16), state)
    found = prunescope.load(tmp_path)
    assert {p.dtype for p in found.parameters()} == {torch.bfloat16}


def test_a_loaded_model_does_not_depend_on_its_file(tmp_path: Path) -> None:
    file = tiny_folder(tmp_path) / "model.safetensors"
    network = prunescope.load(tmp_path)
    before = logits(network)
    with file.open("r+b") as stream:
        stream.write(bytes(file.stat().st_size))
    assert torch.equal(logits(network), before)


# --- what cannot be loaded ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "cause"),
    [
        ({"hidden_size": 25}, "tensor 'lm_head.weight' has 24 hidden entries, config.json says 25"),
        ({"vocab_size": 321}, "has 320 vocab entries, config.json says 321"),
        ({"num_hidden_layers": 5}, "tensor 'model.layers.4.self_attn.q_proj.weight' is missing"),
        ({"num_hidden_layers": 3}, f"no place for tensor '{LAST}input_layernorm.weight'"),
        ({"head_dim": 7}, "has 16 kv_heads entries, no whole number of 7"),
        ({"attention_bias": True}, "tensor 'model.layers.0.self_attn.q_proj.bias' is missing"),
        ({"num_attention_heads": 0}, "transformers refuses config.json: "),
        ({"num_attention_heads": "4"}, "transformers refuses config.json: "),
        ({"hidden_act": "nope"}, "transformers refuses config.json: 'nope'"),
        ({"rope_parameters": {"rope_type": "nope"}}, "transformers refuses config.json: 'nope'"),
        ({"model_type": None}, "transformers refuses config.json: "),
    ],
    ids=str,
)
def test_a_config_that_does_not_fit_is_refused(
    tmp_path: Path, changes: dict[str, Any], cause: str
) -> None:
    edit_json(tiny_folder(tmp_path) / "config.json", changes)
    assert cause in refused(tmp_path)


def test_weights_without_a_config_are_refused(tmp_path: Path) -> None:
    (tiny_folder(tmp_path) / "config.json").unlink()
    assert refused(tmp_path) == f"{tmp_path}: no config.json beside the weights"


UP, DOWN = LAST + "mlp.up_proj.weight", LAST + "mlp.down_proj.weight"
Q, O = LAST + "self_attn.q_proj.weight", LAST + "self_attn.o_proj.weight"  # noqa: E741
NORM = LAST + "input_layernorm.weight"
# What changes in the file (None goes), and how the line ends.
WEIGHTS: dict[str, tuple[dict[str, Tensor | None], str]] = {
    "a projection missing": ({UP: None}, f"tensor '{UP}' is missing"),
    "the head missing": ({"lm_head.weight": None}, "tensor 'lm_head.weight' is missing"),
    "a bias that the config does without": (
        {LAST + "mlp.up_proj.bias": torch.ones(20)},
        f"transformers has no place for tensor '{LAST}mlp.up_proj.bias'",
    ),
    "a layer too many": (
        {"model.layers.4.mlp.up_proj.weight": torch.ones(20, 24)},
        "transformers has no place for tensor 'model.layers.4.mlp.up_proj.weight'",
    ),
    "channels that differ": (
        {UP: torch.ones(19, 24)},
        f"tensor '{UP}' has 19 channels entries, '{DOWN}' has 20",
    ),
    "heads that cannot share": (
        {Q: torch.ones(24, 24), O: torch.ones(24, 24)},
        "layer 3: 24 query rows cannot share 16 key rows",
    ),
    "a norm of another width": (
        {NORM: torch.ones(23)},
        f"tensor '{NORM}' has 23 hidden entries, config.json says 24",
    ),
    "numbers that are only stored": (
        {UP: torch.ones(20, 24, dtype=torch.int8)},
        f"tensor '{UP}': torch cannot compute in I8",
    ),
}


@pytest.mark.parametrize("case", WEIGHTS)
def test_weights_that_do_not_fit_are_refused_by_name(tmp_path: Path, case: str) -> None:
    changes, cause = WEIGHTS[case]
    edit_weights(tiny_folder(tmp_path), changes)
    assert refused(tmp_path).endswith(cause)


def test_rotary_frequencies_of_old_files_are_passed_over(tmp_path: Path) -> None:
    expected = logits(prunescope.load(tiny_folder(tmp_path)))
    name = LAST + "self_attn.rotary_emb.inv_freq"
    edit_weights(tmp_path, {name: torch.zeros(4)})
    assert torch.equal(logits(prunescope.load(tmp_path)), expected)


def test_a_model_that_also_sees_is_refused_in_a_line(tmp_path: Path) -> None:
    # transformers has a class for it, whose vision tower our way of building does not fill.
    small = {
        "hidden_size": 16, "intermediate_size": 20, "num_hidden_layers": 2,
        "num_attention_heads": 2,
    }  # fmt: skip
    config = Gemma3Config(
        text_config=Gemma3TextConfig(
            **small, vocab_size=40, num_key_value_heads=1, head_dim=8, pad_token_id=0
        ),
        vision_config=SiglipVisionConfig(**small, image_size=28, patch_size=14),
        mm_tokens_per_image=4,
    )
    Gemma3ForConditionalGeneration(config).save_pretrained(tmp_path)
    said = "its language model is part of a gemma3 model, which can be measured only"
    with pytest.raises(ArchitectureError, match=said):
        prunescope.load(tmp_path)
    with pytest.raises(ArchitectureError, match=said):
        check_prunable(describe(open_checkpoint(tmp_path)))
