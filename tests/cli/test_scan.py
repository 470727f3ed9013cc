"""`prunescope scan` as a user runs it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from tests.support.commands import prunescope
from tests.support.pickles import called, text
from tests.support.scripts import environment

GOLDEN = Path(__file__).parent / "golden"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One file of every kind; opcodes by hand where torch's versions differ."""
    folder = tmp_path_factory.mktemp("scan")
    torch.save({"w": torch.ones(2), "b": torch.ones(3)}, folder / "a_safe.bin")
    linear = b"ctorch.nn.modules.linear\nLinear\n)\x81"
    (folder / "b_code.bin").write_bytes(b"\x80\x02" + linear + linear + b"\x86.")
    (folder / "c_dangerous.bin").write_bytes(b"\x80\x02](cos\nsystem\n" + called("os", "popen"))
    (folder / "d_cut.bin").write_bytes(b"\x80\x02" + text("half"))
    (folder / "e_image.bin").write_bytes(b"\x89PNG\r\n\x1a\n")
    return folder


@pytest.mark.parametrize("language", ["zh", "en"])
def test_the_table_is_the_golden_one(folder: Path, language: str) -> None:
    done = prunescope("scan", ".", "--lang", language, cwd=folder)

    assert done.stderr == ""
    assert done.returncode == 1
    golden = (GOLDEN / f"scan.{language}.txt").read_text(encoding="utf-8")
    assert done.stdout == golden


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("a_safe.bin", 0),
        ("b_code.bin", 0),
        ("c_dangerous.bin", 1),
        ("d_cut.bin", 2),
        ("e_image.bin", 0),
        ("none.bin", 2),
    ],
)
@pytest.mark.parametrize("more", [(), ("--json",)])
def test_the_exit_code_says_the_verdict(
    folder: Path, name: str, code: int, more: tuple[str, ...]
) -> None:
    done = prunescope("scan", name, *more, cwd=folder)
    assert done.returncode == code
    assert done.stderr.count("\n") == (name == "none.bin")


def test_json_has_every_global_with_its_counts(folder: Path) -> None:
    found = json.loads(prunescope("scan", "c_dangerous.bin", "--json", cwd=folder).stdout)

    assert found == {
        "schema": "prunescope.scan/1",
        "files": [
            {
                "path": "c_dangerous.bin",
                "format": "pickle",
                "pickles": 1,
                "globals": [
                    {"module": "os", "name": name, "risk": "dangerous", "named": 1, "called": calls}
                    for name, calls in (("popen", 1), ("system", 0))
                ],
                "error": None,
            }
        ],
    }


def test_names_from_the_file_cannot_write_to_the_terminal(tmp_path: Path) -> None:
    (tmp_path / "x.pkl").write_bytes(called("evil\x1b[2J", "x\ry"))
    done = prunescope("scan", "x.pkl", cwd=tmp_path)
    assert done.returncode == 0
    assert "\x1b" not in done.stdout
    assert "evil\\x1b[2J.x\\ry" in done.stdout


def test_scanning_imports_nothing_heavy_and_runs_nothing(tmp_path: Path) -> None:
    torch.save({"model": nn.Linear(2, 2)}, tmp_path / "m.bin")
    trap = tmp_path / "trap.pkl"
    trap.write_bytes(called("os", "system", "touch made"))
    script = (
        "import sys; from prunescope.cli.main import main\n"
        "sys.argv = ['prunescope', 'scan', '.']\n"
        "try: main()\n"
        "finally: print({'torch', 'numpy', 'transformers'} & set(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=tmp_path,
        env=environment(),
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
    assert done.stdout.endswith("set()\n")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["m.bin", "trap.pkl"]


def test_help_has_an_example(tmp_path: Path) -> None:
    for language, word in (("zh", "示例:"), ("en", "Example:")):
        done = prunescope("scan", "--help", "--lang", language, cwd=tmp_path)
        assert (done.returncode, done.stderr) == (0, "")
        assert f"{word} prunescope scan " in " ".join(done.stdout.split())
