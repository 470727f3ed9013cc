"""The documentation site builds, strictly: commands and functions are there, links are whole."""

from __future__ import annotations

import subprocess
import sys
from html import unescape
from pathlib import Path

import prunescope
from prunescope.cli.main import COMMANDS
from tests.support.scripts import ROOT, environment


def test_the_site_builds_without_a_warning(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", f"--site-dir={tmp_path}"],
        cwd=ROOT, env=environment(NO_MKDOCS_2_WARNING="1"), capture_output=True, encoding="utf-8",
        check=False,
    )  # fmt: skip

    # Strict: a warning, such as a link that leads nowhere, is a failure.
    assert done.returncode == 0, done.stderr
    for name in COMMANDS:
        page = unescape((tmp_path / "commands" / f"{name}.html").read_text("utf-8"))
        # Help in both languages, with its example.
        assert f"Example:\n    prunescope {name}" in page
        assert f"示例:\n    prunescope {name}" in page
    python = (tmp_path / "python.html").read_text("utf-8")
    assert all(f"prunescope.{name}" in python for name in prunescope.__all__)
    pages = {path.relative_to(tmp_path).with_suffix(".md") for path in tmp_path.rglob("*.html")}
    assert {path.relative_to(ROOT) for path in (ROOT / "docs").glob("*.md")} <= pages
    assert (tmp_path / "docs" / "images" / "sparsity.png").is_file()
