"""What is written for llama.cpp comes back as the model that it was, of every family."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from tokenizers import Regex, Tokenizer, pre_tokenizers, processors
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

import prunescope
from prunescope.errors import ArchitectureError, CheckpointError, PrunescopeError
from prunescope.interop.convert import convert
from prunescope.interop.formats import GgufType
from prunescope.interop.gguf_export import export_gguf
from tests.support.gguf_families import CONFIGS, folder_of, halved, network_of
from tests.support.ggufs import finish
from tests.support.tiny import sentencepieces, tiny_folder, tiny_tokenizer

IDS = torch.arange(1, 60)[None]
# What llama.cpp divides the scores of a Gemma 2 by: the rows of a head.
_OWN_SCALE = {"query_pre_attn_scalar": 8}
# Stated where it goes without saying, or for transformers before 5.
_STATED = {"head_dim", "rope_theta", "_name_or_path", "architectures", "dtype"}


def narrow(name: str, folder: Path, **changes: Any) -> Path:
    """A model whose weights are those of a bfloat16 one, as released ones are: 1 can be added to
    a norm's and taken away again."""
    network = network_of(name, **changes)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.copy_(parameter.bfloat16())
    return tiny_folder(folder, network)


def there_and_back(folder: Path, wanted: GgufType = "f32") -> Path:
    file, back = folder.parent / "m.gguf", folder.parent / "back"
    export_gguf(folder, file, wanted)
    convert(file, back)
    return back


def logits(folder: Path, ids: torch.Tensor = IDS) -> torch.Tensor:
    """By stock transformers, which finds every weight and initialises none."""
    network, info = AutoModelForCausalLM.from_pretrained(
        folder, output_loading_info=True, attn_implementation="eager"
    )
    assert not any(info.values()), info
    with torch.no_grad():
        return network(ids).logits


def config_of(folder: Path) -> dict[str, Any]:
    values = AutoConfig.from_pretrained(folder).to_dict()
    return {key: value for key, value in values.items() if key not in _STATED}


def same_weights(one: Path, other: Path) -> None:
    before, after = (load_file(folder / "model.safetensors") for folder in (one, other))
    assert before.keys() == after.keys()
    for name, values in before.items():
        assert torch.equal(values, after[name]), name


def rewritten(
    source: Path,
    target: Path,
    keys: dict[str, object],
    tensors: dict[str, np.ndarray | None] | None = None,
) -> Path:
    """A GGUF file with keys of its architecture and tensors changed; None removes one."""
    reader = gguf.GGUFReader(source)
    architecture = reader.fields["general.architecture"].contents()
    writer = gguf.GGUFWriter(target, architecture)
    changed = {f"{architecture}.{key}": value for key, value in keys.items()}
    for name, field in reader.fields.items():
        is_own = name.startswith("GGUF.") or name == "general.architecture"
        if not is_own and name not in changed:
            element = field.types[-1] if field.types[0] is gguf.GGUFValueType.ARRAY else None
            writer.add_key_value(name, field.contents(), field.types[0], element)
    for name, value in changed.items():
        if isinstance(value, bool):
            writer.add_bool(name, value)
        elif isinstance(value, str):
            writer.add_string(name, value)
        elif isinstance(value, float):
            writer.add_float32(name, value)
        elif isinstance(value, list):
            writer.add_array(name, value)
        elif value is not None:
            writer.add_uint32(name, value)
    found = {each.name: each.data for each in reader.tensors} | (tensors or {})
    for name, values in found.items():
        if values is not None:
            writer.add_tensor(name, np.ascontiguousarray(values))
    finish(writer)
    return target


@pytest.mark.parametrize("name", CONFIGS)
def test_config_and_weights_are_those_of_before(tmp_path: Path, name: str) -> None:
    changes = _OWN_SCALE if "gemma2" in name else {}
    folder = narrow(name, tmp_path / "model", **changes)
    back = there_and_back(folder)
    found, wanted = config_of(back), config_of(folder)
    if name == "gemma2, no windows":
        # What llama.cpp wants one of, and no layer has.
        assert (found.pop("sliding_window"), wanted.pop("sliding_window")) == (256, 16)
    assert found == wanted
    same_weights(folder, back)
    torch.testing.assert_close(logits(back), logits(folder), rtol=0, atol=1e-5)
    kept = json.loads((back / "generation_config.json").read_text())
    assert kept["eos_token_id"] == 0


