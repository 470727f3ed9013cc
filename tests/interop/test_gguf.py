"""A GGUF file becomes an ordinary Hugging Face model, bit for bit what transformers reads."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from enum import IntEnum
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
import torch
import transformers
from safetensors import safe_open

from prunescope.analysis.trace.decoding import quantised
from prunescope.checkpoint import open_checkpoint
from prunescope.checkpoint.weights import WeightMap
from prunescope.errors import ArchitectureError, CheckpointError
from prunescope.interop.demo_source import find_gguf
from prunescope.interop.gguf import check_architecture, check_shapes, read_tensors, unpermute
from prunescope.interop.gguf_to_hf import convert
from tests.support.ggufs import (
    CHANNELS,
    HEAD_DIM,
    HEADS,
    HIDDEN,
    KV_HEADS,
    LAYERS,
    VOCAB,
    file_of,
    tensor,
    tiny_weights,
    write_gguf,
)
from tests.support.sparse import SMOLLM2, llama_shapes

CONFIG = {
    "num_hidden_layers": LAYERS,
    "hidden_size": HIDDEN,
    "intermediate_size": CHANNELS,
    "num_attention_heads": HEADS,
    "num_key_value_heads": KV_HEADS,
    "head_dim": HEAD_DIM,
    "vocab_size": VOCAB,
    "tie_word_embeddings": False,
}


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The GGUF file of the demo model."""
    return find_gguf(tmp_path_factory.mktemp("download"))


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    return write_gguf(tmp_path / "tiny.gguf", tiny_weights()[0])


# --- the demo model -----------------------------------------------------------------------


def test_every_tensor_is_bit_identical_to_transformers_own_loading(
    smollm2: Path, source: Path
) -> None:
    reference = transformers.AutoModelForCausalLM.from_pretrained(
        source.parent, gguf_file=source.name
    ).state_dict()
    # Tied: one of the two names is stored.
    assert (
        reference["lm_head.weight"].data_ptr()
        == reference.pop("model.embed_tokens.weight").data_ptr()
    )
    reference["model.embed_tokens.weight"] = reference.pop("lm_head.weight")
    with safe_open(smollm2 / "model.safetensors", "pt") as stored:
        assert set(stored.keys()) == set(reference)
        for name, expected in reference.items():
            found = stored.get_tensor(name)
            assert found.dtype == expected.dtype == torch.float32, name
            assert torch.equal(found.view(torch.int32), expected.view(torch.int32)), name


def test_shapes_are_those_of_smollm2(smollm2: Path) -> None:
    with safe_open(smollm2 / "model.safetensors", "np") as stored:
        shapes = {name: tuple(stored.get_slice(name).get_shape()) for name in stored.keys()}  # noqa: SIM118
    assert shapes == llama_shapes(SMOLLM2)
    assert sum(int(np.prod(shape)) for shape in shapes.values()) == 134_515_008


def test_stock_transformers_loads_it_whole_and_it_knows_things(smollm2: Path) -> None:
    model, info = transformers.AutoModelForCausalLM.from_pretrained(
        smollm2, output_loading_info=True
    )
    assert not any(info[key] for key in info), info
    assert type(model) is transformers.LlamaForCausalLM
    assert model.dtype == torch.float32
    assert model.lm_head.weight.data_ptr() == model.model.embed_tokens.weight.data_ptr()
    tokenizer = transformers.AutoTokenizer.from_pretrained(smollm2)
    chat = [{"role": "user", "content": "What is the capital of France?"}]
    prompt = tokenizer.apply_chat_template(
        chat, add_generation_prompt=True, return_tensors="pt", return_dict=True
    )
    out = model.generate(**prompt, max_new_tokens=12, do_sample=False)
    answer = tokenizer.decode(out[0, prompt["input_ids"].shape[1] :])
    assert "Paris" in answer
    # It ends by itself: generation_config.json names the end of a turn.
    assert out.shape[1] < prompt["input_ids"].shape[1] + 12 or answer.endswith("<|im_end|>")


