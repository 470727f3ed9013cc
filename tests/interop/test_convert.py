"""A converted folder loads with the real libraries, bit for bit."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer

from prunescope.analysis.compare import compare
from prunescope.checkpoint import open_checkpoint
from prunescope.checkpoint.dtypes import TORCH_DTYPES
from prunescope.errors import CheckpointError
from prunescope.interop.convert import convert
from tests.support.tensors import raw_bytes
from tests.support.tiny import edit_json, tiny_folder, tiny_network

# safetensors has no complex128; its Python binding cannot load F8_E8M0 into torch.
UNLOADABLE = {"complex128", "float8_e8m0fnu"}


def same(a: torch.Tensor, b: torch.Tensor) -> bool:
    return a.dtype == b.dtype and a.shape == b.shape and raw_bytes(a) == raw_bytes(b)


def assert_loads_as(folder: Path, expected: dict[str, torch.Tensor]) -> None:
    """What transformers makes of `folder`, nothing missing, nothing left over."""
    loaded, report = AutoModelForCausalLM.from_pretrained(folder, output_loading_info=True)
    assert not any(report.values())
    found = loaded.state_dict()
    assert found.keys() == expected.keys()
    assert all(same(found[name], tensor) for name, tensor in expected.items())


@pytest.mark.parametrize("name", sorted(TORCH_DTYPES.keys() - UNLOADABLE))
def test_every_dtype_and_stride(tmp_path: Path, name: str) -> None:
    whole = torch.arange(60).reshape(6, 10).to(getattr(torch, name))
    state = {
        "whole": whole,
        "transposed": whole.t(),
        "every other": whole[1::2, ::3],
        "expanded": whole[:1, :1].expand(3, 4),
        "scalar": whole[2, 3],
        "empty": whole[:0],
        "permuted": whole.view(2, 3, 10).permute(2, 0, 1),
        "层": whole.clone(),
    }
    torch.save(state, tmp_path / "some.bin")

    convert(tmp_path / "some.bin", tmp_path / "out")

    found = load_file(tmp_path / "out" / "model.safetensors")
    assert found.keys() == state.keys()
    assert all(same(found[key], tensor) for key, tensor in state.items())


def test_mixed_dtypes_are_aligned_and_keep_the_models_order(tmp_path: Path) -> None:
    state = {
        "a": torch.ones(3, dtype=torch.uint8),
        "b": torch.ones(3, dtype=torch.float64),
        "c": torch.ones(5, dtype=torch.bfloat16),
        "d": torch.ones(1, dtype=torch.float32),
    }
    torch.save(state, tmp_path / "some.bin")

    convert(tmp_path / "some.bin", tmp_path / "out")

    file = tmp_path / "out" / "model.safetensors"
    tensors = open_checkpoint(file).tensors
    assert list(tensors) == list(state)
    for name, info in tensors.items():
        assert info.offset % state[name].itemsize == 0
    with safe_open(file, "pt") as opened:
        assert opened.metadata() == {"format": "pt", "converted_by": "prunescope"}


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_a_bin_folder_becomes_one_that_transformers_loads(
    tmp_path: Path, dtype: torch.dtype
) -> None:
    network = tiny_network(dtype=dtype)
    source = tiny_folder(tmp_path / "source", network)
    (source / "model.safetensors").unlink()
    torch.save(network.state_dict(), source / "pytorch_model.bin")
    (source / "pruning.json").write_text('{"schema": "prunescope.pruning/1"}')
    (source / "training_args.bin").write_bytes(b"not the model's")

    done = convert(source, tmp_path / "out")

    assert_loads_as(tmp_path / "out", network.state_dict())
    tokens = [AutoTokenizer.from_pretrained(f)("a b").input_ids for f in (source, tmp_path / "out")]
    assert tokens[0] == tokens[1]
    assert sorted(file.name for file in (tmp_path / "out").iterdir()) == [
        "config.json",
        "generation_config.json",
        "model.safetensors",
        "pruning.json",
        "tokenizer.json",
        "tokenizer_config.json",
    ]
    assert done.has_config
    assert done.nbytes == sum(t.nbytes for t in network.state_dict().values())
    result = compare(open_checkpoint(source), open_checkpoint(tmp_path / "out"))
    assert result.parameters.removed == 0


def test_shards_are_named_and_indexed_as_transformers_does(tmp_path: Path) -> None:
    network = tiny_network()
    source = tiny_folder(tmp_path / "source", network)
    network.save_pretrained(tmp_path / "theirs", max_shard_size=20_000)

    done = convert(source, tmp_path / "out", shard_bytes=20_000)

    assert len(done.files) > 2
    theirs = sorted(f.name for f in (tmp_path / "theirs").glob("model*"))
    assert sorted(f.name for f in (tmp_path / "out").glob("model*")) == theirs
    name = "model.safetensors.index.json"
    ours, expected = (json.loads((tmp_path / f / name).read_text()) for f in ("out", "theirs"))
    assert ours["metadata"] == expected["metadata"]
    assert ours["weight_map"].keys() == expected["weight_map"].keys()
    assert_loads_as(tmp_path / "out", network.state_dict())


def test_tied_weights_are_written_once_where_transformers_ties_them_again(tmp_path: Path) -> None:
    network = tiny_network(tie_word_embeddings=True)
    source = tiny_folder(tmp_path / "source", network)
    (source / "model.safetensors").unlink()
    # The head first: what is left out is still the head.
    state = dict(sorted(network.state_dict().items()))
    assert next(iter(state)) == "lm_head.weight"
    torch.save(state, source / "pytorch_model.bin")

    done = convert(source, tmp_path / "out")

    assert done.written.retied == {"lm_head.weight": "model.embed_tokens.weight"}
    assert not done.written.doubled
    assert "lm_head.weight" not in load_file(tmp_path / "out" / "model.safetensors")
    assert_loads_as(tmp_path / "out", network.state_dict())


@pytest.mark.parametrize("tie", [None, False, "yes"])
def test_else_they_are_written_under_both_names(tmp_path: Path, tie: object) -> None:
    network = tiny_network(tie_word_embeddings=True)
    source = tiny_folder(tmp_path / "source", network)
    (source / "model.safetensors").unlink()
    torch.save(network.state_dict(), source / "pytorch_model.bin")
    edit_json(source / "config.json", {"tie_word_embeddings": tie})

    done = convert(source, tmp_path / "out")

    assert done.written.doubled == {"lm_head.weight": "model.embed_tokens.weight"}
    found = load_file(tmp_path / "out" / "model.safetensors")
    assert torch.equal(found["lm_head.weight"], found["model.embed_tokens.weight"])


def test_other_tied_tensors_are_written_under_both_names_too(tmp_path: Path) -> None:
    network = tiny_network(tie_word_embeddings=True)
    source = tiny_folder(tmp_path / "source", network)
    (source / "model.safetensors").unlink()
    state = network.state_dict()
    up = "model.layers.{}.mlp.up_proj.weight"
    state[up.format(1)] = state[up.format(0)]
    torch.save(state, source / "pytorch_model.bin")

    done = convert(source, tmp_path / "out")

    assert done.written.doubled == {up.format(1): up.format(0)}
    assert_loads_as(tmp_path / "out", state)


def test_a_lone_file_brings_nothing_that_only_lies_beside_it(tmp_path: Path) -> None:
    torch.save({"w": torch.ones(2)}, tmp_path / "some.bin")
    (tmp_path / "tokenizer.json").write_text("{}")

    done = convert(tmp_path / "some.bin", tmp_path / "out")

    assert not done.has_config
    assert [file.name for file in (tmp_path / "out").iterdir()] == ["model.safetensors"]


def test_notes_of_a_safetensors_source_are_kept(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    save_file({"w": torch.ones(2)}, tmp_path / "a.safetensors", {"format": "np", "by": "me"})

    convert(tmp_path / "a.safetensors", tmp_path / "out")

    notes = open_checkpoint(tmp_path / "out").metadata
    assert notes == {"format": "pt", "by": "me", "converted_by": "prunescope"}


@pytest.mark.parametrize(
    ("state", "cause"),
    [
        ({"w": torch.ones(2, dtype=torch.complex128)}, "is C128, which safetensors cannot hold"),
        ({"__metadata__": torch.ones(2)}, "named __metadata__"),
        ({"\ud800": torch.ones(2)}, "is not UTF-8"),
    ],
)
def test_what_safetensors_cannot_hold_is_refused(
    tmp_path: Path, state: dict[str, torch.Tensor], cause: str
) -> None:
    torch.save(state, tmp_path / "some.bin")
    with pytest.raises(CheckpointError, match=cause):
        convert(tmp_path / "some.bin", tmp_path / "out")
    assert not (tmp_path / "out").exists()
