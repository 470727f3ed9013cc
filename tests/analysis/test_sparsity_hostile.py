"""What cannot be counted is refused in one line that names file and cause."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import gguf
import pytest
import torch
from safetensors.torch import save_file

from prunescope.analysis.sparsity import sparsity
from prunescope.checkpoint import open_checkpoint
from prunescope.errors import ArchitectureError, CheckpointError
from tests.support.adapters import lora_config, save_adapter
from tests.support.ggufs import tiny_weights, write_gguf
from tests.support.quantised import by_hand, gptq, original
from tests.support.scripts import environment
from tests.support.web import FolderHandler, serve
from tests.support.zeros import DOWN, PREFIX, saved


def refusal(path: str | Path) -> str:
    with pytest.raises(CheckpointError) as caught:
        sparsity(open_checkpoint(path))
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_file_cut_off_after_its_header_was_read(tmp_path: Path) -> None:
    path = saved(tmp_path, {DOWN: torch.ones(64, 64)})
    checkpoint = open_checkpoint(path)
    with path.open("r+b") as stream:
        stream.truncate(path.stat().st_size - 1)
    with pytest.raises(CheckpointError, match=r"model\.safetensors: truncated inside tensor"):
        sparsity(checkpoint)


def test_quantised_weights_are_refused(tmp_path: Path) -> None:
    source = original(tmp_path / "source")
    packed = by_hand(
        source,
        tmp_path / "gptq",
        gptq(4, 32),
        {"quant_method": "gptq", "bits": 4, "group_size": 32},
    )
    assert "is stored in parts (GPTQ-4bit): take the model as it was before" in refusal(packed)
    state = {DOWN: torch.ones(16, 16).to(torch.float8_e4m3fn), f"{DOWN}_scale": torch.ones(1)}
    save_file(state, tmp_path / "fp8.safetensors")
    assert "is stored in parts" in refusal(tmp_path / "fp8.safetensors")


def test_ggml_blocks_are_refused_and_plain_types_of_a_gguf_are_not(tmp_path: Path) -> None:
    weights, _ = tiny_weights()
    blocks = write_gguf(tmp_path / "q.gguf", weights, kind=gguf.GGMLQuantizationType.Q8_0)
    assert "values of type Q8_0 cannot be counted" in refusal(blocks)
    plain = write_gguf(tmp_path / "f.gguf", weights, kind=gguf.GGMLQuantizationType.F16)
    assert sparsity(open_checkpoint(plain)).total.zeros.count == sum(
        int((w.astype("float16") == 0).sum()) for w in weights.values()
    )


def test_types_without_numbers_are_refused(tmp_path: Path) -> None:
    for dtype, name in ((torch.bool, "BOOL"), (torch.complex64, "C64")):
        path = saved(tmp_path, {DOWN: torch.ones(4, 4).to(dtype)})
        assert f"values of type {name} cannot be counted" in refusal(path)


def test_a_remote_model_has_to_be_downloaded(tmp_path: Path) -> None:
    saved(tmp_path, {DOWN: torch.ones(4, 4)})
    with serve(FolderHandler, tmp_path) as site:
        assert "download the model" in refusal(f"{site.url}/model.safetensors")


def test_strangers_are_read_by_their_names_and_adapters_refused(tmp_path: Path) -> None:
    found = sparsity(open_checkpoint(saved(tmp_path, {"transformer.w": torch.eye(2)})))
    assert [(role.title, zeros.zeros.count) for role, zeros in found.by_role().items()] == [
        ("transformer.w", 2)
    ]
    with pytest.raises(ArchitectureError, match="LoRA adapter"):
        sparsity(open_checkpoint(save_adapter(tmp_path / "adapter", lora_config())))


def test_without_numpy_one_line_says_what_to_install(tmp_path: Path) -> None:
    saved(tmp_path, {DOWN: torch.ones(4, 4), PREFIX + "mlp.up_proj.weight": torch.ones(4, 4)})
    script = (
        "import sys; sys.modules['numpy'] = None\n"
        "from prunescope.cli.main import main\n"
        "sys.argv = ['prunescope', 'sparsity', 'model.safetensors']\n"
        "main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, env=environment(), capture_output=True,
        encoding="utf-8", check=False,
    )  # fmt: skip
    assert done.returncode == 2
    assert done.stderr == (
        "error: numpy is not installed: run  pip install 'prunescope[weights]'\n"
    )


def test_a_model_of_buffers_alone_has_no_zeros(tmp_path: Path) -> None:
    buffer = "model.layers.0.self_attn.rotary_emb.inv_freq"
    save_file({buffer: torch.zeros(4)}, tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text('{"model_type": "llama"}')

    found = sparsity(open_checkpoint(tmp_path))

    assert (found.tensors, found.total.zeros.total, found.total.zeros.ratio) == ((), 0, 0)
