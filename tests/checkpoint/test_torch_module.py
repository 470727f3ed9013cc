"""Whole pickled modules are read like their state dicts, and no class is imported."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from transformers import LlamaConfig

from prunescope.architecture import describe
from prunescope.checkpoint import Checkpoint, open_checkpoint, torch_module
from prunescope.checkpoint.weights import WeightMap
from prunescope.errors import CheckpointError
from tests.support.archives import with_pickle
from tests.support.pickles import TENSOR, module_of, text
from tests.support.scripts import environment
from tests.support.tensors import raw_bytes
from tests.support.tiny import SHAPE, tiny_network, tiny_tokenizer


@pytest.fixture(params=[True, False], ids=["zip", "legacy"])
def zipped(request: pytest.FixtureRequest) -> bool:
    """Which of torch's formats to write."""
    return bool(request.param)


def saved(folder: Path, value: object, zipped: bool = True) -> Checkpoint:
    path = folder / "pytorch_model.bin"
    torch.save(value, path, _use_new_zipfile_serialization=zipped)
    return open_checkpoint(path)


def check_equal(checkpoint: Checkpoint, state: dict[str, torch.Tensor]) -> None:
    """Names, order, shapes and bytes are torch's own."""
    assert list(checkpoint.tensors) == list(state)
    with WeightMap() as weights:
        for name, tensor in checkpoint.tensors.items():
            assert tensor.shape == tuple(state[name].shape), name
            assert bytes(weights.view(tensor)) == raw_bytes(state[name]), name


def pruned_network(**changes: Any) -> nn.Module:
    """A real model pruned in place as LLM-Pruner does: KV head 1 and 8 of 20 channels gone."""
    network = tiny_network(dtype=torch.bfloat16, **changes)
    for layer in network.model.layers[1:3]:
        attention, mlp = layer.self_attn, layer.mlp
        for linear, rows in ((attention.q_proj, 16), (attention.k_proj, 8), (attention.v_proj, 8)):
            linear.weight = nn.Parameter(linear.weight[:rows].clone())
            linear.out_features = rows
        attention.o_proj.weight = nn.Parameter(attention.o_proj.weight[:, :16].clone())
        for linear in (mlp.gate_proj, mlp.up_proj):
            linear.weight = nn.Parameter(linear.weight[:12].clone())
        mlp.down_proj.weight = nn.Parameter(mlp.down_proj.weight[:, :12].clone())
    return network


def test_what_llm_pruner_saves_is_a_model(tmp_path: Path, zipped: bool) -> None:
    network = pruned_network()
    original = sum(p.numel() for p in tiny_network().parameters())

    checkpoint = saved(tmp_path, {"model": network, "tokenizer": tiny_tokenizer()}, zipped)

    check_equal(checkpoint, network.state_dict())
    assert checkpoint.format == ("torch zip" if zipped else "torch legacy")
    # Two layers lose 16 rows of q and columns of o, 8 of k and v, and 8 channels of three, all
    # 24 wide.
    assert checkpoint.parameters == original - 2 * 24 * (2 * 16 + 2 * 8 + 3 * 8)
    assert checkpoint.metadata == {
        "prunescope.key": "model",
        "prunescope.class": "transformers.models.llama.modeling_llama.LlamaForCausalLM",
    }
    model = describe(checkpoint)
    assert model.family.name == "llama"
    assert len(model.layers) == 4


def test_the_config_in_the_pickle_is_that_of_the_model(tmp_path: Path, zipped: bool) -> None:
    network = pruned_network(rope_parameters={"rope_type": "default", "rope_theta": 7.0})
    network.config.dtype = torch.bfloat16

    config = saved(tmp_path, nn.DataParallel(network), zipped).config

    assert {name: config[name] for name in SHAPE} == SHAPE
    assert config["architectures"] == ["LlamaForCausalLM"]
    assert config["model_type"] == "llama"
    assert config["dtype"] == "bfloat16"
    assert config["rope_parameters"] == {"rope_type": "default", "rope_theta": 7.0}
    assert config["id2label"] == {"0": "LABEL_0", "1": "LABEL_1"}
    # transformers makes the same model of it.
    assert LlamaConfig(**config).to_diff_dict() == network.config.to_diff_dict() | {
        "architectures": ["LlamaForCausalLM"]
    }


def test_a_config_beside_the_file_goes_first(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "mine"}')
    config = saved(tmp_path, tiny_network()).config
    assert config["model_type"] == "mine"
    # The file's own config says what that one leaves out.
    assert config["hidden_size"] == 24


def test_tied_weights_are_one_storage(tmp_path: Path, zipped: bool) -> None:
    network = tiny_network(tie_word_embeddings=True)

    checkpoint = saved(tmp_path, network, zipped)

    assert checkpoint.shared == {"lm_head.weight": "model.embed_tokens.weight"}
    assert checkpoint.parameters == sum(p.numel() for p in network.parameters())


