"""Reading headers waits for nothing heavy."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import gguf
import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from tests.support.ggufs import finish
from tests.support.scripts import environment, run_script
from tests.support.sparse import LlamaShape, llama_shapes, write_safetensors, write_torch_zip

HEAVY = {"torch", "transformers", "pandas", "numpy", "safetensors", "matplotlib", "gguf"}
SMALL = LlamaShape(2, 8, 12, 4, 2, 2, 10, tied=False)


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A safetensors file, and the same model pruned, in a torch file, quantised, and as a GGUF."""
    folder = tmp_path_factory.mktemp("models")
    write_safetensors(folder / "a.safetensors", llama_shapes(SMALL))
    pruned = llama_shapes(SMALL, range(1), channels=3)
    write_torch_zip(folder / "b.bin", pruned)
    state = {}
    for name, shape in pruned.items():
        state[name] = torch.zeros(shape, dtype=torch.float8_e4m3fn)
        state[f"{name}_scale"] = torch.ones(1)
    save_file(state, folder / "d.safetensors")
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.LLAMA, SMALL.layers)
    writer = gguf.GGUFWriter(folder / "c.gguf", "llama")
    for name, shape in pruned.items():
        stem = names.get_name(name.removesuffix(".weight"))
        writer.add_tensor(f"{stem}.weight", np.zeros(shape, np.float32))
    finish(writer)
    return folder


@pytest.mark.parametrize(
    "script", ["analyze_pruning.py", "check_model_size.py"], ids=["analyze", "size"]
)
@pytest.mark.parametrize("more", [(), ("--json",)], ids=["table", "json"])
@pytest.mark.parametrize("pruned", ["b.bin", "c.gguf", "d.safetensors"])
def test_analysis_imports_nothing_heavy(
    models: Path, script: str, more: tuple[str, ...], pruned: str
) -> None:
    done = run_script(
        script, "--original_model=a.safetensors", f"--pruned_model={pruned}", *more,
        cwd=models, python=("-X", "importtime"),
    )  # fmt: skip

    assert done.returncode == 0
    # "import time:   self [us] | cumulative | module", one a line, indented by depth.
    lines = re.findall(r"^import time:.*\|\s*([\w.]+)$", done.stderr, re.MULTILINE)
    imported = {name.partition(".")[0] for name in lines}
    assert "prunescope" in imported
    assert imported & HEAVY == set()
    # Sizes are told without a table of families, which take long to build.
    knows_families = any(name.startswith("prunescope.architecture") for name in lines)
    assert knows_families == (script == "analyze_pruning.py")
    # Only the import report is on standard error.
    assert all(line.startswith("import time:") for line in done.stderr.splitlines())


def test_costs_and_the_list_of_commands_import_nothing_heavy(models: Path) -> None:
    script = (
        "import sys; from prunescope.cli.main import main\n"
        "sys.argv = ['prunescope', *sys.argv[1:]]\n"
        "try: main()\n"
        f"finally: print({HEAVY!r} & set(sys.modules))"
    )
    for arguments in (["cost", "a.safetensors", "b.bin", "--json"], ["--help"]):
        done = subprocess.run(
            [sys.executable, "-c", script, *arguments],
            cwd=models, env=environment(), capture_output=True, encoding="utf-8", check=False,
        )  # fmt: skip
        assert done.stdout.endswith("set()\n"), arguments


def test_what_is_piped_is_printed_without_rich(models: Path) -> None:
    script = (
        "import sys; from prunescope.cli.main import main\n"
        "sys.argv = ['prunescope', *sys.argv[1:]]\n"
        "try: main()\n"
        "finally: print({'rich.console', 'rich.table'} & set(sys.modules), file=sys.stderr)"
    )
    pair = ("a.safetensors", "b.bin")
    for arguments in ((), ("analyze", *pair), ("size", *pair, "--markdown"), ("cost", *pair)):
        done = subprocess.run(
            [sys.executable, "-c", script, *arguments],
            cwd=models, env=environment(), capture_output=True, encoding="utf-8", check=False,
        )  # fmt: skip
        assert done.stderr == "set()\n", arguments