def test_config_is_an_ordinary_one(smollm2: Path, source: Path) -> None:
    written = json.loads((smollm2 / "config.json").read_text())
    expected = {key: value for key, value in SMOLLM2.config().items() if key != "architectures"}
    assert expected.items() <= written.items()
    assert written["architectures"] == ["LlamaForCausalLM"]
    assert written["dtype"] == "float32"
    assert "quantization_config" not in written
    # For transformers before 5, which reads no rope_parameters.
    assert written["rope_theta"] == written["rope_parameters"]["rope_theta"] == 100_000
    assert not any("/" in str(value) for value in written.values())
    loaded = transformers.AutoConfig.from_pretrained(smollm2).to_dict()
    reference = transformers.AutoConfig.from_pretrained(
        source.parent, gguf_file=source.name
    ).to_dict()
    ours = {"_name_or_path", "architectures", "dtype", "unk_token_id", "rope_theta"}
    assert {k: v for k, v in loaded.items() if k not in ours} == {
        k: v for k, v in reference.items() if k not in ours | {"_model_name_or_path"}
    }


def test_prunescope_itself_loads_it_alike(smollm2: Path) -> None:
    import prunescope

    stock = transformers.AutoModelForCausalLM.from_pretrained(smollm2)
    ids = torch.tensor([[1, 4093, 198, 28120]])
    with torch.no_grad():
        assert torch.equal(prunescope.load(smollm2)(ids).logits, stock(ids).logits)


TEXTS = [
    "The quick brown fox jumps over the lazy dog.",
    "don't can't I'LL we've, isn't it?",
    "  leading, trailing and   inner spaces  ",
    "def f(x):\n    return [i ** 2 for i in range(x)]\n\n\n# done\t!",
    "In 2024 there were 12345 dogs; π ≈ 3.14159.",
    "naïve café, Straße, Москва, 日本語, emoji 🙂",
    "",
]


@pytest.mark.parametrize("text", TEXTS)
def test_tokenizer_encodes_and_round_trips_as_the_gguf_one(
    smollm2: Path, gguf_tokenizer: Any, text: str
) -> None:
    tokenizer = transformers.AutoTokenizer.from_pretrained(smollm2)
    ids = tokenizer(text)["input_ids"]
    assert ids == gguf_tokenizer(text)["input_ids"]
    assert tokenizer.decode(ids) == gguf_tokenizer.decode(ids) == text


@pytest.fixture(scope="module")
def gguf_tokenizer(source: Path) -> Any:
    return transformers.AutoTokenizer.from_pretrained(source.parent, gguf_file=source.name)


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        # As the file's `tokenizer.ggml.pre = smollm` says: digits stand alone, and the spaces
        # before one stay together. transformers' own GGUF tokenizer gives ["a", "Ġ", "Ġ", …].
        ("a  12", ["a", "ĠĠ", "1", "2"]),
        ("x = 1\n\n  2", ["x", "Ġ=", "Ġ", "1", "ĊĊĠĠ", "2"]),
        ("1.5e10", ["1", ".", "5", "e", "1", "0"]),
        ("in 2024", ["in", "Ġ", "2", "0", "2", "4"]),
    ],
)
def test_digits_are_split_before_words(smollm2: Path, text: str, tokens: list[str]) -> None:
    tokenizer = transformers.AutoTokenizer.from_pretrained(smollm2)
    assert tokenizer.tokenize(text) == tokens
    assert tokenizer.decode(tokenizer(text)["input_ids"]) == text


