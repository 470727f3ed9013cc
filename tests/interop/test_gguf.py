"""A GGUF file becomes an ordinary Hugging Face model, bit for bit what transformers reads."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
import torch
import transformers
from safetensors import safe_open

from prunescope.errors import ArchitectureError, CheckpointError
from prunescope.interop.demo_source import find_gguf
from prunescope.interop.gguf import check_architecture, check_shapes, read_tensors, unpermute
from prunescope.interop.gguf_header import read_header
from prunescope.interop.gguf_to_hf import convert
from tests.support.sparse import SMOLLM2, llama_shapes

LAYERS, HIDDEN, CHANNELS, HEADS, KV_HEADS, HEAD_DIM, VOCAB = 2, 64, 96, 4, 2, 16, 40
NAMES = {
    "attn_norm": ("input_layernorm", (HIDDEN,)),
    "attn_q": ("self_attn.q_proj", (HEADS * HEAD_DIM, HIDDEN)),
    "attn_k": ("self_attn.k_proj", (KV_HEADS * HEAD_DIM, HIDDEN)),
    "attn_v": ("self_attn.v_proj", (KV_HEADS * HEAD_DIM, HIDDEN)),
    "attn_output": ("self_attn.o_proj", (HIDDEN, HEADS * HEAD_DIM)),
    "ffn_norm": ("post_attention_layernorm", (HIDDEN,)),
    "ffn_gate": ("mlp.gate_proj", (CHANNELS, HIDDEN)),
    "ffn_up": ("mlp.up_proj", (CHANNELS, HIDDEN)),
    "ffn_down": ("mlp.down_proj", (HIDDEN, CHANNELS)),
}
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
Weights = dict[str, np.ndarray]


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The GGUF file of the demo model."""
    return find_gguf(tmp_path_factory.mktemp("download"))


