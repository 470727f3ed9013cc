"""Reading headers waits for nothing heavy."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.support.scripts import run_script
from tests.support.sparse import LlamaShape, llama_shapes, write_safetensors, write_torch_zip

HEAVY = {"torch", "transformers", "pandas", "numpy", "safetensors", "matplotlib", "gguf"}
SMALL = LlamaShape(2, 8, 12, 4, 2, 2, 10, tied=False)


@pytest.mark.parametrize(
    "script", ["analyze_pruning.py", "check_model_size.py"], ids=["analyze", "size"]
)
@pytest.mark.parametrize("more", [(), ("--json",)], ids=["table", "json"])
def test_analysis_imports_nothing_heavy(tmp_path: Path, script: str, more: tuple[str, ...]) -> None:
    write_safetensors(tmp_path / "a.safetensors", llama_shapes(SMALL))
    write_torch_zip(tmp_path / "b.bin", llama_shapes(SMALL, range(1), channels=3))

    done = run_script(
        script, "--original_model=a.safetensors", "--pruned_model=b.bin", *more,
        cwd=tmp_path, python=("-X", "importtime"),
    )  # fmt: skip

    assert done.returncode == 0
    # "import time:   self [us] | cumulative | module", one a line, indented by depth.
    lines = re.findall(r"^import time:.*\|\s*([\w.]+)$", done.stderr, re.MULTILINE)
    imported = {name.partition(".")[0] for name in lines}
    assert "prunescope" in imported
    assert imported & HEAVY == set()
    # Only the import report is on standard error.
    assert all(line.startswith("import time:") for line in done.stderr.splitlines())
