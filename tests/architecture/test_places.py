"""A tensor has one place in its family's table, whoever named it; strangers have none."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from peft import get_peft_model
from torch.nn.utils import prune

from prunescope.architecture import describe, load_family
from prunescope.checkpoint import open_checkpoint
from prunescope.errors import ArchitectureError
from tests.support.adapters import lora_config
from tests.support.sparse import LlamaShape, llama_shapes, write_safetensors
from tests.support.tiny import tiny_network

SMALL = LlamaShape(2, 8, 12, 4, 2, 2, 10, tied=False)


@pytest.mark.parametrize(
    ("name", "place"),
    [
        ("model.layers.3.self_attn.q_proj.weight", (3, "self_attn.q_proj.weight")),
        ("blk.3.attn_q.weight", (3, "self_attn.q_proj.weight")),
        ("output.weight", (None, "lm_head.weight")),
        ("lm_head.weight", (None, "lm_head.weight")),
        ("rope_freqs.weight", None),
        ("model.layers.3.self_attn.qkv.weight", None),
        ("model.layers.03.self_attn.q_proj.weight", None),
        ("self_attn.q_proj.weight", None),
    ],
)
def test_places(name: str, place: tuple[int | None, str] | None) -> None:
    assert load_family("llama").place(name) == place


def test_every_flag_names_optional_tensors_of_the_family() -> None:
    family = load_family("llama")
    assert set(family.flags) == {"attention_bias", "mlp_bias"}
    biases = {key for key in family.optional if key.endswith(".bias")}
    assert set().union(*family.flags.values()) == biases


def test_strangers_are_refused_unless_they_are_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    # Of another name, and of another number of axes than the table says.
    strange = {"a.b": (3,), "model.norm.weight": (8, 1)}
    write_safetensors(path, llama_shapes(SMALL) | strange)
    with pytest.raises(ArchitectureError, match="has no place in family llama"):
        describe(open_checkpoint(path))
    model = describe(open_checkpoint(path), strict=False)
    assert {tensor.name for tensor in model.strangers} == set(strange)
    assert not set(strange) & set(model.roles)


def test_masks_that_were_not_made_permanent_are_told_from_other_strangers(tmp_path: Path) -> None:
    network = tiny_network()
    prune.l1_unstructured(network.model.layers[1].mlp.up_proj, "weight", amount=0.5)
    torch.save(network.state_dict(), tmp_path / "masked.bin")

    with pytest.raises(ArchitectureError, match=r"weight_orig' .*: .*call prune\.remove before"):
        describe(open_checkpoint(tmp_path / "masked.bin"))

    prune.remove(network.model.layers[1].mlp.up_proj, "weight")
    torch.save(network.state_dict(), tmp_path / "permanent.bin")
    assert len(describe(open_checkpoint(tmp_path / "permanent.bin")).layers) == 4


def test_a_whole_peft_model_is_to_be_merged(tmp_path: Path) -> None:
    network = get_peft_model(tiny_network(), lora_config())
    torch.save(network, tmp_path / "model.bin")
    with pytest.raises(ArchitectureError, match=r": PEFT's, call merge_and_unload before saving$"):
        describe(open_checkpoint(tmp_path / "model.bin"))

    torch.save(network.merge_and_unload(), tmp_path / "merged.bin")
    assert len(describe(open_checkpoint(tmp_path / "merged.bin")).layers) == 4