def tiny_weights() -> tuple[Weights, Weights]:
    """A two-layer Llama with KV heads of its own, untied: under llama.cpp's and HF's names."""
    random = np.random.default_rng(7)
    shapes = {
        "token_embd": ("model.embed_tokens", (VOCAB, HIDDEN)),
        "output_norm": ("model.norm", (HIDDEN,)),
        "output": ("lm_head", (VOCAB, HIDDEN)),
    }
    for layer in range(LAYERS):
        for short, (name, shape) in NAMES.items():
            shapes[f"blk.{layer}.{short}"] = (f"model.layers.{layer}.{name}", shape)
    hf = {f"{n}.weight": random.random(s, np.float32) for n, s in shapes.values()}
    stored = {}
    for short, (name, _) in shapes.items():
        rows = hf[f"{name}.weight"]
        if short.endswith(("attn_q", "attn_k")):
            heads = HEADS if short.endswith("q") else KV_HEADS
            # llama.cpp's own direction: convert_hf_to_gguf.py, LlamaModel.permute.
            rows = rows.reshape(heads, 2, HEAD_DIM // 2, HIDDEN).swapaxes(1, 2).reshape(rows.shape)
        stored[f"{short}.weight"] = np.ascontiguousarray(rows)
    return stored, hf


def write_gguf(
    path: Path,
    weights: Weights,
    architecture: str = "llama",
    kind: gguf.GGMLQuantizationType | None = None,
    extra: Callable[[gguf.GGUFWriter], None] = lambda writer: None,
) -> Path:
    writer = gguf.GGUFWriter(path, architecture)
    writer.add_block_count(LAYERS)
    writer.add_embedding_length(HIDDEN)
    writer.add_feed_forward_length(CHANNELS)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(KV_HEADS)
    writer.add_rope_dimension_count(HEAD_DIM)
    writer.add_vocab_size(VOCAB)
    writer.add_context_length(128)
    extra(writer)
    for name, values in weights.items():
        if kind is None or values.ndim == 1:
            writer.add_tensor(name, values)
        else:
            writer.add_tensor(name, gguf.quantize(values, kind), raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


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
    header = read_header(tiny)
    found = read_tensors(header)
    assert set(found) == set(expected)
    for name, values in expected.items():
        assert found[name].dtype == np.float32
        assert found[name].flags.c_contiguous
        assert np.array_equal(found[name], values), name
    check_shapes(header, found, CONFIG)


@pytest.mark.parametrize("kind", ["F16", "BF16", "Q8_0", "Q4_0", "Q4_1", "Q5_1"])
def test_types_are_dequantised_as_gguf_does(tmp_path: Path, kind: str) -> None:
    stored = {name: w for name, w in tiny_weights()[0].items() if "blk.0.ffn" in name}
    code = gguf.GGMLQuantizationType[kind]
    found = read_tensors(read_header(write_gguf(tmp_path / "t.gguf", stored, kind=code)))
    values = stored["blk.0.ffn_up.weight"]
    expected = gguf.dequantize(gguf.quantize(values, code), code)
    assert np.array_equal(found["model.layers.0.mlp.up_proj.weight"], expected)
    assert not np.array_equal(expected, values)


def test_progress_counts_tensors_and_files(source: Path) -> None:
    header = read_header(source)
    small = type(header)(source, header.metadata, dict(list(header.tensors.items())[1:4]))
    ticks: Iterator[int] = iter(range(99))
    read_tensors(small, lambda: next(ticks) and None)
    assert next(ticks) == 3


@pytest.mark.parametrize("architecture", ["gpt2", "deci", "mistral\n\x1b[31m"])
def test_another_architecture_is_refused_in_one_line(tmp_path: Path, architecture: str) -> None:
    path = write_gguf(tmp_path / "other.gguf", tiny_weights()[0], architecture)
    with pytest.raises(ArchitectureError, match="only 'llama' is supported") as caught:
        convert(path, tmp_path)
    assert "\n" not in str(caught.value)
    assert [file.name for file in tmp_path.iterdir()] == ["other.gguf"]


def test_rope_scaling_is_refused_rather_than_dropped(tmp_path: Path) -> None:
    def scaled(writer: gguf.GGUFWriter) -> None:
        writer.add_rope_scaling_type(gguf.RopeScalingType.LINEAR)

    header = read_header(write_gguf(tmp_path / "t.gguf", {}, extra=scaled))
    with pytest.raises(ArchitectureError, match="RoPE scaling"):
        check_architecture(header)


def test_without_a_tokenizer_it_is_refused(tiny: Path, tmp_path: Path) -> None:
    folder = tmp_path / "out"
    folder.mkdir()
    with pytest.raises(CheckpointError, match="tokenizer") as caught:
        convert(tiny, folder)
    assert "\n" not in str(caught.value)
    assert not (folder / "model.safetensors").exists()


@pytest.mark.parametrize("name", ["blk.0.ffn_gate_exps.weight", "rope_freqs.weight", "blk.x.a"])
def test_a_tensor_without_a_place_is_refused(tmp_path: Path, name: str) -> None:
    path = write_gguf(tmp_path / "t.gguf", {name: np.zeros((2, 32), np.float32)})
    with pytest.raises(CheckpointError, match="no place for the GGUF tensor"):
        read_tensors(read_header(path))


def test_rows_that_are_no_whole_heads_are_refused(tmp_path: Path) -> None:
    path = write_gguf(tmp_path / "t.gguf", {"blk.0.attn_q.weight": np.zeros((7, 32), np.float32)})
    with pytest.raises(CheckpointError, match="7 rows for 4 heads"):
        read_tensors(read_header(path))


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
    header = read_header(tiny)
    with pytest.raises(CheckpointError, match=cause):
        check_shapes(header, read_tensors(header), CONFIG | change)


# --- hostile files ------------------------------------------------------------------------


def test_every_truncation_is_an_error_of_one_line(tiny: Path, tmp_path: Path) -> None:
    whole = tiny.read_bytes()
    header_end = min(info.offset for info in read_header(tiny).tensors.values())
    short = tmp_path / "short.gguf"
    for length in [*range(0, header_end, 7), header_end, len(whole) // 2, len(whole) - 40]:
        short.write_bytes(whole[:length])
        with pytest.raises(CheckpointError) as caught:
            read_header(short)
        assert str(caught.value).startswith(f"{short}: ")
        assert "\n" not in str(caught.value)


def text(value: str) -> bytes:
    return struct.pack("<Q", len(value)) + value.encode()


def file_of(keys: bytes = b"", key_count: int = 0, tensors: bytes = b"", count: int = 0) -> bytes:
    return b"GGUF" + struct.pack("<IQQ", 3, count, key_count) + keys + tensors + b"\0" * 64


def tensor(name: str, shape: tuple[int, ...], kind: int = 0, offset: int = 0) -> bytes:
    axes = struct.pack(f"<I{len(shape)}Q", len(shape), *shape)
    return text(name) + axes + struct.pack("<IQ", kind, offset)


HUGE = 1 << 60
HOSTILE = {
    "not GGUF": (b"PK\x03\x04" + b"\0" * 40, "is not a GGUF file"),
    "big endian": (b"GGUF" + struct.pack(">IQQ", 3, 0, 0), "version 50331648"),
    "version 1": (b"GGUF" + struct.pack("<IQQ", 1, 0, 0), "version 1 is not"),
    "2^60 keys": (file_of(key_count=HUGE), "more entries"),
    "2^60 tensors": (file_of(count=HUGE), "more entries"),
    "an array of 2^60": (
        file_of(text("a") + struct.pack("<IIQ", 9, 0, HUGE), 1),
        "more entries",
    ),
    "an array longer than the file": (
        file_of(text("a") + struct.pack("<IIQ", 9, 10, 1_000_000), 1),
        "truncated",
    ),
    "an array of arrays": (
        file_of(text("a") + struct.pack("<IIQ", 9, 9, 1), 1),
        "'a' has unknown type 9",
    ),
    "an unknown type": (file_of(text("a") + struct.pack("<I", 99), 1), "unknown type 99"),
    "a long string": (file_of(struct.pack("<Q", HUGE), 1), "truncated"),
    "a key twice": (file_of((text("a") + struct.pack("<IB", 0, 1)) * 2, 2), "'a' occurs twice"),
    "no UTF-8": (file_of(struct.pack("<Q", 1) + b"\xff", 1), "not UTF-8"),
    "a control character": (
        file_of(text("\x1b[2J") + struct.pack("<I", 99), 1),
        r"\\x1b\[2J",
    ),
    "no alignment": (
        file_of(text("general.alignment") + struct.pack("<II", 4, 0), 1),
        "alignment 0 is not a power of two",
    ),
    "an alignment of text": (
        file_of(text("general.alignment") + struct.pack("<I", 8) + text("x"), 1),
        "alignment 'x' is not a power of two",
    ),
    "a tensor twice": (
        file_of(tensors=tensor("t", (1,)) * 2, count=2),
        "'t' occurs twice",
    ),
    "a tensor without axes": (file_of(tensors=tensor("t", ()), count=1), "'t' has 0 axes"),
    "a tensor of nine axes": (file_of(tensors=tensor("t", (1,) * 9), count=1), "'t' has 9 axes"),
    "a shape that overflows": (
        file_of(tensors=tensor("t", (1 << 32, 1 << 32)), count=1),
        "truncated inside tensor 't'",
    ),
    "an offset outside": (
        file_of(tensors=tensor("t", (1,), offset=HUGE), count=1),
        "truncated inside tensor 't'",
    ),
    "an unknown ggml type": (file_of(tensors=tensor("t", (1,), 999), count=1), "ggml type 999"),
    "half a block": (file_of(tensors=tensor("t", (33,), 3), count=1), "blocks of 32"),
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_hostile_headers(tmp_path: Path, kind: str) -> None:
    content, cause = HOSTILE[kind]
    path = tmp_path / "hostile.gguf"
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=cause) as caught:
        read_header(path)
    assert str(caught.value).isprintable()


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="No such file"):
        read_header(tmp_path / "none.gguf")


def test_a_type_that_cannot_be_dequantised(tmp_path: Path) -> None:
    path = tmp_path / "t.gguf"
    # I64 (27): a known type, but no weight.
    path.write_bytes(file_of(tensors=tensor("output_norm.weight", (2,), 27), count=1))
    with pytest.raises(CheckpointError, match=r"'output_norm.weight': .*I64"):
        read_tensors(read_header(path))