@pytest.mark.parametrize(
    ("depth", "heads", "scale"), [(4, 4, 8), (46, 2, 12)], ids=["head's rows", "27B"]
)
def test_a_scale_of_its_own_lies_in_gemma2s_queries(
    tmp_path: Path, depth: int, heads: int, scale: int
) -> None:
    # Written for a llama.cpp that divides by the root of 8, or of 24 / 2 where it counts 46 layers.
    shape = {"num_hidden_layers": depth, "num_attention_heads": heads}
    folder = narrow("gemma2", tmp_path / "model", query_pre_attn_scalar=20, **shape)
    back = there_and_back(folder)
    assert config_of(back)["query_pre_attn_scalar"] == scale
    torch.testing.assert_close(logits(back), logits(folder), rtol=0, atol=1e-4)


@pytest.mark.parametrize("wanted", ["f16", "bf16", "q8_0"])
def test_what_is_rounded_comes_back_rounded(tmp_path: Path, wanted: GgufType) -> None:
    shape = {"hidden_size": 32, "intermediate_size": 64, "head_dim": 8, "moe_intermediate_size": 32}
    back = there_and_back(folder_of("qwen3_moe", tmp_path / "model", **shape), wanted)
    before, after = (
        load_file(folder / "model.safetensors") for folder in (tmp_path / "model", back)
    )
    kind = gguf.GGMLQuantizationType[wanted.upper()]
    name = "model.layers.1.mlp.experts.3.down_proj.weight"
    rounded = gguf.dequantize(gguf.quantize(before[name].numpy(), kind), kind)
    np.testing.assert_array_equal(after[name].numpy(), rounded)
    # What chooses experts is not rounded.
    assert torch.equal(
        after["model.layers.1.mlp.gate.weight"], before["model.layers.1.mlp.gate.weight"]
    )


@pytest.mark.parametrize("name", ["qwen2", "qwen3", "gemma2", "phi3", "qwen2_moe", "qwen3_moe"])
def test_weights_are_those_that_transformers_own_loading_gives(tmp_path: Path, name: str) -> None:
    back = there_and_back(folder_of(name, tmp_path / "model", **_usual(name)), "f16")
    reference = AutoModelForCausalLM.from_pretrained(tmp_path, gguf_file="m.gguf")
    found = AutoModelForCausalLM.from_pretrained(back)
    assert type(found) is type(reference)
    theirs, ours = reference.state_dict(), found.state_dict()
    assert theirs.keys() == ours.keys()
    for key, values in theirs.items():
        assert torch.equal(values, ours[key]), key


def _usual(name: str) -> dict[str, Any]:
    """What transformers' loading does not read, as its class has it where nothing is said."""
    usual = CONFIGS[name][0]()
    keys = {"qwen3": ("head_dim",), "qwen3_moe": ("moe_intermediate_size",)}
    keys["qwen2_moe"] = ("moe_intermediate_size", "shared_expert_intermediate_size")
    own = _OWN_SCALE if name == "gemma2" else {}
    return own | {key: getattr(usual, key) for key in keys.get(name, ())}


def test_a_qwen2_that_became_a_llama_is_one_again(tmp_path: Path) -> None:
    whole = folder_of("qwen2", tmp_path / "whole")
    even = halved(whole, tmp_path / "even" / "model", 0, 4)
    back = there_and_back(even)
    assert config_of(back)["model_type"] == "qwen2"
    torch.testing.assert_close(logits(back), logits(even), rtol=0, atol=1e-5)
    uneven = halved(whole, tmp_path / "uneven" / "model", 1, 3)
    back = there_and_back(uneven)
    written, wanted = (json.loads((each / "config.json").read_text()) for each in (back, uneven))
    assert written["per_layer_config"] == wanted["per_layer_config"]
    assert written["architectures"] == ["PrunedQwen2ForCausalLM"]
    with torch.no_grad():
        one, other = (prunescope.load(folder)(IDS).logits for folder in (back, uneven))
    torch.testing.assert_close(one, other, rtol=0, atol=1e-5)


