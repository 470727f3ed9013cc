"""GGUF files by llama.cpp's own writer are read as that writer's library reads them."""

from __future__ import annotations

import struct
from pathlib import Path

import gguf
import numpy as np
import pytest

from prunescope.checkpoint import cursor, open_checkpoint
from prunescope.checkpoint.ggml_types import GGML_TYPES
from prunescope.checkpoint.storage import LocalFile
from prunescope.checkpoint.weights import WeightMap
from prunescope.errors import CheckpointError
from prunescope.interop.demo_source import find_gguf
from tests.support.ggufs import (
    array,
    file_of,
    finish,
    key,
    tensor,
    text,
    tiny_weights,
    write_gguf,
)

TYPES = gguf.GGMLQuantizationType


def test_every_type_has_the_blocks_that_the_library_has() -> None:
    ours = {number: (t.name, (t.elements, t.nbytes)) for number, t in GGML_TYPES.items()}
    theirs = {int(t): (t.name, gguf.GGML_QUANT_SIZES[t]) for t in TYPES}

    assert {number: ours.get(number) for number in theirs} == theirs
    # The library may be older than a type: codes of four, four, one and two bits for each element
    # of a block, and scales of one, four, two and two bytes.
    newest = {
        39: ("MXFP4", (32, 32 // 2 + 1)),
        40: ("NVFP4", (64, 64 // 2 + 4)),
        41: ("Q1_0", (128, 128 // 8 + 2)),
        42: ("Q2_0", (64, 64 // 4 + 2)),
    }
    assert {number: ours[number] for number in ours.keys() - theirs.keys()} == {
        number: block for number, block in newest.items() if number > max(theirs)
    }


def quantisable() -> list[str]:
    """The types that the library has code to quantise."""
    found = []
    for kind in TYPES:
        try:
            gguf.quantize(np.ones((1, 256), np.float32), kind)
        except NotImplementedError:
            continue
        found.append(kind.name)
    return found


@pytest.mark.parametrize("kind", quantisable())
def test_a_tensor_of_each_type_has_its_shape_and_bytes(tmp_path: Path, kind: str) -> None:
    values = np.random.default_rng(1).random((3, 5, 512), np.float32)
    packed = gguf.quantize(values, TYPES[kind])
    writer = gguf.GGUFWriter(tmp_path / "t.gguf", "llama")
    writer.add_tensor("before", np.ones(3, np.float32))
    writer.add_tensor("w", packed, raw_dtype=TYPES[kind])
    finish(writer)

    checkpoint = open_checkpoint(tmp_path / "t.gguf")

    found = checkpoint.tensors["w"]
    assert (found.shape, found.dtype) == ((3, 5, 512), kind)
    with WeightMap() as weights:
        assert bytes(weights.view(found)) == packed.tobytes()
        before = weights.view(checkpoint.tensors["before"])
        assert np.frombuffer(before, np.float32).tolist() == [1, 1, 1]
    assert checkpoint.nbytes == packed.nbytes + 12
    assert checkpoint.bits_per_weight == 8 * (packed.nbytes + 12) / (3 * 5 * 512 + 3)


def test_the_library_reads_the_same_from_a_real_model(tmp_path: Path) -> None:
    path = find_gguf(tmp_path)
    theirs = gguf.GGUFReader(path)

    ours = open_checkpoint(path)

    assert ours.format == "GGUF"
    assert [(t.name, t.shape, t.dtype, t.offset, t.nbytes) for t in ours.tensors.values()] == [
        (t.name, tuple(t.shape.tolist())[::-1], t.tensor_type.name, t.data_offset, t.n_bytes)
        for t in theirs.tensors
    ]
    assert ours.parameters == 134_515_008
    kinds = gguf.GGUFValueType
    strings = {
        name: str(bytes(field.parts[field.data[0]]), "utf-8")
        for name, field in theirs.fields.items()
        if field.types == [kinds.STRING]
    }
    assert strings.items() <= ours.metadata.items()
    scalars = {n for n, f in theirs.fields.items() if n.partition(".")[0] != "GGUF"
               and f.types[0] != kinds.ARRAY}  # fmt: skip
    assert scalars == set(ours.metadata)
    assert ours.metadata["general.file_type"] == "3"
    assert ours.metadata["tokenizer.ggml.add_bos_token"] == "false"


def test_the_config_is_the_models_own(tmp_path: Path) -> None:
    config = open_checkpoint(find_gguf(tmp_path)).config

    assert config == {
        "model_type": "llama",
        "num_hidden_layers": 30,
        "hidden_size": 576,
        "intermediate_size": 1536,
        "num_attention_heads": 9,
        "num_key_value_heads": 3,
        "head_dim": 64,
        "max_position_embeddings": 8192,
        "rms_norm_eps": pytest.approx(1e-5),
        "rope_theta": 100_000,
        "vocab_size": 49152,
        "tie_word_embeddings": True,
    }


def test_a_head_of_its_own_means_untied_and_key_length_is_head_dim(tmp_path: Path) -> None:
    def wide(writer: gguf.GGUFWriter) -> None:
        writer.add_key_length(48)

    config = open_checkpoint(write_gguf(tmp_path / "t.gguf", tiny_weights()[0], extra=wide)).config

    assert config["tie_word_embeddings"] is False
    assert config["head_dim"] == 48
    assert config["vocab_size"] == 40


def test_layers_that_differ_depart_from_the_largest(tmp_path: Path) -> None:
    writer = gguf.GGUFWriter(tmp_path / "t.gguf", "deci")
    writer.add_block_count(3)
    writer.add_embedding_length(64)
    writer.add_head_count([4, 0, 2])
    writer.add_head_count_kv([2, 0, 1])
    writer.add_feed_forward_length([96, 96, 64])
    writer.add_tensor("token_embd.weight", np.ones((5, 64), np.float32))
    finish(writer)

    config = open_checkpoint(tmp_path / "t.gguf").config

    assert (config["num_attention_heads"], config["num_key_value_heads"]) == (4, 2)
    assert (config["intermediate_size"], config["head_dim"]) == (96, 16)
    assert config["per_layer_config"] == {
        "1": {"num_attention_heads": 0, "num_key_value_heads": 0, "kinds": {"attention": "none"}},
        "2": {"num_attention_heads": 2, "num_key_value_heads": 1, "intermediate_size": 64},
    }


def test_a_config_beside_it_comes_first_and_the_header_fills_in(tmp_path: Path) -> None:
    write_gguf(tmp_path / "t.gguf", tiny_weights()[0])
    (tmp_path / "config.json").write_text('{"model_type": "mistral", "head_dim": 32}')

    config = open_checkpoint(tmp_path).config

    assert (config["model_type"], config["head_dim"]) == ("mistral", 32)
    assert config["hidden_size"] == 64


@pytest.mark.parametrize("alignment", [8, 64, 4096])
def test_another_alignment_is_followed(tmp_path: Path, alignment: int) -> None:
    def aligned(writer: gguf.GGUFWriter) -> None:
        writer.add_custom_alignment(alignment)

    stored = tiny_weights()[0]
    read = open_checkpoint(write_gguf(tmp_path / "t.gguf", stored, extra=aligned))

    with WeightMap() as weights:
        for name, values in stored.items():
            assert bytes(weights.view(read.tensors[name])) == values.tobytes()


def test_version_2_is_laid_out_alike(tmp_path: Path) -> None:
    path = tmp_path / "t.gguf"
    path.write_bytes(file_of(tensors=tensor("t", (2,)), count=1, data=bytes(8), version=2))

    assert open_checkpoint(path).tensors["t"].shape == (2,)


def test_big_endian_is_named(tmp_path: Path) -> None:
    writer = gguf.GGUFWriter(tmp_path / "t.gguf", "llama", endianess=gguf.GGUFEndian.BIG)
    writer.add_tensor("t", np.ones(3, np.float32))
    finish(writer)

    with pytest.raises(CheckpointError, match="is a big-endian GGUF file"):
        open_checkpoint(tmp_path / "t.gguf")


def test_a_vocabulary_is_passed_over_in_few_and_bounded_requests(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tokens = b"".join(text("é" * (n % 40)) for n in range(60_000))
    scores = struct.pack("<60000f", *range(60_000))
    keys = (
        array("tokenizer.ggml.tokens", 8, 60_000, tokens)
        + array("tokenizer.ggml.scores", 6, 60_000, scores)
        + key("general.name", 8, text("after"))
    )
    path = tmp_path / "t.gguf"
    path.write_bytes(file_of(keys, 3, tensor("t", (2,)), 1, bytes(8)))
    requests: list[int] = []
    read = LocalFile.read

    def counted(file: LocalFile, offset: int, length: int) -> bytes:
        requests.append(length)
        return read(file, offset, length)

    monkeypatch.setattr(LocalFile, "read", counted)
    monkeypatch.setattr(cursor, "_FIRST_CHUNK", 1024)
    checkpoint = open_checkpoint(path)

    assert checkpoint.metadata == {"general.name": "after"}
    # The format is recognised by the first read; the others double.
    assert requests[1:4] == [1024, 2048, 4096]
    assert len(requests) < 15
    assert max(requests) < 2 * len(keys)
