"""`convert` gives each engine its format, with a config that says what the tensors are."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM

import prunescope
from prunescope.errors import ArchitectureError, CheckpointError, PrunescopeError
from prunescope.interop.convert import convert
from prunescope.interop.formats import Format
from tests.support.families import family_folder
from tests.support.pruning import described, plan, prune_tiny
from tests.support.tiny import edit_json, tiny_folder
from tests.support.uneven import TOKENS


@pytest.fixture(scope="module")
def pruned(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `llama3.py` saves, and beside it what it was made from."""
    folder = tmp_path_factory.mktemp("models")
    tiny_folder(folder / "base")
    prune_tiny(described(folder / "base"), plan()).save(folder / "pruned")
    return folder / "pruned"


def logits(network: Any) -> torch.Tensor:
    with torch.no_grad():
        return network(TOKENS).logits


def config(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "config.json").read_text())


def state(folder: Path) -> dict[str, torch.Tensor]:
    return torch.load(folder / "pytorch_model.bin", weights_only=True)


# --- Hugging Face -------------------------------------------------------------------------


def test_layers_that_differ_take_the_code_along(pruned: Path, tmp_path: Path) -> None:
    done = convert(pruned, tmp_path / "out")
    assert (done.code, done.is_inferred, done.padding) == ("layers", False, None)
    assert (tmp_path / "out" / "modeling_prunescope.py").exists()
    found, before = config(tmp_path / "out"), state(pruned)
    assert found["architectures"] == ["PrunedLlamaForCausalLM"]
    assert found["per_layer_config"] == config(pruned)["per_layer_config"]
    after = load_file(tmp_path / "out" / "model.safetensors")
    assert all(torch.equal(after[name], before[name]) for name in before)
    # Again, and back: the names are put on once, and taken off.
    convert(tmp_path / "out", tmp_path / "again")
    assert config(tmp_path / "again") == found
    convert(tmp_path / "out", tmp_path / "bin", form="bin")
    assert config(tmp_path / "bin") == config(pruned)
    assert all(
        torch.equal(tensor, before[name]) for name, tensor in state(tmp_path / "bin").items()
    )


def test_a_config_that_is_not_of_these_shapes_is_rewritten_from_them(
    pruned: Path, tmp_path: Path
) -> None:
    source = tmp_path / "source"
    source.mkdir()
    for name, origin in (("config.json", pruned.parent / "base"), ("pytorch_model.bin", pruned)):
        (source / name).write_bytes((origin / name).read_bytes())
    done = convert(source, tmp_path / "out")
    assert (done.code, done.is_inferred) == ("layers", True)
    assert config(tmp_path / "out")["per_layer_config"] == config(pruned)["per_layer_config"]


def test_layers_that_agree_get_a_stock_config(pruned: Path, tmp_path: Path) -> None:
    every = plan(attention=(0, 4), mlp=(0, 4))
    prune_tiny(described(pruned.parent / "base"), every).save(tmp_path / "even")
    original = (pruned.parent / "base" / "config.json").read_text()
    (tmp_path / "even" / "config.json").write_text(original)
    done = convert(tmp_path / "even", tmp_path / "out")
    assert (done.code, done.is_inferred) == (None, True)
    found = config(tmp_path / "out")
    assert found == json.loads(original) | {
        "num_attention_heads": 2, "num_key_value_heads": 1, "intermediate_size": 10
    }  # fmt: skip
    theirs = AutoModelForCausalLM.from_pretrained(tmp_path / "out")
    torch.testing.assert_close(logits(theirs), logits(prunescope.load(tmp_path / "out")))


def test_a_config_that_says_what_the_tensors_are_is_copied_as_it_is(
    pruned: Path, tmp_path: Path
) -> None:
    done = convert(pruned.parent / "base", tmp_path / "out")
    assert (done.code, done.is_inferred) == (None, False)
    original = pruned.parent / "base" / "config.json"
    assert (tmp_path / "out" / "config.json").read_bytes() == original.read_bytes()


# --- the other formats --------------------------------------------------------------------


def test_a_padded_folder_needs_no_code_and_keeps_its_record_under_another_name(
    pruned: Path, tmp_path: Path
) -> None:
    done = convert(pruned, tmp_path / "out", is_uniform=True, shard_bytes=20_000)
    assert done.padding is not None
    assert len(done.files) > 1
    assert (tmp_path / "out" / "model.safetensors.index.json").exists()
    theirs = AutoModelForCausalLM.from_pretrained(tmp_path / "out")
    torch.testing.assert_close(logits(theirs), logits(prunescope.load(pruned)))
    record = (tmp_path / "out" / "pruning.before_padding.json").read_bytes()
    assert record == (pruned / "pruning.json").read_bytes()
    assert not (tmp_path / "out" / "pruning.json").exists()


