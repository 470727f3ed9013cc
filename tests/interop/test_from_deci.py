"""deci goes back to a Llama where it is one, and is refused in one line where it is none."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import gguf
import pytest
import torch
from safetensors.torch import load_file

import prunescope
from prunescope.checkpoint import open_checkpoint
from prunescope.errors import ArchitectureError, CheckpointError
from prunescope.interop.convert import convert
from prunescope.interop.formats import Format
from prunescope.interop.gguf_export import export_gguf
from tests.support.ggufs import add_tokenizer, tiny_weights, write_gguf
from tests.support.nemotron import BLOCKS, LINEAR_FFN, NO_FFN, WHOLE, llama_folder, nemotron_folder
from tests.support.pruning import described, plan, prune_tiny
from tests.support.uneven import TOKENS


@pytest.fixture(scope="module")
def pruned(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    llama_folder(folder / "base")
    prune_tiny(described(folder / "base"), plan()).save(folder / "pruned", "hf")
    convert(folder / "pruned", folder / "deci", form="deci", is_uniform=True)
    return folder / "pruned"


def logits(folder: Path) -> torch.Tensor:
    with torch.no_grad():
        return prunescope.load(folder)(TOKENS).logits


def config(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "config.json").read_text())


def test_a_deci_folder_is_loaded_and_converted_back(pruned: Path, tmp_path: Path) -> None:
    deci = pruned.parent / "deci"
    # Padding leaves what the network computes as it is.
    torch.testing.assert_close(logits(deci), logits(pruned))
    done = convert(deci, tmp_path / "hf")
    assert (done.code, done.is_inferred) == ("layers", False)
    found = config(tmp_path / "hf")
    assert found["architectures"] == ["PrunedLlamaForCausalLM"]
    assert (found["num_key_value_heads"], found["intermediate_size"]) == (2, 512)
    assert found["per_layer_config"] == {n: {"intermediate_size": 256} for n in ("1", "2")}
    assert "block_configs" not in found
    assert not (tmp_path / "hf" / "configuration_deci.py").exists()
    torch.testing.assert_close(logits(tmp_path / "hf"), logits(pruned))
    before, after = (load_file(f / "model.safetensors") for f in (deci, tmp_path / "hf"))
    assert before.keys() == after.keys()
    assert all(torch.equal(after[name], before[name]) for name in before)
    # And forth again.
    convert(tmp_path / "hf", tmp_path / "again", form="deci")
    assert config(tmp_path / "again")["block_configs"] == config(deci)["block_configs"]


def test_nvidias_own_folder_is_a_llama_where_all_its_layers_are(tmp_path: Path) -> None:
    narrow = WHOLE | {"ffn": WHOLE["ffn"] | {"ffn_mult": 12.0}}
    nemotron_folder(tmp_path / "nas", (WHOLE, narrow, WHOLE, WHOLE))
    convert(tmp_path / "nas", tmp_path / "hf")
    assert config(tmp_path / "hf")["per_layer_config"] == {"1": {"intermediate_size": 256}}
    assert config(tmp_path / "hf")["head_dim"] == 8
    nemotron_folder(tmp_path / "even", (WHOLE,) * 4)
    convert(tmp_path / "even", tmp_path / "stock")
    stock = config(tmp_path / "stock")
    assert stock["architectures"] == ["LlamaForCausalLM"]
    assert not {"auto_map", "block_configs", "per_layer_config"} & stock.keys()


def test_as_deci_it_is_copied_whatever_it_has(tmp_path: Path) -> None:
    source = nemotron_folder(tmp_path / "nas")
    done = convert(source, tmp_path / "out", form="deci", shard_bytes=60_000)
    assert len(done.files) > 1
    assert config(tmp_path / "out") == config(source)
    tensors = open_checkpoint(tmp_path / "out").tensors
    assert tensors.keys() == open_checkpoint(source).tensors.keys()


def test_our_own_code_comes_along(pruned: Path, tmp_path: Path) -> None:
    convert(pruned.parent / "deci", tmp_path / "out", form="deci")
    assert (tmp_path / "out" / "configuration_deci.py").exists()


@pytest.mark.parametrize(
    ("blocks", "cause"),
    [
        (BLOCKS, "layer 1 has no attention"),
        ((WHOLE, *BLOCKS[2:], WHOLE), "layer 1 has a linear layer for its attention"),
        ((WHOLE, WHOLE, WHOLE, WHOLE | {"ffn": NO_FFN}), "layer 3 has no feed-forward"),
        ((WHOLE | {"ffn": LINEAR_FFN}, *[WHOLE] * 3), "layer 0 has a linear layer for its feed-fo"),
        (
            (WHOLE | {"attention": WHOLE["attention"] | {"num_sink_tokens": 4}}, *[WHOLE] * 3),
            "layer 0: num_sink_tokens is set",
        ),
        ((WHOLE | {"ffn": WHOLE["ffn"] | {"hidden_act": "gelu"}}, *[WHOLE] * 3),
         "layer 0: hidden_act is 'gelu'"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("form", ["hf", "bin", "llm_pruner"])
def test_what_no_llama_has_is_refused_in_one_line(
    tmp_path: Path, blocks: Any, cause: str, form: Format
) -> None:
    source = nemotron_folder(tmp_path / "nas", blocks)
    for act in (
        lambda: convert(source, tmp_path / "out", form=form),
        lambda: convert(source, tmp_path / "out", form="deci", is_uniform=True),
        lambda: prunescope.load(source),
        lambda: export_gguf(source, tmp_path / "m.gguf", "f32"),
    ):
        with pytest.raises(CheckpointError) as caught:
            act()
        assert str(caught.value).startswith(f"{source}: {cause}")
        assert "\n" not in str(caught.value)
    assert [path.name for path in tmp_path.iterdir()] == ["nas"]


@pytest.mark.parametrize(
    "changes",
    [{}, {"per_layer_config": {"0": {}}}, {"per_layer_config": [], "block_configs": "blocks"}],
    ids=str,
)
def test_blocks_that_are_not_there_are_refused(tmp_path: Path, changes: dict[str, Any]) -> None:
    source = nemotron_folder(tmp_path / "nas", **{"block_configs": None} | changes)
    with pytest.raises(CheckpointError, match="has no block_configs"):
        convert(source, tmp_path / "out")


def test_a_deci_gguf_becomes_the_folder_it_was(pruned: Path, tmp_path: Path) -> None:
    export_gguf(pruned, tmp_path / "m.gguf", "f32")
    assert open_checkpoint(tmp_path / "m.gguf").config["model_type"] == "deci"
    done = convert(tmp_path / "m.gguf", tmp_path / "hf")
    assert (done.is_dequantised, done.code, done.is_inferred) == (True, "layers", False)
    assert config(tmp_path / "hf")["per_layer_config"] == config(pruned)["per_layer_config"]
    before, after = (load_file(f / "model.safetensors") for f in (pruned, tmp_path / "hf"))
    assert before.keys() == after.keys()
    assert all(torch.equal(after[name], before[name]) for name in before)
    torch.testing.assert_close(logits(tmp_path / "hf"), logits(pruned))
    # What llama.cpp reads of a deci folder is what it reads of the Llama that it is.
    export_gguf(pruned.parent / "deci", tmp_path / "d.gguf", "f32")
    convert(tmp_path / "d.gguf", tmp_path / "padded")
    torch.testing.assert_close(logits(tmp_path / "padded"), logits(pruned))


@pytest.mark.parametrize(
    ("heads", "kv_heads", "cause"),
    [([4, 0], [2, 0], "layer 1 has no attention"), ([4, 4], [2, 0], "layer 1 has a linear layer")],
)
def test_a_deci_gguf_that_is_no_llama_is_refused(
    tmp_path: Path, heads: list[int], kv_heads: list[int], cause: str
) -> None:
    def counted(writer: gguf.GGUFWriter) -> None:
        add_tokenizer(writer)
        for key, counts in (("head_count", heads), ("head_count_kv", kv_heads)):
            del writer.kv_data[0][f"deci.attention.{key}"]
            writer.add_array(f"deci.attention.{key}", counts)

    write_gguf(tmp_path / "m.gguf", tiny_weights()[0], "deci", extra=counted)
    with pytest.raises(ArchitectureError, match=cause):
        convert(tmp_path / "m.gguf", tmp_path / "out")
    assert not (tmp_path / "out").exists()