def test_special_tokens_are_single_ids(smollm2: Path, gguf_tokenizer: Any) -> None:
    tokenizer = transformers.AutoTokenizer.from_pretrained(smollm2)
    assert len(tokenizer) == tokenizer.vocab_size == 49152
    assert tokenizer.get_vocab() == gguf_tokenizer.get_vocab()
    assert tokenizer("<|endoftext|><|im_start|><|im_end|>")["input_ids"] == [0, 1, 2]
    marks = (tokenizer.bos_token_id, tokenizer.eos_token_id, tokenizer.pad_token_id)
    assert marks == (1, 2, 2)
    assert tokenizer.unk_token_id == 0
    assert tokenizer.model_max_length == 8192
    assert sorted(tokenizer.added_tokens_decoder) == list(range(17))
    # No mark is put before or after plain text.
    assert tokenizer("Hello")["input_ids"] == [19556]


def test_chat_prompt(smollm2: Path, gguf_tokenizer: Any) -> None:
    tokenizer = transformers.AutoTokenizer.from_pretrained(smollm2)
    assert tokenizer.chat_template == gguf_tokenizer.chat_template
    chat = [{"role": "user", "content": "Hi"}]
    text = tokenizer.apply_chat_template(chat, tokenize=False, add_generation_prompt=True)
    assert text == (
        "<|im_start|>system\nYou are a helpful AI assistant named SmolLM, trained by Hugging Face"
        "<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n"
    )
    ids = tokenizer.apply_chat_template(chat, add_generation_prompt=True, return_dict=True)
    assert ids["input_ids"] == tokenizer(text)["input_ids"]
    assert ids["input_ids"].count(1) == 3
    assert ids["input_ids"].count(2) == 2


# --- small files --------------------------------------------------------------------------


def test_unpermute_by_hand() -> None:
    # One head of four rows: llama.cpp stores 0, 2, 1, 3; two heads: each on its own.
    assert unpermute(np.array([[0], [2], [1], [3]], np.float32), 1)[:, 0].tolist() == [0, 1, 2, 3]
    rows = np.array([0, 2, 1, 3, 4, 6, 5, 7], np.float32)[:, None]
    assert unpermute(rows, 2)[:, 0].tolist() == list(range(8))


def test_kv_heads_have_a_permutation_of_their_own(tiny: Path) -> None:
    expected = tiny_weights()[1]
    checkpoint = open_checkpoint(tiny)
    found = read_tensors(checkpoint)
    assert set(found) == set(expected)
    for name, values in expected.items():
        assert found[name].dtype == np.float32
        assert found[name].flags.c_contiguous
        assert np.array_equal(found[name], values), name
    check_shapes(checkpoint, found, CONFIG)


@pytest.mark.parametrize("kind", ["F16", "BF16", "Q8_0", "Q4_0", "Q4_1", "Q5_1"])
def test_types_are_dequantised_as_gguf_does(tmp_path: Path, kind: str) -> None:
    stored = {name: w for name, w in tiny_weights()[0].items() if "blk.0.ffn" in name}
    code = gguf.GGMLQuantizationType[kind]
    found = read_tensors(open_checkpoint(write_gguf(tmp_path / "t.gguf", stored, kind=code)))
    values = stored["blk.0.ffn_up.weight"]
    expected = gguf.dequantize(gguf.quantize(values, code), code)
    assert np.array_equal(found["model.layers.0.mlp.up_proj.weight"], expected)
    assert not np.array_equal(expected, values)


def test_progress_counts_tensors_and_files(source: Path) -> None:
    checkpoint = open_checkpoint(source)
    small = replace(checkpoint, tensors=dict(list(checkpoint.tensors.items())[1:4]))
    ticks: Iterator[int] = iter(range(99))
    read_tensors(small, lambda: next(ticks) and None)
    assert next(ticks) == 3


@pytest.mark.parametrize("architecture", ["gpt2", "mistral\n\x1b[31m"])
def test_another_architecture_is_refused_in_one_line(tmp_path: Path, architecture: str) -> None:
    path = write_gguf(tmp_path / "other.gguf", tiny_weights()[0], architecture)
    with pytest.raises(ArchitectureError, match="only llama and deci are supported") as caught:
        convert(path, tmp_path)
    assert "\n" not in str(caught.value)
    assert [file.name for file in tmp_path.iterdir()] == ["other.gguf"]


