"""What `pip install .` installs works where there is no repository."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from zipfile import ZipFile

import pytest

import prunescope
from tests.support.scripts import ROOT, environment
from tests.support.sparse import LlamaShape, llama_shapes, write_safetensors

SMALL = LlamaShape(4, 8, 12, 4, 2, 2, 10, tied=False)


def pip(*arguments: str | Path) -> None:
    """Without a network: the tools that build are installed here."""
    done = subprocess.run(
        [sys.executable, "-m", "pip", *map(str, arguments), "--no-deps", "--no-index"],
        capture_output=True, text=True, env=environment(), check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    pip("wheel", ROOT, "--no-build-isolation", "--wheel-dir", folder)
    (built,) = folder.iterdir()
    return built


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("installed")
    pip("install", wheel, "--target", folder)
    return folder


def run(installed: Path, *command: str | Path, cwd: Path) -> str:
    """What a command prints that finds the installed package and no other."""
    done = subprocess.run(
        [*map(str, command)], cwd=cwd, env=environment(PYTHONPATH=str(installed)),
        capture_output=True, encoding="utf-8", check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def test_the_wheel_has_every_file_of_the_package_and_no_other(wheel: Path) -> None:
    source = ROOT / "src"
    wanted = {
        path.relative_to(source).as_posix()
        for path in (source / "prunescope").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    with ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}
        info = next(n for n in archive.namelist() if n.endswith(".dist-info/METADATA"))
        metadata = archive.read(info).decode()
    assert names == wanted
    # Some that are no modules, so that the rule above is known to speak of them.
    assert names >= {
        f"prunescope/{name}"
        for name in (
            "py.typed",
            "analysis/devices.json",
            "architecture/families/llama.json",
            "data/calibration.txt",
            "data/evaluation.txt",
            "interop/carried/modeling_prunescope.py",
        )
    }
    for place, suffix in (("templates", ".html"), ("vendor", ".js")):
        folder = f"prunescope/report/html/{place}/"
        assert any(n.startswith(folder) and n.endswith(suffix) for n in names), place
    assert "License-Expression: Apache-2.0" in metadata
    assert "# prunescope" in metadata
    # What everyone gets; all else is in extras.
    needed = [line for line in metadata.splitlines() if line.startswith("Requires-Dist: ")]
    assert [line for line in needed if "extra ==" not in line] == [
        "Requires-Dist: click>=8.1", "Requires-Dist: rich>=13.7"
    ]  # fmt: skip


def test_the_command_and_the_module_are_the_same(installed: Path, tmp_path: Path) -> None:
    where = "import prunescope; print(prunescope.__file__)"
    assert Path(run(installed, sys.executable, "-c", where, cwd=tmp_path).strip()) == (
        installed / "prunescope" / "__init__.py"
    )
    for program in ([installed / "bin" / "prunescope"], [sys.executable, "-m", "prunescope"]):
        version = run(installed, *program, "--version", cwd=tmp_path)
        assert version == f"prunescope, version {prunescope.__version__}\n"
        # The scripts of the repository's root are not installed: these are they.
        for command in ("prune", "size", "analyze"):
            text = run(installed, *program, command, "--help", cwd=tmp_path)
            assert f"Example: prunescope {command} " in " ".join(text.split())


def test_it_measures_what_lies_anywhere(installed: Path, tmp_path: Path) -> None:
    write_safetensors(tmp_path / "a.safetensors", llama_shapes(SMALL))
    write_safetensors(tmp_path / "b.safetensors", llama_shapes(SMALL, range(1, 3), channels=3))
    arguments = ("analyze", "a.safetensors", "b.safetensors", "--json")
    found = json.loads(run(installed, installed / "bin" / "prunescope", *arguments, cwd=tmp_path))
    # Two layers have 3 of 12 channels less, each of them three rows or columns of 8.
    lost = found["parameters"]["original"] - found["parameters"]["pruned"]
    assert lost == 2 * 3 * 3 * 8
