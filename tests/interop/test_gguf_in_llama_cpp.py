"""llama.cpp computes what transformers does, from a file of ours: logits, tokens and text."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import prunescope
from prunescope.interop.convert import convert
from prunescope.interop.gguf_export import export_gguf
from tests.interop.test_gguf_export import LLAMA3, pruned
from tests.support.elsewhere import run_elsewhere
from tests.support.gguf_families import CONFIGS, folder_of, halved
from tests.support.tiny import BIASES, sentencepieces, tiny_folder, tiny_tokenizer

llama_cpp = pytest.importorskip("llama_cpp", reason="make test-interop installs llama-cpp-python")
# Of the largest logit. Most models differ by 1e-6; of a table of float16 a step may be another.
CLOSE = 5e-4
TEXT = "In 1789, the  people's revolution\n\n began; don't panic! ünïcode"
ALONE = """
import numpy as np
from llama_cpp import Llama

engine = Llama(sys.argv[2], n_ctx=128, logits_all=True, verbose=False, n_threads=1)
ids = engine.tokenize(b"In 1789, the people's revolution", add_bos=False)
engine.eval(ids)
np.savez(sys.argv[1], ids=ids, logits=np.array(engine.scores[: len(ids)]))
engine.close()
assert "torch" not in sys.modules
"""
MODELS: dict[str, dict[str, Any]] = {
    "llama": {},
    "tied": {"tie_word_embeddings": True},
    "biases": BIASES,
    "llama 3": {"rope_parameters": LLAMA3},
    "mistral": {"family": "mistral"},
}


class LookedUp(torch.nn.Module):
    """GELU as llama.cpp has it on a CPU: a table of float16 (ggml-cpu/vec.h)."""

    def __init__(self, exact: torch.nn.Module) -> None:
        super().__init__()
        self.exact = exact

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        return self.exact(values.half().float()).half().float()


def logits_of(path: Path, ids: list[int]) -> np.ndarray:
    engine = llama_cpp.Llama(
        str(path),
        n_ctx=128,
        logits_all=True,
        verbose=False,
        n_threads=1,
        type_k=llama_cpp.GGML_TYPE_F32,
        type_v=llama_cpp.GGML_TYPE_F32,
    )
    try:
        engine.eval(ids)
        return np.array(engine.scores[: len(ids)])
    finally:
        engine.close()


def error_of(folder: Path, target: Path, ids: list[int]) -> float:
    """The largest difference between the two engines' logits, over the largest logit."""
    export_gguf(folder, target, "f32")
    network = prunescope.load(folder)
    # The other implementations leave out that scores are capped.
    network.set_attn_implementation("eager")
    if network.config.model_type == "gemma2":
        for layer in network.model.layers:
            layer.mlp.act_fn = LookedUp(layer.mlp.act_fn)
    with torch.no_grad():
        wanted = network(torch.tensor([ids])).logits[0].numpy()
    found = logits_of(target, ids)
    return float(np.abs(found - wanted).max() / np.abs(wanted).max())


@pytest.mark.parametrize("name", MODELS)
def test_layers_that_differ_err_no_more_than_layers_that_do_not(tmp_path: Path, name: str) -> None:
    ids = tiny_tokenizer()(TEXT)["input_ids"][:60]
    control = error_of(tiny_folder(tmp_path / "even", **MODELS[name]), tmp_path / "even.gguf", ids)
    found = error_of(pruned(tmp_path, **MODELS[name]), tmp_path / "pruned.gguf", ids)
    # With keys and values in float32, too, what is left is the order of sums; forgetting the order
    # of q and k alone would make it 0.3 and more.
    assert control < CLOSE
    assert found < CLOSE


@pytest.mark.parametrize("name", CONFIGS)
def test_each_family_is_computed_as_transformers_does(tmp_path: Path, name: str) -> None:
    ids = tiny_tokenizer()(TEXT)["input_ids"][:60]
    whole = folder_of(name, tmp_path / "whole")
    assert error_of(whole, tmp_path / "whole.gguf", ids) < CLOSE
    if name == "phi3 partly rotated":
        return
    # Where heads have gone, transformers' Phi3Config refuses frequencies that are scaled, and
    # llama.cpp's qwen2moe all.
    has_heads = name not in ("phi3 long", "qwen2_moe")
    for layers in ((0, 4), (1, 3)):
        folder = halved(whole, tmp_path / f"{layers}", *layers, has_heads)
        if layers == (1, 3) and name not in ("qwen2", "phi3", "phi3 long"):
            convert(folder, tmp_path / "padded", is_uniform=True)
            folder = tmp_path / "padded"
        assert error_of(folder, tmp_path / f"{layers}.gguf", ids) < CLOSE


def test_layers_that_differ_need_nothing_but_llama_cpp(tmp_path: Path) -> None:
    folder = pruned(tmp_path)
    export_gguf(folder, tmp_path / "m.gguf", "f32")
    run_elsewhere(ALONE, tmp_path / "found.npz", tmp_path / "m.gguf", home=tmp_path)
    found = np.load(tmp_path / "found.npz")
    assert (
        found["ids"].tolist() == tiny_tokenizer()("In 1789, the people's revolution")["input_ids"]
    )
    with torch.no_grad():
        wanted = prunescope.load(folder)(torch.from_numpy(found["ids"])[None]).logits[0].numpy()
    assert np.abs(found["logits"] - wanted).max() < 5e-3 * np.abs(wanted).max()


def test_greedy_tokens_are_the_same(tmp_path: Path) -> None:
    folder = pruned(tmp_path)
    export_gguf(folder, tmp_path / "m.gguf", "f32")
    ids = tiny_tokenizer()("The people")["input_ids"]
    network = prunescope.load(folder)
    wanted = network.generate(
        torch.tensor([ids]),
        do_sample=False,
        max_new_tokens=20,
        min_new_tokens=20,
        eos_token_id=None,
    )[0].tolist()
    engine = llama_cpp.Llama(str(tmp_path / "m.gguf"), n_ctx=128, verbose=False, n_threads=1)
    found = list(ids)
    for token in engine.generate(ids, temp=0.0, repeat_penalty=1.0):
        found.append(token)
        if len(found) == len(wanted):
            break
    engine.close()
    assert found == wanted


def test_text_is_cut_as_by_the_models_own_tokenizer(tmp_path: Path) -> None:
    export_gguf(tiny_folder(tmp_path / "model"), tmp_path / "m.gguf")
    engine = llama_cpp.Llama(str(tmp_path / "m.gguf"), vocab_only=True, verbose=False)
    found = engine.tokenize(TEXT.encode(), add_bos=False, special=False)
    engine.close()
    assert found == tiny_tokenizer()(TEXT)["input_ids"]


@pytest.mark.parametrize("has_prefix", [True, False])
def test_text_is_cut_as_by_sentencepiece(tmp_path: Path, has_prefix: bool) -> None:
    tokenizer = sentencepieces(has_prefix)
    folder = tiny_folder(tmp_path / "model", vocab_size=720)
    tokenizer.save_pretrained(folder)
    export_gguf(folder, tmp_path / "m.gguf")
    engine = llama_cpp.Llama(str(tmp_path / "m.gguf"), vocab_only=True, verbose=False)
    found = engine.tokenize(TEXT.encode(), add_bos=False, special=False)
    engine.close()
    assert found == tokenizer(TEXT, add_special_tokens=False)["input_ids"]