def test_a_phi3_that_became_a_llama_stays_one(tmp_path: Path) -> None:
    folder = halved(folder_of("phi3", tmp_path / "whole"), tmp_path / "model", 0, 4)
    back = there_and_back(folder)
    assert config_of(back)["model_type"] == "llama"
    torch.testing.assert_close(logits(back), logits(folder), rtol=0, atol=1e-4)


def test_heads_that_transformers_refuses_come_with_code(tmp_path: Path) -> None:
    # 3 heads of 8 rows: 32 is no multiple of 3.
    shape = {"hidden_size": 32, "num_attention_heads": 4, "num_key_value_heads": 4}
    folder = tiny_folder(tmp_path / "whole", **shape)
    export_gguf(folder, tmp_path / "whole.gguf", "f32")
    reader = {each.name: each.data for each in gguf.GGUFReader(tmp_path / "whole.gguf").tensors}
    rows = {
        name: values[..., :24] if "output" in name else values[:24]
        for name, values in reader.items()
        if name.startswith("blk")
        and name.split(".")[2] in ("attn_q", "attn_k", "attn_v", "attn_output")
    }
    heads = {"attention.head_count": 3, "attention.head_count_kv": 3}
    done = convert(
        rewritten(tmp_path / "whole.gguf", tmp_path / "m.gguf", heads, rows), tmp_path / "out"
    )
    assert done.code == "heads"
    network = prunescope.load(tmp_path / "out")
    assert network.model.layers[0].self_attn.q_proj.weight.shape == (24, 32)


# --- rotary settings ------------------------------------------------------------------------


def test_a_linear_scaling_comes_back(tmp_path: Path) -> None:
    rope = {"rope_type": "linear", "rope_theta": 10000.0, "factor": 2.5}
    folder = folder_of("qwen3", tmp_path / "model", rope_parameters=rope)
    back = there_and_back(folder)
    assert config_of(back)["rope_parameters"] == rope
    assert torch.equal(logits(back), logits(folder))


def test_longrope_is_told_by_its_factors_alone(tmp_path: Path) -> None:
    # As llama.cpp's own converter writes a Phi-3: no type, a scale, and long texts too.
    folder = folder_of("phi3 long", tmp_path / "model")
    export_gguf(folder, tmp_path / "ours.gguf", "f32")
    convert(
        rewritten(tmp_path / "ours.gguf", tmp_path / "m.gguf", {"rope.scaling.type": None}),
        tmp_path / "back",
    )
    assert config_of(tmp_path / "back") == config_of(folder)
    long = torch.arange(1, 301)[None]
    assert torch.equal(logits(tmp_path / "back", long), logits(folder, long))
    other = {"rope.scaling.attn_factor": 1.5}
    convert(rewritten(tmp_path / "ours.gguf", tmp_path / "n.gguf", other), tmp_path / "other")
    assert config_of(tmp_path / "other")["rope_parameters"]["attention_factor"] == 1.5


def test_a_factor_alone_is_linear_and_none_is_none(tmp_path: Path) -> None:
    export_gguf(folder_of("qwen3", tmp_path / "model"), tmp_path / "ours.gguf", "f32")
    keys: dict[str, object] = {"rope.scaling.factor": 4.0}
    for number, (change, kind) in enumerate(
        [
            ({}, "linear"),
            ({"rope.scaling.type": "none"}, "default"),
            ({"rope.scaling.factor": 1.0}, "default"),
        ]
    ):
        file = rewritten(tmp_path / "ours.gguf", tmp_path / f"{number}.gguf", keys | change)
        convert(file, tmp_path / f"{number}")
        assert config_of(tmp_path / f"{number}")["rope_parameters"]["rope_type"] == kind


def test_a_shared_experts_router_is_a_vector_or_a_row(tmp_path: Path) -> None:
    # A vector in llama.cpp's own files; to ggml a row is the same.
    folder = folder_of("qwen2_moe", tmp_path / "model")
    export_gguf(folder, tmp_path / "ours.gguf", "f32")
    found = {each.name: each.data for each in gguf.GGUFReader(tmp_path / "ours.gguf").tensors}
    flat = {name: values for name, values in found.items() if "inp_shexp" in name}
    assert [values.shape for values in flat.values()] == [(24,)] * 4
    rows = {name: values[None] for name, values in flat.items()}
    convert(rewritten(tmp_path / "ours.gguf", tmp_path / "m.gguf", {}, rows), tmp_path / "back")
    same_weights(folder, tmp_path / "back")


