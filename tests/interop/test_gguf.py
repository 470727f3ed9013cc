"""A GGUF file becomes an ordinary Hugging Face model, bit for bit what transformers reads."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
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
from prunescope.errors import ArchitectureError, CheckpointError, PrunescopeError
from prunescope.interop.demo_source import find_gguf
from prunescope.interop.gguf import held_in
from prunescope.interop.gguf_family import reading_of
from prunescope.interop.gguf_to_config import config_of
from prunescope.interop.gguf_to_hf import convert
from prunescope.interop.gguf_values import unpermute
from tests.support.ggufs import HEAD_DIM, HEADS, VOCAB, add_tokenizer, tiny_weights, write_gguf
from tests.support.sparse import SMOLLM2, llama_shapes


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The GGUF file of the demo model."""
    return find_gguf(tmp_path_factory.mktemp("download"))


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    return write_gguf(tmp_path / "tiny.gguf", tiny_weights()[0], extra=add_tokenizer)


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
    # It has all digits of the float32 that the file holds; ours those that tell it.
    assert np.float32(reference["rms_norm_eps"]) == np.float32(loaded["rms_norm_eps"])
    ours = {"_name_or_path", "architectures", "dtype", "unk_token_id", "rope_theta"}
    ours |= {"rms_norm_eps"}
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


def weights_of(path: Path) -> dict[str, np.ndarray]:
    """What is in a file, by transformers' names."""
    source = open_checkpoint(path)
    reading = reading_of(source)
    with WeightMap() as weights:
        found = held_in(source, reading, config_of(source, reading)).values()
        return {held.name: held.values(weights) for held in found}


def refused(path: Path, cause: str, error: type[Exception] = PrunescopeError) -> None:
    """In one line that names the file, before anything is written."""
    with pytest.raises(error, match=cause) as caught:
        convert(path, path.parent)
    assert "\n" not in str(caught.value)
    assert str(path) in str(caught.value)
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def keyed(**keys: object) -> Callable[[gguf.GGUFWriter], None]:
    """What makes a file whole, with keys of `llama.` changed; None removes one."""

    def extra(writer: gguf.GGUFWriter) -> None:
        add_tokenizer(writer)
        for name, value in keys.items():
            key = f"llama.{name.replace('__', '.')}"
            writer.kv_data[0].pop(key, None)
            if isinstance(value, str):
                writer.add_string(key, value)
            elif isinstance(value, float):
                writer.add_float32(key, value)
            elif isinstance(value, list):
                writer.add_array(key, value)
            elif value is not None:
                writer.add_uint64(key, value)

    return extra


def test_unpermute_by_hand() -> None:
    # One head of four rows: llama.cpp stores 0, 2, 1, 3; two heads: each on its own.
    assert unpermute(np.array([[0], [2], [1], [3]], np.float32), 1)[:, 0].tolist() == [0, 1, 2, 3]
    rows = np.array([0, 2, 1, 3, 4, 6, 5, 7], np.float32)[:, None]
    assert unpermute(rows, 2)[:, 0].tolist() == list(range(8))


def test_kv_heads_have_a_permutation_of_their_own(tiny: Path) -> None:
    expected = tiny_weights()[1]
    found = weights_of(tiny)
    assert set(found) == set(expected)
    for name, values in expected.items():
        assert found[name].dtype == np.float32
        assert found[name].flags.c_contiguous
        assert np.array_equal(found[name], values), name


@pytest.mark.parametrize("kind", ["F16", "BF16", "Q8_0", "Q4_0", "Q4_1", "Q5_1"])
def test_types_are_dequantised_as_gguf_does(tmp_path: Path, kind: str) -> None:
    stored, code = tiny_weights()[0], gguf.GGMLQuantizationType[kind]
    path = write_gguf(tmp_path / "t.gguf", stored, kind=code, extra=add_tokenizer)
    values = stored["blk.0.ffn_up.weight"]
    expected = gguf.dequantize(gguf.quantize(values, code), code)
    assert np.array_equal(weights_of(path)["model.layers.0.mlp.up_proj.weight"], expected)
    assert not np.array_equal(expected, values)


