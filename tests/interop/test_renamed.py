"""Llamas under Meta's and torchtune's names are read, compared and converted like transformers'."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import torch.distributed.checkpoint
from safetensors.torch import load_file
from torch import Tensor
from transformers import AutoModelForCausalLM

import prunescope
from prunescope.analysis.compare import compare
from prunescope.analysis.trace.run import trace
from prunescope.analysis.verify import verify
from prunescope.architecture import describe
from prunescope.checkpoint import open_checkpoint
from prunescope.errors import ArchitectureError, CheckpointError
from prunescope.interop.convert import convert
from tests.support.ggufs import tiny_weights, write_gguf
from tests.support.prune_command import call
from tests.support.pruning import described, plan, prune_tiny
from tests.support.tiny import tiny_folder

State = dict[str, Tensor]
# https://github.com/meta-llama/llama3, llama/model.py.
META = {
    "model.embed_tokens": "tok_embeddings", "model.norm": "norm", "lm_head": "output",
    "self_attn.q_proj": "attention.wq", "self_attn.k_proj": "attention.wk",
    "self_attn.v_proj": "attention.wv", "self_attn.o_proj": "attention.wo",
    "mlp.gate_proj": "feed_forward.w1", "mlp.down_proj": "feed_forward.w2",
    "mlp.up_proj": "feed_forward.w3", "input_layernorm": "attention_norm",
    "post_attention_layernorm": "ffn_norm",
}  # fmt: skip
# https://github.com/pytorch/torchtune, torchtune/models/convert_weights.py, `_FROM_META`.
TUNE = {
    "attention.wq": "attn.q_proj", "attention.wk": "attn.k_proj", "attention.wv": "attn.v_proj",
    "attention.wo": "attn.output_proj", "feed_forward": "mlp", "attention_norm.weight":
    "sa_norm.scale", "ffn_norm.weight": "mlp_norm.scale",
}  # fmt: skip
HEAD_DIM = 8
PARAMS = {"dim": 24, "n_layers": 4, "n_heads": 4, "n_kv_heads": 2, "head_dim": HEAD_DIM,
          "norm_eps": 1e-6, "rope_theta": 10000.0, "vocab_size": -1}  # fmt: skip


def meta(state: State) -> State:
    """By Meta's names; of each head row 2i is transformers' row i, 2i + 1 its row i of half two."""
    found = {}
    for name, tensor in state.items():
        for ours, theirs in META.items():
            name = name.replace(ours, theirs)
        if ".wq." in name or ".wk." in name:
            rows = [
                head + half * HEAD_DIM // 2 + at
                for head in range(0, len(tensor), HEAD_DIM)
                for at in range(HEAD_DIM // 2)
                for half in (0, 1)
            ]
            tensor = tensor[rows]
        found[name.removeprefix("model.")] = tensor
    return found


def torchtune(state: State) -> State:
    found = {}
    for name, tensor in meta(state).items():
        for old, new in TUNE.items():
            name = name.replace(old, new)
        found["norm.scale" if name == "norm.weight" else name] = tensor
    return found


SPELLINGS: dict[str, tuple[Callable[[State], State], str]] = {
    "Meta": (meta, "consolidated.00.pth"),
    "torchtune": (torchtune, "torchtune_model_0.pt"),
}


@pytest.fixture(params=SPELLINGS)
def project(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def respelt(source: Path, folder: Path, project: str, params: bool = True) -> Path:
    """The model in `source` as `project` saves one."""
    spell, file = SPELLINGS[project]
    folder.mkdir()
    state = spell(load_file(source / "model.safetensors"))
    torch.save({name: tensor.contiguous() for name, tensor in state.items()}, folder / file)
    if params:
        (folder / "params.json").write_text(json.dumps(PARAMS))
    return folder


@pytest.fixture
def pair(tmp_path: Path) -> tuple[Path, Path]:
    """A model of transformers, and a pruned one."""
    pruned = prune_tiny(described(tiny_folder(tmp_path / "m")), plan())
    pruned.save(tmp_path / "p", "hf")
    return tmp_path / "m", tmp_path / "p"


def test_it_is_compared_with_transformers_own(
    pair: tuple[Path, Path], tmp_path: Path, project: str
) -> None:
    theirs = [respelt(path, tmp_path / f"t{n}", project) for n, path in enumerate(pair)]
    opened = [open_checkpoint(path) for path in theirs]
    assert [describe(one).project for one in opened] == [project, project]
    expected = list(compare(*map(open_checkpoint, pair)).rows())
    assert list(compare(*opened).rows()) == expected
    # One model in transformers' names, the other in theirs.
    assert list(compare(open_checkpoint(pair[0]), opened[1]).rows()) == expected
    checks = {check.name: check for check in verify(opened[1], opened[0]).checks}
    for engine in ("transformers", "vllm", "llama.cpp"):
        assert "other_names" in {found.code for found in checks[engine].findings}


def test_its_rows_are_found_in_transformers_order(
    pair: tuple[Path, Path], tmp_path: Path, project: str
) -> None:
    pruned = respelt(pair[1], tmp_path / "t", project)
    found = trace(open_checkpoint(pair[0]), open_checkpoint(pruned))
    expected = trace(*map(open_checkpoint, pair))
    assert found.rows() == expected.rows()
    assert found.ok
    assert {member.drift for member in found.members} == {0.0}


def test_it_converts_to_transformers_own_bit_for_bit(
    pair: tuple[Path, Path], tmp_path: Path, project: str
) -> None:
    for number, path in enumerate(pair):
        theirs, target = respelt(path, tmp_path / f"t{number}", project), tmp_path / f"c{number}"
        convert(theirs, target)
        original, made = (load_file(p / "model.safetensors") for p in (path, target))
        assert made.keys() == original.keys()
        assert all(torch.equal(made[name], tensor) for name, tensor in original.items())
        networks = [
            AutoModelForCausalLM.from_pretrained(p, trust_remote_code=True) for p in (path, target)
        ]
        ids = torch.arange(1, 40)[None]
        with torch.no_grad():
            one, other = (network(ids).logits for network in networks)
        assert torch.equal(one, other)
    convert(tmp_path / "t1", tmp_path / "bin", form="bin")
    saved = torch.load(tmp_path / "bin" / "pytorch_model.bin")
    assert all(torch.equal(saved[name], tensor) for name, tensor in original.items())


def test_without_heads_it_is_compared_but_not_converted(
    pair: tuple[Path, Path], tmp_path: Path, project: str
) -> None:
    theirs = [respelt(p, tmp_path / f"t{n}", project, False) for n, p in enumerate(pair)]
    assert list(compare(*map(open_checkpoint, theirs)).rows())
    with pytest.raises(CheckpointError, match="say how many heads there are"):
        convert(theirs[0], tmp_path / "out")
    assert not (tmp_path / "out").exists()
    with pytest.raises(CheckpointError, match=r"Meta's order, and no config\.json or params\.json"):
        trace(*map(open_checkpoint, theirs))


def test_pruning_it_says_what_to_do_first(
    pair: tuple[Path, Path], tmp_path: Path, project: str, capsys: pytest.CaptureFixture[str]
) -> None:
    theirs = respelt(pair[0], tmp_path / "t", project)
    capsys.readouterr()
    assert call("--base_model", theirs, "--lang", "en") == 2
    said = capsys.readouterr().err
    assert f"its tensors have {project}'s names: run  prunescope convert" in said


def test_a_gguf_too_is_to_be_converted_first(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = write_gguf(tmp_path / "m.gguf", tiny_weights()[0])
    for measure in ("taylor", "l2"):
        assert call("--base_model", file, "--pruner_type", measure, "--lang", "en") == 2
        assert (
            f"m.gguf: is a GGUF: run  prunescope convert {file} FOLDER" in capsys.readouterr().err
        )
    with pytest.raises(ArchitectureError, match=r"is a GGUF: run  prunescope convert"):
        prunescope.load(file)


def test_a_head_that_is_not_there_is_the_embedding(tmp_path: Path, project: str) -> None:
    source = tiny_folder(tmp_path / "m", tie_word_embeddings=True)
    theirs = respelt(source, tmp_path / "t", project)
    (tied,) = [c for c in verify(open_checkpoint(theirs)).checks if c.name == "tied"]
    assert tied.verdict == "pass"
    convert(theirs, tmp_path / "out")
    assert AutoModelForCausalLM.from_pretrained(tmp_path / "out").config.tie_word_embeddings


def test_the_scaled_frequencies_of_llama_3_1_are_told(tmp_path: Path) -> None:
    theirs = respelt(tiny_folder(tmp_path / "m"), tmp_path / "t", "Meta")
    (theirs / "params.json").write_text(json.dumps(PARAMS | {"use_scaled_rope": True}))
    convert(theirs, tmp_path / "out")
    config = AutoModelForCausalLM.from_pretrained(tmp_path / "out").config
    told = config.rope_parameters
    assert (told["rope_type"], told["factor"], told["rope_theta"]) == ("llama3", 8.0, 10000.0)


@pytest.mark.parametrize(
    ("params", "length", "factor"),
    [
        ({"dim": 4096, "vocab_size": 128256}, 8192, None),
        ({"dim": 4096, "vocab_size": 128256, "use_scaled_rope": True}, 131072, 8.0),
        # Llama 3.2's 1B and 3B, whose own config.json have 32.
        ({"dim": 2048, "vocab_size": 128256, "use_scaled_rope": True}, 131072, 32.0),
        ({"dim": 3072, "vocab_size": 128256, "use_scaled_rope": True}, 131072, 32.0),
        ({"dim": 2048, "use_scaled_rope": True, "rope_scaling_factor": 4}, None, 4),
        ({"dim": 4096, "vocab_size": 32000}, None, None),
    ],
)
def test_what_a_release_does_not_write_down_is_known_of_it(
    tmp_path: Path, params: dict[str, object], length: int | None, factor: float | None
) -> None:
    folder = respelt(tiny_folder(tmp_path / "m"), tmp_path / "t", "Meta")
    (folder / "params.json").write_text(json.dumps({"n_layers": 4, "n_heads": 4} | params))
    config = open_checkpoint(folder).config
    assert config.get("max_position_embeddings") == length
    assert config.get("rope_scaling", {}).get("factor") == factor


@pytest.mark.parametrize("heads", [-4, 0, "4", True, 4.0, None, [4]])
def test_what_is_no_number_of_heads_is_none(tmp_path: Path, heads: object) -> None:
    folder = respelt(tiny_folder(tmp_path / "m"), tmp_path / "t", "Meta")
    (folder / "params.json").write_text(json.dumps(PARAMS | {"n_heads": heads}))
    assert "num_attention_heads" not in open_checkpoint(folder).config
    with pytest.raises(CheckpointError, match="say how many heads there are"):
        convert(folder, tmp_path / "out")


def test_mistrals_name_for_a_window_makes_a_mistral(tmp_path: Path) -> None:
    theirs = respelt(tiny_folder(tmp_path / "m"), tmp_path / "t", "Meta")
    (theirs / "params.json").write_text(json.dumps(PARAMS | {"sliding_window": 16}))
    convert(theirs, tmp_path / "out")
    config = AutoModelForCausalLM.from_pretrained(tmp_path / "out").config
    assert (config.model_type, config.sliding_window) == ("mistral", 16)


def test_params_that_are_no_models_are_not_taken_for_one(tmp_path: Path) -> None:
    folder = respelt(tiny_folder(tmp_path / "m"), tmp_path / "t", "Meta")
    (folder / "params.json").write_text('{"learning_rate": 1}')
    assert open_checkpoint(folder).config == {}
    (folder / "params.json").write_text("[1]")
    with pytest.raises(CheckpointError, match=r"params\.json: .*not a JSON object"):
        open_checkpoint(folder)


def test_no_other_family_takes_these_names_over() -> None:
    from prunescope.architecture import load_family
    from prunescope.architecture.tables import family_names

    having = {name for name in family_names() if load_family(name).names}
    assert having == {"llama", "qwen2"}
    for name in having:
        family = load_family(name)
        for names in family.names.values():
            for key in names.layer:
                assert family.find(f"{names.layer_prefix}3.{key}") is not None, key
            assert all(family.find(key) is not None for key in names.model)


def test_a_tensor_of_nobody_is_refused(tmp_path: Path) -> None:
    folder = respelt(tiny_folder(tmp_path / "m"), tmp_path / "t", "Meta")
    file = folder / "consolidated.00.pth"
    torch.save(torch.load(file) | {"layers.0.attention.wz.weight": torch.ones(2, 2)}, file)
    with pytest.raises(ArchitectureError, match=r"wz\.weight' of shape \[2, 2\] has no place"):
        convert(folder, tmp_path / "out")


@pytest.mark.parametrize("generation", ["Llama 1", "Llama 2"])
def test_the_frequencies_that_meta_saved_are_no_weights(tmp_path: Path, generation: str) -> None:
    # gguf-py/gguf/tensor_mapping.py of llama.cpp: `llama-pth` has them for the model or each layer.
    places = [f"layers.{n}.attention.inner_attention." for n in range(4)]
    freqs = {f"{p}rope.freqs": torch.ones(4) for p in places if generation == "Llama 1"}
    freqs |= {"rope.freqs": torch.ones(4)}
    source = tiny_folder(tmp_path / "m")
    plain = open_checkpoint(respelt(source, tmp_path / "p", "Meta"))
    folder = respelt(source, tmp_path / "t", "Meta")
    file = folder / "consolidated.00.pth"
    torch.save(torch.load(file) | freqs, file)

    found = compare(plain, open_checkpoint(folder))
    assert found.parameters.original == found.parameters.pruned == plain.parameters
    assert trace(plain, open_checkpoint(folder)).ok
    assert not any(c.verdict == "fail" for c in verify(open_checkpoint(folder), plain).checks)
    convert(folder, tmp_path / "out")
    made = load_file(tmp_path / "out" / "model.safetensors")
    assert made.keys() == load_file(tmp_path / "m" / "model.safetensors").keys()


@pytest.mark.parametrize("missing", ["tok_embeddings.weight", "layers.1.feed_forward.w1.weight"])
def test_what_its_config_is_told_by_has_to_be_there(tmp_path: Path, missing: str) -> None:
    folder = respelt(tiny_folder(tmp_path / "m"), tmp_path / "t", "Meta")
    file = folder / "consolidated.00.pth"
    torch.save({n: t for n, t in torch.load(file).items() if n != missing}, file)
    (folder / "config.json").write_text('{"num_attention_heads": 4, "hidden_size": 24}')

    with pytest.raises(CheckpointError, match=r"^[^\n]*: lacks its [^\n]*$"):
        convert(folder, tmp_path / "out")


def test_parts_for_several_devices_are_told_for_what_they_are(tmp_path: Path) -> None:
    folder = respelt(tiny_folder(tmp_path / "m"), tmp_path / "t", "Meta")
    state = torch.load(folder / "consolidated.00.pth")
    torch.save(state, folder / "consolidated.01.pth")
    with pytest.raises(CheckpointError, match="as Meta saves them for several devices"):
        open_checkpoint(folder)


def test_pieces_of_several_processes_are_renamed_too(tmp_path: Path) -> None:
    folder = respelt(tiny_folder(tmp_path / "m"), tmp_path / "t", "torchtune")
    (file,) = folder.glob("*.pt")
    state = torch.load(file)
    file.unlink()
    torch.distributed.checkpoint.save(state, checkpoint_id=folder, no_dist=True)
    convert(folder, tmp_path / "out")
    original, made = (load_file(tmp_path / n / "model.safetensors") for n in ("m", "out"))
    assert made.keys() == original.keys()
    assert all(torch.equal(made[name], tensor) for name, tensor in original.items())


def test_a_projection_without_rows_has_no_heads(tmp_path: Path) -> None:
    folder = respelt(tiny_folder(tmp_path / "m"), tmp_path / "meta", "Meta")
    file = folder / "consolidated.00.pth"
    torch.save(torch.load(file) | {"layers.1.attention.wq.weight": torch.zeros(0, 24)}, file)
    with pytest.raises(CheckpointError, match="0 rows are not whole heads of 8"):
        convert(folder, tmp_path / "new")
