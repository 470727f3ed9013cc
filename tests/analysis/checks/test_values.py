"""NaN, infinity, and rows of zeros are counted as torch counts them, in every float format."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed.checkpoint as dcp
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file

from prunescope.analysis.checks import Check, values
from prunescope.analysis.checks.values import tensors_read, value_checks
from prunescope.architecture import describe
from prunescope.checkpoint import open_checkpoint, runs
from tests.support.tiny import tiny_folder, tiny_network

NAME = "model.layers.0.mlp.up_proj.weight"
SPECIAL = (float("nan"), float("inf"), float("-inf"))
DTYPES = (torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.float8_e5m2,
          torch.float8_e4m3fn, torch.float8_e5m2fnuz, torch.float8_e4m3fnuz)  # fmt: skip


def judge(path: Path) -> tuple[Check, Check]:
    ticks: list[None] = []
    model = describe(open_checkpoint(path))
    finite, zeros = value_checks(model, lambda: ticks.append(None))
    assert len(ticks) == tensors_read(model)
    return finite, zeros


def found_in(tensor: torch.Tensor, path: Path) -> dict[str, int]:
    """What is found in a file of this one tensor."""
    save_file({NAME: tensor.contiguous()}, path)
    finite, zeros = judge(path)
    return {
        key: int(value)
        for check in (finite, zeros)
        for one in check.findings
        for key, value in one.values.items()
        if key != "tensor"
    }


def as_torch_counts(tensor: torch.Tensor) -> dict[str, int]:
    """The same, from torch's own arithmetic."""
    wide = tensor.double()
    nan, infinite = int(wide.isnan().sum()), int(wide.isinf().sum())
    rows, columns = ((wide == 0).all(dim=axis).sum().item() for axis in (1, 0))
    counts = {"nan": nan, "infinite": infinite} if nan or infinite else {}
    return counts | ({"rows": rows, "columns": columns} if rows or columns else {})


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_every_word_of_a_format_is_judged_as_torch_judges_it(
    tmp_path: Path, dtype: torch.dtype
) -> None:
    if dtype.itemsize > 2:
        bits = torch.randn(64, 64, dtype=dtype)
        bits[3, :3] = torch.tensor(SPECIAL)
        bits[5], bits[:, 9] = 0.0, -0.0
    else:
        words = {1: (torch.uint8, (16, 16)), 2: (torch.int16, (256, 256))}
        kind, shape = words[dtype.itemsize]
        bits = torch.arange(256**dtype.itemsize).to(kind).view(dtype).view(shape)
    expected = as_torch_counts(bits)
    assert found_in(bits, tmp_path / "x.safetensors") == expected
    assert expected["nan"]


@settings(max_examples=60, deadline=None)
@given(data=st.data(), block=st.sampled_from([4, 8, 64, 1 << 20]), run=st.sampled_from([4, 64]))
def test_blocks_and_runs_of_any_size_give_the_same(
    tmp_path_factory: pytest.TempPathFactory, data: Any, block: int, run: int
) -> None:
    rows, width = data.draw(st.integers(1, 9)), data.draw(st.integers(1, 9))
    number = st.sampled_from([0.0, -0.0, 0.0, 1.0, *SPECIAL])
    flat = data.draw(st.lists(number, min_size=rows * width, max_size=rows * width))
    tensor = torch.tensor(flat).view(rows, width)
    path = tmp_path_factory.mktemp("x") / "x.safetensors"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(values, "_BLOCK", block)
        patch.setattr(runs, "MAX_RUN", run)
        assert found_in(tensor, path) == as_torch_counts(tensor)


def test_layers_that_are_alike_become_one_finding(tmp_path: Path) -> None:
    network = tiny_network()
    with torch.no_grad():
        for layer in network.model.layers[1:3]:
            layer.mlp.down_proj.weight[:, 5] = 0
            layer.self_attn.q_proj.weight[0, 0] = float("nan")
        # Norms may have zeros, and tokens that were never seen a row of them.
        network.model.embed_tokens.weight[7] = 0
        network.model.norm.weight[0] = 0
    finite, zeros = judge(tiny_folder(tmp_path, network))
    assert (finite.verdict, zeros.verdict) == ("fail", "warn")
    assert [(one.layers, one.values) for one in (*finite.findings, *zeros.findings)] == [
        ((1, 2), {"tensor": "self_attn.q_proj.weight", "nan": 1, "infinite": 0}),
        ((1, 2), {"tensor": "mlp.down_proj.weight", "rows": 0, "columns": 1}),
    ]


def test_strided_and_tied_tensors_are_read_once_and_in_their_own_shape(tmp_path: Path) -> None:
    weight = torch.ones(6, 4)
    weight[2] = 0
    head = torch.ones(9, 4)
    head[0, 0] = float("inf")
    state = {NAME: weight.t(), "model.embed_tokens.weight": head, "lm_head.weight": head}
    torch.save(state, tmp_path / "x.bin")
    finite, zeros = judge(tmp_path / "x.bin")
    assert [one.values for one in finite.findings] == [
        {"tensor": "model.embed_tokens.weight", "nan": 0, "infinite": 1}
    ]
    assert [one.values for one in zeros.findings] == [
        {"tensor": "mlp.up_proj.weight", "rows": 0, "columns": 1}
    ]


def test_what_is_not_stored_as_floats_is_said_not_to_be_read(tmp_path: Path) -> None:
    save_file({NAME: torch.zeros(4, 4, dtype=torch.int8)}, tmp_path / "x.safetensors")
    for check in judge(tmp_path / "x.safetensors"):
        assert check.verdict == "skip"
        assert [(one.code, one.values) for one in check.findings] == [("not_floats", {"n": 1})]


def test_the_pieces_of_a_distributed_checkpoint_are_read(tmp_path: Path) -> None:
    weight = torch.ones(6, 4)
    weight[2], weight[0, 0] = 0, float("inf")
    dcp.save({NAME: weight}, checkpoint_id=tmp_path, no_dist=True)
    finite, zeros = judge(tmp_path)
    assert finite.findings[0].values["infinite"] == 1
    assert zeros.findings[0].values["rows"] == 1
