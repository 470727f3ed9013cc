"""Sources that are no plain model: pieces, adapters, packed weights, GGUF."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import torch.distributed.checkpoint as dcp
from peft import PeftModel
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM

from prunescope.checkpoint import open_checkpoint
from prunescope.errors import ArchitectureError, CheckpointError, MissingExtra
from prunescope.interop import convert as module
from prunescope.interop.convert import convert
from prunescope.interop.demo_source import find_gguf
from tests.support.adapters import lora_config, save_adapter
from tests.support.distributed import run_processes, save_dtensors, whole_state
from tests.support.ggufs import add_tokenizer, tiny_weights
from tests.support.ggufs import write_gguf as write_llama
from tests.support.tiny import tiny_folder, tiny_network


def test_pieces_of_two_processes_are_put_together(tmp_path: Path) -> None:
    run_processes(save_dtensors, tmp_path / "source")

    for serialised in ("torch", "safetensors"):
        convert(tmp_path / "source" / serialised, tmp_path / serialised)

        found = load_file(tmp_path / serialised / "model.safetensors")
        assert found.keys() == whole_state().keys()
        for name, tensor in whole_state().items():
            assert found[name].dtype == tensor.dtype
            assert torch.equal(found[name], tensor)


def test_an_fsdp_folder_with_its_config_loads_with_transformers(tmp_path: Path) -> None:
    network = tiny_network(dtype=torch.bfloat16)
    source = tiny_folder(tmp_path / "source", network)
    (source / "model.safetensors").unlink()
    dcp.save({"model": network.state_dict()}, checkpoint_id=source, no_dist=True)

    convert(source, tmp_path / "out")

    loaded = AutoModelForCausalLM.from_pretrained(tmp_path / "out").state_dict()
    assert all(torch.equal(loaded[n], tensor) for n, tensor in network.state_dict().items())
    assert (tmp_path / "out" / "tokenizer.json").is_file()
    assert not (tmp_path / "out" / ".metadata").exists()


@pytest.mark.parametrize("safetensors", [True, False])
def test_an_adapter_stays_one_and_peft_loads_it(tmp_path: Path, safetensors: bool) -> None:
    source = save_adapter(tmp_path / "source", lora_config(), safetensors)

    # However small the shards: PEFT reads one file.
    done = convert(source, tmp_path / "out", shard_bytes=100)

    assert done.is_adapter
    assert done.has_config
    assert done.files == ("adapter_model.safetensors",)
    assert open_checkpoint(tmp_path / "out").adapter == open_checkpoint(source).adapter
    ours, theirs = (
        PeftModel.from_pretrained(tiny_network(), folder).state_dict()
        for folder in (tmp_path / "out", source)
    )
    assert all(torch.equal(ours[name], tensor) for name, tensor in theirs.items())
    assert any("lora_A" in name and tensor.any() for name, tensor in ours.items())


def test_an_adapters_own_file_brings_its_settings(tmp_path: Path) -> None:
    source = save_adapter(tmp_path / "source", lora_config())
    convert(source / "adapter_model.safetensors", tmp_path / "out")
    assert open_checkpoint(tmp_path / "out").adapter == open_checkpoint(source).adapter


def test_a_model_beside_an_adapter_leaves_the_adapters_settings_behind(tmp_path: Path) -> None:
    source = save_adapter(tiny_folder(tmp_path / "source"), lora_config())
    done = convert(source, tmp_path / "out")
    assert not done.is_adapter
    assert not list((tmp_path / "out").glob("adapter*"))


def test_packed_weights_are_copied_as_they_are_stored(tmp_path: Path) -> None:
    # GPTQ in 4 bits: [in / 8, out], one group of 32 inputs.
    stored = {
        "q.qweight": torch.arange(32, dtype=torch.int32).reshape(4, 8),
        "q.qzeros": torch.arange(1, dtype=torch.int32).reshape(1, 1),
        "q.scales": torch.rand(1, 8).half(),
        "q.g_idx": torch.zeros(32, dtype=torch.int32),
        "norm.weight": torch.ones(4),
    }
    torch.save(stored, tmp_path / "packed.bin")
    assert open_checkpoint(tmp_path / "packed.bin").tensors["q.weight"].shape == (8, 32)

    convert(tmp_path / "packed.bin", tmp_path / "out")

    found = load_file(tmp_path / "out" / "model.safetensors")
    assert found.keys() == stored.keys()
    assert all(torch.equal(found[name], tensor) for name, tensor in stored.items())


def test_two_packed_parts_of_one_name_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.save({"a": torch.ones(2), "b": torch.ones(2)}, tmp_path / "packed.bin")
    plain = open_checkpoint(tmp_path / "packed.bin")
    part = plain.tensors["a"]
    tensors = {n: replace(t, dtype="Q", parts=(part,)) for n, t in plain.tensors.items()}
    monkeypatch.setattr(module, "open_checkpoint", lambda path: replace(plain, tensors=tensors))
    with pytest.raises(CheckpointError, match="'a' occurs twice"):
        convert(tmp_path / "packed.bin", tmp_path / "out")


def test_a_config_that_the_weights_file_holds_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.save({"w": torch.ones(2)}, tmp_path / "whole.bin")
    plain = open_checkpoint(tmp_path / "whole.bin")
    config = {"model_type": "llama", "name": "层"}
    monkeypatch.setattr(module, "open_checkpoint", lambda path: replace(plain, config=config))

    done = convert(tmp_path / "whole.bin", tmp_path / "out")

    assert done.has_config
    assert open_checkpoint(tmp_path / "out").config == config


def test_a_llama_gguf_is_the_demo_models_own_conversion(smollm2: Path, tmp_path: Path) -> None:
    gguf = find_gguf(tmp_path)
    (tmp_path / "beside").mkdir()
    source = Path(shutil.copy(gguf, tmp_path / "beside" / "some.gguf"))
    # transformers would believe this rather than the file.
    (source.parent / "config.json").write_text('{"model_type": "gpt2"}')

    done = convert(source, tmp_path / "out", shard_bytes=300_000_000)

    assert done.is_dequantised
    assert len(done.files) == 2
    ours, theirs = open_checkpoint(tmp_path / "out"), open_checkpoint(smollm2)
    assert ours.tensors.keys() == theirs.tensors.keys()
    expected = load_file(smollm2 / "model.safetensors")
    for file in done.files:
        for name, tensor in load_file(tmp_path / "out" / file).items():
            assert torch.equal(tensor, expected[name])
    for name in ("config.json", "tokenizer.json", "generation_config.json"):
        assert (tmp_path / "out" / name).read_bytes() == (smollm2 / name).read_bytes()
    assert not [entry for entry in (tmp_path / "out").iterdir() if entry.is_dir()]


@pytest.mark.parametrize("named", ["", "m-00002-of-00003.gguf"])
def test_a_split_gguf_is_the_same_model(tmp_path: Path, named: str) -> None:
    stored, expected = tiny_weights()
    (tmp_path / "split").mkdir()
    # The output head lies in the last of them, where transformers does not look for it.
    stored = dict(sorted(stored.items(), key=lambda item: item[0] == "output.weight"))
    write_llama(tmp_path / "whole.gguf", stored, extra=add_tokenizer)
    write_llama(tmp_path / "split" / "m.gguf", stored, extra=add_tokenizer, shard_tensors=8)
    assert len(list((tmp_path / "split").iterdir())) == 3

    whole = convert(tmp_path / "whole.gguf", tmp_path / "whole")
    split = convert(tmp_path / "split" / named, tmp_path / "out")

    assert (split.tensors, split.is_dequantised) == (whole.tensors, True)
    found = load_file(tmp_path / "out" / "model.safetensors")
    assert found.keys() == expected.keys()
    for name, values in expected.items():
        assert torch.equal(found[name], torch.from_numpy(values))
    for name in ("config.json", "tokenizer.json", "generation_config.json"):
        one, other = (tmp_path / folder / name for folder in ("out", "whole"))
        assert one.read_bytes() == other.read_bytes()
    loaded = AutoModelForCausalLM.from_pretrained(tmp_path / "out")
    assert loaded.lm_head.weight is not loaded.model.embed_tokens.weight


def test_a_damaged_gguf_is_named_as_the_user_named_it(tmp_path: Path) -> None:
    source = tmp_path / "some.gguf"
    source.write_bytes(b"GGUF\x03\x00\x00\x00")
    with pytest.raises(CheckpointError, match=f"^{source}: truncated"):
        convert(source, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def write_gguf(path: Path, architecture: str) -> Path:
    """A GGUF file with one tensor."""
    import gguf
    import numpy as np

    writer = gguf.GGUFWriter(path, architecture)
    writer.add_tensor("token_embd.weight", np.ones((2, 4), np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def test_a_gguf_of_another_architecture_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ArchitectureError, match="'gpt2'"):
        convert(write_gguf(tmp_path / "some.gguf", "gpt2"), tmp_path / "out")


def test_a_gguf_needs_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    source = write_gguf(tmp_path / "some.gguf", "llama")
    monkeypatch.setitem(sys.modules, "gguf", None)
    for name in [name for name in sys.modules if name.startswith("prunescope.interop.gguf")]:
        monkeypatch.delitem(sys.modules, name)
    with pytest.raises(MissingExtra, match="gguf is not installed"):
        convert(source, tmp_path / "out")