def test_progress_counts_tensors_and_files(tiny: Path, tmp_path: Path) -> None:
    counted: list[int] = []

    @contextmanager
    def progress(steps: int) -> Iterator[Callable[[], None]]:
        counted.append(steps)
        yield lambda: counted.append(1)

    (tmp_path / "out").mkdir()
    convert(tiny, tmp_path / "out", progress)
    # 21 tensors, the configs, and the tokenizer.
    assert counted[0] == 23 == sum(counted[1:])


def test_a_config_beside_the_file_has_no_say(tiny: Path, tmp_path: Path) -> None:
    other = {"num_attention_heads": 8, "head_dim": 8, "rms_norm_eps": 0.5, "model_type": "deci"}
    (tmp_path / "config.json").write_text(json.dumps(other))
    (tmp_path / "out").mkdir()
    convert(tiny, tmp_path / "out")
    written = json.loads((tmp_path / "out" / "config.json").read_text())
    wanted = {"num_attention_heads": HEADS, "head_dim": HEAD_DIM, "rms_norm_eps": 1e-5}
    assert wanted.items() <= written.items()


@pytest.mark.parametrize("architecture", ["gpt2", "mistral\n\x1b[31m"])
def test_another_architecture_is_refused_in_one_line(tmp_path: Path, architecture: str) -> None:
    path = write_gguf(tmp_path / "other.gguf", tiny_weights()[0], architecture)
    refused(path, "only deci, gemma2, llama, .* and qwen3moe are supported", ArchitectureError)


def test_without_a_tokenizer_it_is_refused(tmp_path: Path) -> None:
    def without(writer: gguf.GGUFWriter) -> None:
        writer.add_layer_norm_rms_eps(1e-5)

    path = write_gguf(tmp_path / "tiny.gguf", tiny_weights()[0], extra=without)
    folder = tmp_path / "out"
    folder.mkdir()
    with pytest.raises(CheckpointError, match="tokenizer") as caught:
        convert(path, folder)
    assert "\n" not in str(caught.value)
    assert not (folder / "model.safetensors").exists()


@pytest.mark.parametrize(
    "name", ["blk.0.ffn_gate_exps.weight", "rope_freq.weight", "blk.x.a", "blk.7.attn_q.weight"]
)
def test_a_tensor_without_a_place_is_refused(tmp_path: Path, name: str) -> None:
    stored = tiny_weights()[0] | {name: np.zeros((2, 32), np.float32)}
    path = write_gguf(tmp_path / "t.gguf", stored, extra=add_tokenizer)
    refused(path, f"a llama of 2 layers has no place for the GGUF tensor '{name}'")


def test_frequencies_that_an_old_file_has_are_left_out(tmp_path: Path) -> None:
    stored, expected = tiny_weights()
    stored["blk.1.attn_rot_embd.weight"] = np.ones(8, np.float32)
    path = write_gguf(tmp_path / "t.gguf", stored, extra=add_tokenizer)
    assert weights_of(path).keys() == expected.keys()


@pytest.mark.parametrize(
    ("name", "cause"),
    [
        ("blk.1.attn_norm.weight", "tensor 'blk.1.attn_norm.weight' is missing"),
        ("output_norm.weight", "tensor 'output_norm.weight' is missing"),
        ("token_embd.weight", "has no token embedding"),
    ],
)
def test_a_tensor_that_is_missing_is_named(tmp_path: Path, name: str, cause: str) -> None:
    stored = {key: values for key, values in tiny_weights()[0].items() if key != name}
    refused(write_gguf(tmp_path / "t.gguf", stored, extra=add_tokenizer), cause)