def test_a_module_for_llm_pruner_comes_from_any_source(pruned: Path, tmp_path: Path) -> None:
    convert(pruned, tmp_path / "hf")
    convert(tmp_path / "hf", tmp_path / "out", form="llm_pruner")
    loaded = torch.load(tmp_path / "out" / "pytorch_model.bin", weights_only=False)
    assert loaded.keys() == {"model", "tokenizer"}
    torch.testing.assert_close(logits(loaded["model"]), logits(prunescope.load(pruned)))
    # And back, without executing it.
    convert(tmp_path / "out", tmp_path / "back")
    torch.testing.assert_close(
        logits(prunescope.load(tmp_path / "back")), logits(prunescope.load(pruned))
    )


@pytest.mark.parametrize(
    ("changes", "cause"),
    [
        ({}, "deci has one head count for all layers, these have 2, 4 (--uniform pads them)"),
        ({"model_type": "mistral"}, "deci describes Llamas, this is a 'mistral'"),
        ({"attention_bias": True}, "deci has no biases, and attention_bias is set"),
        ({"mlp_bias": True}, "deci has no biases, and mlp_bias is set"),
    ],
)
def test_what_deci_cannot_express_is_refused_in_one_line(
    pruned: Path, tmp_path: Path, changes: dict[str, Any], cause: str
) -> None:
    source = tmp_path / "source"
    source.mkdir()
    for name in ("config.json", "pytorch_model.bin"):
        (source / name).write_bytes((pruned / name).read_bytes())
    edit_json(source / "config.json", changes)
    with pytest.raises(CheckpointError) as caught:
        convert(source, tmp_path / "out", form="deci")
    assert str(caught.value) == f"{source}: {cause}"
    assert not (tmp_path / "out").exists()


def test_channels_that_deci_would_round_are_refused(pruned: Path, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="layer 0: deci rounds channels to multiples of 256"):
        convert(pruned.parent / "base", tmp_path / "out", form="deci")


@pytest.mark.parametrize("form", ["bin", "llm_pruner", "deci"])
def test_a_model_that_nobody_knows_is_only_copied(tmp_path: Path, form: Format) -> None:
    torch.save({"w": torch.ones(2)}, tmp_path / "lone.bin")
    with pytest.raises(ArchitectureError, match="no table knows these tensor names: the format"):
        convert(tmp_path / "lone.bin", tmp_path / "out", form=form)
    assert convert(tmp_path / "lone.bin", tmp_path / "out").tensors == 1


@pytest.mark.parametrize("name", ["falcon", "bloom", "gpt2", "mamba", "mixtral", "t5"])
def test_the_config_of_a_sound_model_is_copied_whatever_its_family(
    tmp_path: Path, name: str
) -> None:
    source = family_folder(name, tmp_path / "source")
    convert(source, tmp_path / "out")
    theirs, ours = (json.loads((p / "config.json").read_text()) for p in (source, tmp_path / "out"))
    assert ours == theirs


def test_config_json_of_a_model_that_nobody_knows_is_copied(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    torch.save({"blocks.0.w": torch.ones(2)}, source / "pytorch_model.bin")
    (source / "config.json").write_text('{"model_type": "of tomorrow"}')
    assert convert(source, tmp_path / "out").tensors == 1
    assert (tmp_path / "out" / "config.json").read_text() == '{"model_type": "of tomorrow"}'


@pytest.mark.parametrize(("form", "writer"), [("bin", "write_torch"), ("llm_pruner", "torch.save")])
def test_a_full_disk_is_one_line(
    pruned: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, form: Format, writer: str
) -> None:
    def full(*_: Any) -> None:
        raise RuntimeError("[enforce fail] unexpected pos 64 vs 0\nmore")

    monkeypatch.setattr(f"prunescope.interop.weight_files.{writer}", full)
    with pytest.raises(PrunescopeError) as caught:
        convert(pruned, tmp_path / "out", form=form)
    told = "cannot be written ([enforce fail] unexpected pos 64 vs 0)"
    assert str(caught.value) == f"{tmp_path / 'out'}: {told}"
    assert not list(tmp_path.iterdir())


def test_code_that_is_named_by_no_object_is_none(pruned: Path, tmp_path: Path) -> None:
    source = tiny_folder(tmp_path / "m")
    edit_json(source / "config.json", {"auto_map": 5})
    convert(source, tmp_path / "out", is_uniform=True)
    assert not list((tmp_path / "out").glob("*.py"))