def test_rope_scaling_is_refused_rather_than_dropped(tmp_path: Path) -> None:
    def scaled(writer: gguf.GGUFWriter) -> None:
        writer.add_rope_scaling_type(gguf.RopeScalingType.LINEAR)

    checkpoint = open_checkpoint(write_gguf(tmp_path / "t.gguf", tiny_weights()[0], extra=scaled))
    with pytest.raises(ArchitectureError, match="RoPE scaling"):
        check_architecture(checkpoint)


def test_without_a_tokenizer_it_is_refused(tiny: Path, tmp_path: Path) -> None:
    folder = tmp_path / "out"
    folder.mkdir()
    with pytest.raises(CheckpointError, match="tokenizer") as caught:
        convert(tiny, folder)
    assert "\n" not in str(caught.value)
    assert not (folder / "model.safetensors").exists()


@pytest.mark.parametrize("name", ["blk.0.ffn_gate_exps.weight", "rope_freq.weight", "blk.x.a"])
def test_a_tensor_without_a_place_is_refused(tmp_path: Path, name: str) -> None:
    path = write_gguf(tmp_path / "t.gguf", {name: np.zeros((2, 32), np.float32)})
    with pytest.raises(CheckpointError, match="no place for the GGUF tensor"):
        read_tensors(open_checkpoint(path))


def test_rows_that_are_no_whole_heads_are_refused(tmp_path: Path) -> None:
    path = write_gguf(tmp_path / "t.gguf", {"blk.0.attn_q.weight": np.zeros((7, 32), np.float32)})
    with pytest.raises(CheckpointError, match="7 rows for 4 heads"):
        read_tensors(open_checkpoint(path))


@pytest.mark.parametrize(
    ("change", "cause"),
    [
        ({"num_hidden_layers": 3}, "too few for 3 layers"),
        ({"num_hidden_layers": 1}, "'model.layers.1.* is one too many"),
        ({"num_hidden_layers": 1 << 40}, "too few"),
        ({"hidden_size": 32}, r"is \[40, 64\], its config says \[40, 32\]"),
        ({"tie_word_embeddings": True}, "'lm_head.weight' is one too many"),
        ({"head_dim": None}, "head_dim is None"),
        ({"vocab_size": 0}, "vocab_size is 0"),
    ],
)
def test_tensors_and_config_must_agree(tiny: Path, change: dict[str, Any], cause: str) -> None:
    checkpoint = open_checkpoint(tiny)
    with pytest.raises(CheckpointError, match=cause):
        check_shapes(checkpoint, read_tensors(checkpoint), CONFIG | change)


def test_a_type_that_the_installed_library_does_not_know(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "t.gguf"
    # Q8_0 (8): blocks of 32 in 34 bytes.
    path.write_bytes(
        file_of(tensors=tensor("output_norm.weight", (32,), 8), count=1, data=bytes(34))
    )
    monkeypatch.setattr(gguf, "GGMLQuantizationType", IntEnum("Older", {"F32": 0}))
    checkpoint = open_checkpoint(path)
    cause = "'output_norm.weight': Q8_0 is newer than the installed gguf$"
    with pytest.raises(CheckpointError, match=cause):
        read_tensors(checkpoint)
    with WeightMap() as weights, pytest.raises(CheckpointError, match=cause):
        quantised(weights, checkpoint.tensors["output_norm.weight"], {})


def test_a_type_that_cannot_be_dequantised(tmp_path: Path) -> None:
    path = tmp_path / "t.gguf"
    # I64 (27): a known type, but no weight.
    path.write_bytes(
        file_of(tensors=tensor("output_norm.weight", (2,), 27), count=1, data=bytes(16))
    )
    with pytest.raises(CheckpointError, match=r"'output_norm.weight': .*I64"):
        read_tensors(open_checkpoint(path))