# --- what cannot be said, or is damaged --------------------------------------------------------

EXPERTS = np.zeros((6, 16, 24), np.float32)
BAD: list[tuple[str, dict[str, object], dict[str, np.ndarray | None], str]] = [
    ("qwen3", {"rope.scaling.type": "dynamic"}, {}, "GGUF with RoPE scaling 'dynamic'"),
    ("qwen3", {"rope.scaling.type": "longrope"}, {}, "longrope, and no factors"),
    ("qwen3", {"rope.scaling.attn_factor": 1.5}, {}, "says what rope.scaling.attn_factor"),
    ("qwen3 yarn", {"rope.scaling.yarn_beta_fast": 8.0}, {}, "what rope.*yarn_beta_fast does"),
    ("qwen3 yarn", {"rope.scaling.factor": -4.0}, {}, "rope.scaling.factor is '-4.0'"),
    ("qwen3", {}, {"rope_freqs.weight": np.array([1, 2, 4, 8], np.float32)}, "other than Llama 3"),
    ("qwen3", {"rope.freq_base": 1e6},
     {"rope_freqs.weight": np.array([1, 1, 1, np.inf], np.float32)}, "other than Llama 3"),
    ("qwen3", {"rope.dimension_count": "--8"}, {}, "rope.dimension_count is '--8'"),
    ("phi3 long", {}, {"rope_factors_long.weight": np.ones(2, np.float32)}, "holds no 3 factors"),
    ("phi3 long", {}, {"rope_factors_short.weight": None}, "RoPE short_factor is no list"),
    ("phi3 long", {}, {"rope_factors_long.weight": np.zeros(3, np.float32)}, "long_factor is no"),
    ("phi3 long", {"rope.scaling.type": "yarn"}, {}, "two RoPE scalings, yarn and longrope"),
    ("phi3", {"rope.dimension_count": 5}, {}, "5 of a head's 6 rows are rotated"),
    ("qwen3", {"rope.dimension_count": 4}, {}, "4 of a head's 8 rows .* a qwen3 cannot have"),
    ("qwen3_moe", {"expert_count": 7}, {}, r"inp.weight' is \[6, 24\], .* \[7, 24\]"),
    ("qwen3_moe", {"expert_count": None}, {}, "qwen3moe.expert_count is not there"),
    ("qwen3_moe", {"expert_count": 4_000_000_000}, {}, r"its keys say \[4000000000, 24\]"),
    ("qwen3_moe", {"expert_used_count": 0}, {}, "qwen3moe.expert_used_count is '0'"),
    ("qwen3_moe", {"expert_used_count": 7}, {}, "7 experts are to see a token, of 6"),
    ("qwen3_moe", {"expert_feed_forward_length": [16, 8, 8, 8]}, {}, "length is not there"),
    ("qwen3_moe", {}, {"blk.2.ffn_up_exps.weight": None}, "'blk.2.ffn_up_exps.weight' is missing"),
    ("qwen3_moe", {}, {"blk.2.ffn_up_exps.weight": EXPERTS[:, :8]}, r"is \[6, 8, 24\]"),
    ("qwen2_moe", {}, {"output.weight": None}, "stand for tie_word_embeddings True, and"),
    ("qwen3", {}, {f"blk.{n}.attn_{p}.bias": np.zeros(w, np.float32) for n in range(4)
                   for p, w in (("q", 32), ("k", 16), ("v", 16), ("output", 24))},
     "stand for attention_bias True"),
    ("gemma2", {}, {"output.weight": np.zeros((320, 24), np.float32)}, "no place for .*output"),
    ("gemma2", {"attn_logit_softcapping": None}, {}, "gemma2.attn_logit_softcapping is not there"),
    ("gemma2", {"attention.sliding_window": 0}, {}, "gemma2.attention.sliding_window is '0'"),
    ("qwen2", {"feed_forward_length": [20, 20, 20, 10]}, {}, "layers differ, and no 'deci'"),
    ("qwen2", {"attention.causal": False}, {}, "its tokens see those behind them"),
    ("qwen2", {"attention.head_count": 4_000_000_000}, {}, r"its keys say \[24000000000, 24\]"),
]  # fmt: skip


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The GGUF file of a family, made once."""
    home = tmp_path_factory.mktemp("written")

    def made(name: str) -> Path:
        file = home / f"{name}.gguf"
        if not file.exists():
            export_gguf(folder_of(name, home / name), file, "f32")
        return file

    return made


@pytest.mark.parametrize(("name", "keys", "tensors", "cause"), BAD, ids=lambda each: str(each)[:40])
def test_what_does_not_fit_is_refused_in_one_line(
    tmp_path: Path,
    written: Callable[[str], Path],
    name: str,
    keys: dict[str, object],
    tensors: dict[str, np.ndarray | None],
    cause: str,
) -> None:
    file = rewritten(written(name), tmp_path / "m.gguf", keys, tensors)
    with pytest.raises(PrunescopeError, match=cause) as caught:
        convert(file, tmp_path / "out")
    assert isinstance(caught.value, ArchitectureError | CheckpointError)
    assert str(caught.value).startswith(f"{file}: ")
    assert "\n" not in str(caught.value)
    assert [path.name for path in tmp_path.iterdir()] == ["m.gguf"]


# --- tokenizers -------------------------------------------------------------------------------

TEXTS = [
    "In 1789, the  people's revolution\n\n began; don't panic! ünïcode 日本",
    "  leading and trailing  ",
    "a\tb  12345 I'LL <|endoftext|>x",
    "",
]
# As their models' own tokenizer.json have them.
_WORDS = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|"
_REST = r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"


@pytest.mark.parametrize(("name", "numbers"), [("llama-bpe", r"\p{N}{1,3}"), ("qwen2", r"\p{N}")])
def test_text_is_cut_as_before(tmp_path: Path, name: str, numbers: str) -> None:
    folder = folder_of("qwen3", tmp_path / "model")
    tokenizer = tiny_tokenizer()
    tokenizer.backend_tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(_WORDS + numbers + _REST), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.save_pretrained(folder)
    back = there_and_back(folder)
    fields = gguf.GGUFReader(tmp_path / "m.gguf").fields
    assert fields["tokenizer.ggml.pre"].contents() == name
    # As the file says, whatever AutoTokenizer has for a model of this type.
    before, after = (Tokenizer.from_file(str(f / "tokenizer.json")) for f in (folder, back))
    for text in TEXTS:
        assert after.encode(text).ids == before.encode(text).ids


@pytest.mark.parametrize("begins", [True, False])
@pytest.mark.parametrize("has_prefix", [True, False])
@pytest.mark.parametrize("name", ["gemma2", "mixtral"])
def test_sentencepieces_are_those_of_before(
    tmp_path: Path, name: str, has_prefix: bool, begins: bool
) -> None:
    folder = folder_of(name, tmp_path / "model", vocab_size=720)
    tokenizer = sentencepieces(has_prefix)
    if begins:
        tokenizer.backend_tokenizer.post_processor = processors.TemplateProcessing(
            single="<s> $A", special_tokens=[("<s>", 1)]
        )
    tokenizer.save_pretrained(folder)
    before, after = (AutoTokenizer.from_pretrained(f) for f in (folder, there_and_back(folder)))
    for text in TEXTS:
        ids = before(text)["input_ids"]
        assert after(text)["input_ids"] == ids
        assert after.decode(ids) == before.decode(ids)
    # None is behind the embedding's last row.
    assert len(after) == 720


def test_transformers_reads_the_tokenizers_of_which_it_has_the_kind_alone(tmp_path: Path) -> None:
    export_gguf(folder_of("qwen3", tmp_path / "model"), tmp_path / "ours.gguf")
    reader = gguf.GGUFReader(tmp_path / "ours.gguf")
    assert reader.fields["tokenizer.ggml.model"].contents() == "gpt2"
    target = tmp_path / "m.gguf"
    raw = (tmp_path / "ours.gguf").read_bytes()
    # A name as long, of llama.cpp's own.
    key = b"tokenizer.ggml.model" + b"\x08\0\0\0" + b"\x04" + bytes(7)
    assert raw.count(key + b"gpt2") == 1
    target.write_bytes(raw.replace(key + b"gpt2", key + b"rwkv"))
    with pytest.raises(CheckpointError, match="no usable tokenizer"):
        convert(target, tmp_path / "out")
    assert not (tmp_path / "out").exists()