class Odd(nn.Module):
    """Buffers, a module under two names, and none where one could be."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(3, 2, bias=False)
        self.again = self.first
        self.none = None
        self.register_module("nothing", None)
        self.register_buffer("saved", torch.arange(3))
        self.register_buffer("unsaved", torch.arange(4), persistent=False)
        self.register_buffer("empty", None)
        self.norm = nn.BatchNorm1d(2)


def test_only_what_a_state_dict_has_is_read(tmp_path: Path, zipped: bool) -> None:
    module = Odd()
    checkpoint = saved(tmp_path, module, zipped)
    check_equal(checkpoint, module.state_dict())
    assert "unsaved" not in checkpoint.tensors
    assert checkpoint.shared == {"again.weight": "first.weight"}


def test_reading_a_whole_model_imports_none_of_its_classes(tmp_path: Path, zipped: bool) -> None:
    saved(tmp_path, {"model": pruned_network(), "tokenizer": tiny_tokenizer()}, zipped)
    script = (
        "import sys; from prunescope.checkpoint import open_checkpoint as o, formats;"
        "import prunescope.checkpoint.torch_zip, prunescope.checkpoint.torch_legacy;"
        f"before = set(sys.modules); n = len(o({str(tmp_path)!r}).tensors);"
        "print(n, sorted(set(sys.modules) - before))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], env=environment(), capture_output=True, text=True
    )
    assert (done.stdout, done.stderr) == ("39 []\n", "")


def hostile(folder: Path, pickle: bytes) -> Path:
    path = folder / "pytorch_model.bin"
    path.write_bytes(with_pickle(pickle))
    return path


def test_a_module_in_itself_is_refused(tmp_path: Path) -> None:
    inside = b"}q\x00" + text("child") + module_of(children=b"h\x00") + b"s"
    with pytest.raises(CheckpointError, match="nested over 64 deep, or in themselves"):
        open_checkpoint(hostile(tmp_path, module_of(children=inside) + b"."))


def test_a_module_twice_at_each_of_many_levels_ends_in_an_error(tmp_path: Path) -> None:
    levels = module_of(parameters=b"}" + text("w") + TENSOR + b"s") + b"q\x000"
    for level in range(60):
        child = b"h" + bytes([level])
        twice = b"}(" + text("a") + child + text("b") + child + b"u"
        levels += module_of(children=twice) + b"q" + bytes([level + 1]) + b"0"
    # Two to the power of 60 paths.
    with pytest.raises(CheckpointError, match="over 200000 modules"):
        open_checkpoint(hostile(tmp_path, levels + b"h\x3c."))


def test_long_names_are_counted_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    parameters = b"}(" + b"".join(text(f"p{n}") + b"h\x00" for n in range(100)) + b"u"
    leaf = TENSOR + b"q\x000" + module_of(parameters=parameters) + b"q\x010"
    children = b"}(" + b"".join(text(c * 3000) + b"h\x01" for c in "abc") + b"u"
    path = hostile(tmp_path, leaf + module_of(children=children) + b".")
    assert len(open_checkpoint(path).tensors) == 300
    monkeypatch.setattr(torch_module, "MAX_NAMES", 300_000)
    with pytest.raises(CheckpointError, match="more tensor names"):
        open_checkpoint(path)
    children = b"}" + text("a" * 5000) + b"h\x01s"
    with pytest.raises(CheckpointError, match="nested over 64"):
        open_checkpoint(hostile(tmp_path, leaf + module_of(children=children) + b"."))


def config_of(pairs: bytes) -> bytes:
    config = b"ctransformers.models.llama.configuration_llama\nLlamaConfig\n)\x81" + pairs + b"b"
    return module_of(b"}" + text("w") + TENSOR + b"s", more=text("config") + config) + b"."


def test_a_config_without_end_is_refused(tmp_path: Path) -> None:
    itself = b"}q\x00" + text("a") + b"h\x00s"
    wide = b"](" + b"N" * 10 + b"e"
    for level in range(10):
        wide += b"q" + bytes([level]) + b"0](" + (b"h" + bytes([level])) * 10 + b"e"
    for pairs in (b"}" + text("a") + itself + b"s", b"}" + text("a") + wide + b"s"):
        with pytest.raises(CheckpointError, match="config in the pickle is nested too deeply"):
            open_checkpoint(hostile(tmp_path, config_of(pairs)))


def test_objects_that_json_has_no_form_for_are_left_out(tmp_path: Path) -> None:
    pairs = (
        b"}("
        + (text("a") + b"K\x01" + text("b") + b"cos\nsystem\n" + text("c") + b"cos\nsystem\n)R")
        + (text("d") + b"C\x01x" + text("e") + b"F nan\n" + text("f") + b"(K\x01cos\nx\nNt")
        + (text("g") + b"ctorch\nfloat16\n" + text("_h") + b"K\x01" + b"K\x07N" + b"u")
    )
    config = open_checkpoint(hostile(tmp_path, config_of(pairs))).config
    assert config == {
        "a": 1,
        "f": [1, None],
        "g": "float16",
        "7": None,
        "model_type": "llama",
        "architectures": ["Module"],
    }
