"""What does a fuzzer start from? Small files that each format's own writer made."""

from __future__ import annotations

import json
import pickle
from io import BytesIO
from pathlib import Path

import pytest
import torch
from safetensors.torch import save
from tests.support.torchao import made

STATE = {
    "model.layers.0.mlp.up_proj.weight": torch.arange(6.0).reshape(2, 3),
    "b": torch.ones(2).half(),
}


def write_seeds(name: str, folder: Path) -> None:
    """Write the seeds of the target `name` into `folder`."""
    makers = {
        "safetensors": _safetensors,
        "torch-zip": _torch_zip,
        "torch-legacy": _torch_legacy,
        "GGUF": _gguf,
        "pickle": _pickles,
        "scan": lambda: [*_pickles(), *_torch_zip(), *_torch_legacy(), *_safetensors()],
        "index": _indexes,
        "distributed": _distributed,
    }
    for number, seed in enumerate(makers[name]()):
        (folder / f"seed-{number}").write_bytes(seed)


def _safetensors() -> list[bytes]:
    tied = STATE | {"f8": torch.ones(3).to(torch.float8_e4m3fn), "empty": torch.ones(0, 3)}
    return [save(STATE), save(tied, {"format": "pt"}), save({})]


def _saved(value: object, **options: bool) -> bytes:
    stream = BytesIO()
    torch.save(value, stream, **options)
    return stream.getvalue()


def _values() -> list[object]:
    module = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.LayerNorm(3))
    tied = torch.ones(2, 2)
    return [
        STATE,
        {"state_dict": STATE, "optimizer": {"step": 1}},
        {"model": module},
        module,
        {"a": tied, "b": tied, "c": tied.t()},
        {"p": torch.nn.Parameter(torch.ones(2))},
    ]


def _torch_zip() -> list[bytes]:
    with pytest.MonkeyPatch.context() as patch:
        shape = (2, 4)
        packed = made(
            patch,
            "torchao.quantization.Int8Tensor",
            shape,
            qdata=torch.zeros(shape, dtype=torch.int8),
            scale=torch.ones(2, 1),
            block_size=[1, 4],
        )
        return [_saved(value) for value in (*_values(), {"weight": packed})]


def _torch_legacy() -> list[bytes]:
    return [_saved(value, _use_new_zipfile_serialization=False) for value in _values()]


def _gguf() -> list[bytes]:
    import tempfile

    import gguf
    import numpy as np

    seeds = []
    for types in ((gguf.GGMLQuantizationType.F32,), (gguf.GGMLQuantizationType.Q8_0,)):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "seed.gguf"
            writer = gguf.GGUFWriter(path, "llama")
            writer.add_block_count(1)
            writer.add_head_count([2])
            writer.add_token_list(["a", "b"])
            for kind in types:
                data = np.ones((2, 32), np.float32)
                packed = data if kind.name == "F32" else gguf.quants.quantize(data, kind)
                writer.add_tensor(f"blk.0.{kind.name}.weight", packed, raw_dtype=kind)
            writer.write_header_to_file()
            writer.write_kv_data_to_file()
            writer.write_tensors_to_file()
            writer.close()
            seeds.append(path.read_bytes())
    return seeds


def _pickles() -> list[bytes]:
    values: list[object] = [{"a": [1, (2.5, None)]}, {1, 2}, "text", 2**100, {"k": b"bytes"}]
    return [pickle.dumps(value, protocol) for value in values for protocol in range(6)]


def _indexes() -> list[bytes]:
    names = {"a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"}
    return [json.dumps({"metadata": {"total_size": 1}, "weight_map": names}).encode()]


def _distributed() -> list[bytes]:
    import tempfile

    import torch.distributed.checkpoint as dcp

    with tempfile.TemporaryDirectory() as folder:
        dcp.save({"model": STATE, "step": 3}, checkpoint_id=folder)
        return [(Path(folder) / ".metadata").read_bytes()]
