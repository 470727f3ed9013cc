"""What reaches a remote place comes with an extra; without it, one line says what to install."""

from __future__ import annotations

from typing import Any

import pytest

from prunescope import extras
from prunescope.checkpoint.places import locate
from prunescope.errors import CheckpointError, MissingExtra


@pytest.mark.parametrize(
    ("package", "address"),
    [
        ("huggingface_hub", "hf://org/small"),
        ("requests", "https://127.0.0.1:9/model.safetensors"),
        ("fsspec", "memory://bucket"),
    ],
)
def test_without_the_extra_one_line_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, package: str, address: str
) -> None:
    real = extras.import_module

    def missing(name: str) -> Any:
        if name.partition(".")[0] in ("huggingface_hub", package):
            raise ModuleNotFoundError(name=name.partition(".")[0])
        return real(name)

    monkeypatch.setattr(extras, "import_module", missing)
    expected = rf"^{package} is not installed: run  pip install 'prunescope\[remote\]'$"
    with pytest.raises(MissingExtra, match=expected):
        locate(address)
    with pytest.raises(CheckpointError, match=r"no such file or directory; .*prunescope\[remote\]"):
        locate("org/small")