@pytest.mark.parametrize(
    ("keys", "cause"),
    [
        ({"block_count": 3}, "tensor 'blk.2.attn_q.weight' is missing"),
        ({"block_count": 1}, "a llama of 1 layers has no place for the GGUF tensor 'blk.1"),
        ({"block_count": 1 << 31}, "21 tensors are too few for 2147483648 layers"),
        ({"block_count": 1 << 40}, "key llama.block_count is '1099511627776', a number above 0"),
        ({"block_count": 0}, "llama.block_count is '0'"),
        ({"block_count": None}, "llama.block_count is not there"),
        ({"context_length": None}, "llama.context_length is not there"),
        ({"context_length": "many"}, "llama.context_length is 'many'"),
        ({"attention__head_count": None}, "llama.attention.head_count is not there"),
        ({"attention__layer_norm_rms_epsilon": None}, "layer_norm_rms_epsilon is not there"),
        ({"attention__layer_norm_rms_epsilon": float("nan")}, "rms_epsilon is 'nan'"),
        ({"rope__freq_base": -1.0}, "llama.rope.freq_base is '-1.0'"),
        (
            {"embedding_length": 32, "attention__key_length": 16},
            r"'token_embd.weight' is \[40, 64\], its keys say \[40, 32\]",
        ),
        (
            {"attention__head_count": 6, "attention__key_length": 16},
            r"'blk.0.attn_q.weight' is \[64, 64\], its keys say \[96, 64\]",
        ),
        (
            {"attention__key_length": 8, "rope__dimension_count": None},
            r"'blk.0.attn_q.weight' is \[64, 64\], its keys say \[32, 64\]",
        ),
        ({"attention__key_length": 32}, "16 of a head's 32 rows are rotated, which a llama cannot"),
        ({"attention__key_length": 15}, "heads of 15 rows, an odd number"),
        ({"attention__value_length": 8}, "keys of 16 rows a head and values of 8"),
    ],
    ids=str,
)
def test_tensors_and_keys_must_agree(tmp_path: Path, keys: dict[str, object], cause: str) -> None:
    path = tmp_path / "t.gguf"
    refused(write_gguf(path, tiny_weights()[0], extra=keyed(**keys)), cause)


def test_a_special_token_must_be_one(tmp_path: Path) -> None:
    def other(writer: gguf.GGUFWriter) -> None:
        add_tokenizer(writer)
        writer.add_pad_token_id(VOCAB)

    path = write_gguf(tmp_path / "t.gguf", tiny_weights()[0], extra=other)
    refused(path, "tokenizer.ggml.padding_token_id 40 is none of its 40 tokens")


def test_layers_that_differ_are_no_llama(tmp_path: Path) -> None:
    path, extra = tmp_path / "t.gguf", keyed(feed_forward_length=[96, 48])
    write_gguf(path, tiny_weights()[0], extra=extra)
    refused(path, "layers differ, and no 'deci'", ArchitectureError)


def test_a_type_that_the_installed_library_does_not_know(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kind = gguf.GGMLQuantizationType.Q8_0
    path = write_gguf(tmp_path / "t.gguf", tiny_weights()[0], kind=kind, extra=add_tokenizer)
    monkeypatch.setattr(gguf, "GGMLQuantizationType", IntEnum("Older", {"F32": 0}))
    cause = "'token_embd.weight': Q8_0 is newer than the installed gguf$"
    refused(path, cause)
    tensor = open_checkpoint(path).tensors["token_embd.weight"]
    with WeightMap() as weights, pytest.raises(CheckpointError, match=cause):
        quantised(weights, tensor, {})


def test_a_type_that_cannot_be_dequantised(tmp_path: Path) -> None:
    # I64: a known type, but no weight.
    stored = tiny_weights()[0] | {"output_norm.weight": np.ones(64, np.int64)}
    path = write_gguf(tmp_path / "t.gguf", stored, extra=add_tokenizer)
    with pytest.raises(CheckpointError, match=r"'output_norm.weight': .*I64"):
        weights_of(path)
