"""Costs of Llama-3-8B and of its pruned copies, worked out by hand.

A layer has 4096·4096·2 + 1024·4096·2 + 3·14336·4096 = 218,103,808 weights in matrices; 32 of them
6,979,321,856. The head: 128,256·4096 = 525,336,576. Two FLOPs each: 13,958,643,712 and
1,050,673,152. Attention to 4096 keys: 32 layers · 4 · 4096 dimensions · 4096 keys = 2,147,483,648.
A token's cache: 2 · 32 layers · 8 heads · 128 · 2 bytes = 131,072.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from prunescope.analysis.cost import cost
from prunescope.analysis.cost_result import Cost
from prunescope.analysis.devices import Device, devices
from prunescope.analysis.workload import Workload
from prunescope.checkpoint import open_checkpoint
from prunescope.errors import ArchitectureError
from tests.support.ggufs import tiny_weights, write_gguf
from tests.support.sparse import LLAMA_3_8B, SMOLLM2, LlamaShape, llama_shapes, write_model
from tests.support.tiny import edit_json

LAYERS, HEAD, ATTENTION = 13_958_643_712, 1_050_673_152, 2_147_483_648
WEIGHTS, EMBEDDING = 16_060_522_496, 1_050_673_152
H200 = devices()["h200"]


@pytest.fixture(scope="module")
def llama(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(
        tmp_path_factory.mktemp("8b") / "model", LLAMA_3_8B, llama_shapes(LLAMA_3_8B)
    )


def of(path: Path, context: int = 4096, batch: int = 1, kv_dtype: str = "bf16") -> Cost:
    return cost(open_checkpoint(path), Workload(context, batch, kv_dtype))


def test_llama_3_8b(llama: Path) -> None:
    found = of(llama)

    assert found.weight_bytes == WEIGHTS
    assert found.read_bytes == WEIGHTS - EMBEDDING
    assert found.kv_bytes_per_token == 131_072
    assert found.kv_bytes == 131_072 * 4096 == 512 << 20
    assert (found.layer_flops, found.head_flops) == (LAYERS, HEAD)
    assert found.attention_flops == ATTENTION
    assert found.memory == WEIGHTS + (512 << 20)
    assert found.decode.flops == LAYERS + HEAD + ATTENTION
    assert found.decode.tokens == 1
    assert found.decode.nbytes == WEIGHTS - EMBEDDING + (512 << 20)
    # Logits are for the last token alone.
    assert found.prefill.flops == 4096 * (LAYERS + ATTENTION) + HEAD
    assert found.prefill.flops_per_token == LAYERS + ATTENTION + HEAD / 4096


@pytest.mark.parametrize(("dtype", "nbytes"), [("f32", 4), ("f16", 2), ("f8", 1), ("i8", 1)])
def test_the_caches_dtype(llama: Path, dtype: str, nbytes: int) -> None:
    assert of(llama, kv_dtype=dtype).kv_bytes_per_token == 65_536 * nbytes


def test_batch_and_context_multiply_the_cache_and_not_the_weights(llama: Path) -> None:
    found = of(llama, context=8192, batch=16)
    assert found.memory == WEIGHTS + 16 * 8192 * 131_072
    assert found.decode.flops == 16 * (LAYERS + HEAD + 2 * ATTENTION)
    assert found.decode.nbytes == WEIGHTS - EMBEDDING + 16 * 8192 * 131_072
    assert found.decode.tokens == 16
    assert found.prefill.tokens == 16 * 8192


def test_pruned_kv_heads_shrink_the_cache(tmp_path: Path) -> None:
    # 2 of 8 KV heads and 8 of 32 query heads, a quarter of the channels, in 27 layers.
    shapes = llama_shapes(LLAMA_3_8B, range(3, 30), q_rows=1024, kv_rows=256, channels=3584)
    found = of(write_model(tmp_path / "model", LLAMA_3_8B, shapes))

    assert found.kv_bytes_per_token == 131_072 - 27 * 2 * 256 * 2
    assert found.layer_flops == LAYERS - 27 * 2 * 54_525_952
    assert found.attention_flops == ATTENTION - 27 * 4 * 1024 * 4096
    assert found.model.parameters == 6_558_060_544


def test_pruned_query_heads_alone_leave_the_cache(tmp_path: Path) -> None:
    shapes = llama_shapes(LLAMA_3_8B, range(3, 30), q_rows=1024)
    found = of(write_model(tmp_path / "model", LLAMA_3_8B, shapes))
    assert found.kv_bytes_per_token == 131_072
    assert found.attention_flops == ATTENTION - 27 * 4 * 1024 * 4096


def test_a_removed_layer_costs_nothing(tmp_path: Path) -> None:
    shapes = llama_shapes(LLAMA_3_8B)
    kept = {n: s for n, s in shapes.items() if not n.startswith("model.layers.17.")}
    found = of(write_model(tmp_path / "model", LLAMA_3_8B, kept))
    assert found.kv_bytes_per_token == 131_072 * 31 // 32
    assert found.layer_flops == LAYERS * 31 // 32


def test_a_tied_embedding_is_the_head(tmp_path: Path) -> None:
    found = of(write_model(tmp_path / "model", SMOLLM2, llama_shapes(SMOLLM2)))
    assert found.head_flops == 2 * 49152 * 576
    # It is read for the logits: nothing is left out.
    assert found.read_bytes == found.weight_bytes == 2 * 134_515_008

    small = LlamaShape(1, 8, 12, 4, 2, 2, 10, tied=True)
    state = {name: torch.zeros(shape) for name, shape in llama_shapes(small).items()}
    state["lm_head.weight"] = state["model.embed_tokens.weight"]
    torch.save(state, tmp_path / "tied.bin")
    both = of(tmp_path / "tied.bin")
    assert both.head_flops == 2 * 10 * 8
    assert both.read_bytes == both.weight_bytes


def test_a_model_without_a_head_makes_no_logits(tmp_path: Path) -> None:
    shapes = llama_shapes(SMOLLM2)
    folder = write_model(tmp_path / "model", SMOLLM2, shapes)
    edit_json(folder / "config.json", {"tie_word_embeddings": False})
    found = of(folder)
    assert found.head_flops == 0
    assert found.read_bytes == found.weight_bytes - 2 * 49152 * 576


def test_a_sliding_window_bounds_attention_and_cache(llama: Path, tmp_path: Path) -> None:
    folder = write_model(tmp_path / "model", LLAMA_3_8B, llama_shapes(LLAMA_3_8B))
    edit_json(folder / "config.json", {"sliding_window": 1024})
    found = of(folder)
    assert found.kv_bytes == 1024 * 131_072
    assert found.kv_bytes_per_token == 131_072
    assert found.attention_flops == ATTENTION // 4

    kinds = ["sliding_attention"] * 24 + ["full_attention"] * 8
    edit_json(folder / "config.json", {"layer_types": kinds})
    assert of(folder).kv_bytes == (24 * 1024 + 8 * 4096) * 131_072 // 32
    edit_json(folder / "config.json", {"use_sliding_window": False})
    assert of(folder).kv_bytes == of(llama).kv_bytes
    edit_json(folder / "config.json", {"use_sliding_window": None, "sliding_window": "no"})
    assert of(folder).kv_bytes == of(llama).kv_bytes


def test_a_quantised_model_reads_fewer_bytes_for_the_same_arithmetic(tmp_path: Path) -> None:
    import gguf

    weights, _ = tiny_weights()
    plain = of(write_gguf(tmp_path / "f.gguf", weights))
    packed = of(write_gguf(tmp_path / "q.gguf", weights, kind=gguf.GGMLQuantizationType.Q8_0))
    assert packed.decode.flops == plain.decode.flops
    assert packed.kv_bytes == plain.kv_bytes
    assert packed.decode.nbytes < plain.decode.nbytes


def test_the_roofline(llama: Path) -> None:
    found = of(llama)
    device = Device(
        "half", bandwidth=1e9, flops=found.decode.intensity * 1e9, memory=None, source=None
    )
    # At the ridge both take as long.
    assert found.decode.seconds(device) == pytest.approx(found.decode.nbytes / 1e9)
    assert found.decode.bound(H200) == "memory"
    assert found.prefill.bound(H200) == "compute"
    assert found.decode.tokens_per_second(H200) == pytest.approx(4.8e12 / found.decode.nbytes)
    assert found.prefill.tokens_per_second(H200) == pytest.approx(
        989.5e12 / found.prefill.flops_per_token
    )


def test_every_device_says_where_its_figures_are_from() -> None:
    for name, device in devices().items():
        assert name == name.lower()
        assert device.title
        assert device.source is not None
        assert device.source.startswith("https://")
        assert device.memory is not None
        # Of one order, so that no unit is mixed up.
        assert 3e11 <= device.bandwidth <= 1e13
        assert 1e13 <= device.flops <= 1e16
        assert 20 << 30 <= device.memory <= 512 << 30
    assert Device(
        "NVIDIA H200 141 GB SXM", 4.8e12, 989.5e12, 141 << 30,
        "https://www.nvidia.com/en-us/data-center/h200/",
    ) == H200  # fmt: skip


def test_strangers_are_refused(tmp_path: Path) -> None:
    folder = write_model(tmp_path / "model", SMOLLM2, llama_shapes(SMOLLM2))
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"model_type": "rwkv"}))
    with pytest.raises(
        ArchitectureError, match="no table knows architecture 'rwkv': cost needs to know"
    ):
        of(folder)
