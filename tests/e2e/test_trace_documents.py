"""What the READMEs show of `prunescope trace` is what it prints of the example's model."""

from __future__ import annotations

import re
import subprocess
import sys

import click
import pytest

from prunescope.cli.trace import subcommand
from prunescope.report.messages import Messages
from tests.e2e.conftest import Example
from tests.e2e.test_documents import READMES, blocks, section, text_of
from tests.support.scripts import environment

# One worker makes the example and looks at it.
pytestmark = pytest.mark.xdist_group("example")


def without_units(line: str) -> str:
    """Which heads Taylor importance keeps depends on how a machine rounds."""
    return " ".join(re.sub(r"\d+(-\d+)?(, \d+(-\d+)?)* ✓", "✓", line).split())


@pytest.mark.parametrize("language", READMES)
def test_the_output_shown_is_the_output(example: Example, language: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "prunescope", "trace", "models/SmolLM2-135M-Instruct",
         "prune_log/llama_prune", "--lang", language],
        cwd=example.folder, env=environment(), capture_output=True, encoding="utf-8", check=True,
    )  # fmt: skip
    printed = [without_units(line) for line in done.stdout.splitlines()]
    (block,) = blocks(text_of(language), f"output of trace, {language}")
    position = 0
    for line in block.splitlines():
        if line.strip() != "…":
            position = printed.index(without_units(line), position) + 1


@pytest.mark.parametrize("language", READMES)
def test_every_option_is_documented(language: str) -> None:
    rows = re.findall(r"^\| `(--\w+)` \|", section(text_of(language), "prunescope trace"), re.M)
    options = [
        parameter.opts[0]
        for parameter in subcommand(Messages("en")).params
        if isinstance(parameter, click.Option)
    ]
    assert rows == options
