"""A machine or device that is too small is told of in one line."""

from __future__ import annotations

import click
import pytest
import torch

from prunescope.cli.run import run


def ended(error: Exception) -> int:
    def work() -> None:
        raise error

    with pytest.raises(SystemExit) as caught:
        run(lambda say: click.Command("work", callback=work), "en", [])
    return int(caught.value.code or 0)


def test_torchs_own_error_of_this_machine(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(RuntimeError) as caught:
        torch.empty(1 << 60)
    assert ended(caught.value) == 2
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert err.startswith("error: not enough memory: ")


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 16.00 GiB.\nmore"),
        RuntimeError("MPS backend out of memory (MPS allocated: 8.00 GB)"),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
        MemoryError(),
    ],
    ids=str,
)
def test_those_of_devices_and_of_python(
    error: Exception, capsys: pytest.CaptureFixture[str]
) -> None:
    assert ended(error) == 2
    cause = str(error).partition("\n")[0] or "MemoryError"
    assert capsys.readouterr().err == f"error: not enough memory: {cause}\n"


def test_what_is_our_own_fault_stays_a_traceback() -> None:
    def work() -> None:
        raise RuntimeError("another")

    with pytest.raises(RuntimeError, match="another"):
        run(lambda say: click.Command("work", callback=work), "en", [])
