"""The broken files that the guide walks through, each made of the real pruned SmolLM2."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
from safetensors.torch import load_file

from tests.e2e.conftest import Example
from tests.e2e.test_documents import ORIGINAL, PRUNED, blocks
from tests.support import faults
from tests.support.faults import Fault, misdescribe, spoil
from tests.support.scripts import ROOT, environment

# One worker makes the example and looks at it.
pytestmark = pytest.mark.xdist_group("example")
GUIDES = {
    "en": ROOT / "docs" / "PRUNING_ANALYSIS_GUIDE.en.md",
    "zh": ROOT / "docs" / "PRUNING_ANALYSIS_GUIDE.md",
}
# Name → what was done, and which command tells, with its exit code.
FAULTS: dict[str, tuple[Fault | None, dict[str, int]]] = {
    "mispaired": (faults.mispaired, {"verify": 0, "trace": 1}),
    "uncut": (faults.uncut_columns, {"verify": 1, "trace": 1}),
    "other": (faults.other_columns, {"verify": 0, "trace": 1}),
    "config": (None, {"verify": 1}),
    "layer": (faults.another_layer, {"verify": 1}),
    "nan": (faults.not_a_number, {"verify": 1, "trace": 1}),
}
OPTIONS = {"layer": ["--layers=3:27"], "nan": ["--weights"]}


@pytest.fixture
def broken(example: Example) -> Iterator[Path]:
    yield example.folder / "broken"
    # Half a gigabyte each.
    shutil.rmtree(example.folder / "broken")


def output(command: str, folder: Path, name: str, language: str, code: int) -> str:
    options = OPTIONS.get(name, []) if command == "verify" else []
    done = subprocess.run(
        [sys.executable, "-m", "prunescope", command, ORIGINAL, f"broken/{name}", *options,
         "--quiet", f"--lang={language}"],
        cwd=folder, env=environment(), capture_output=True, encoding="utf-8", check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (code, "")
    return done.stdout


@pytest.mark.parametrize("name", FAULTS)
def test_the_guide_shows_what_is_printed(example: Example, broken: Path, name: str) -> None:
    fault, commands = FAULTS[name]
    source = example.folder / PRUNED
    make = misdescribe
    if fault is not None:
        original = load_file(example.folder / ORIGINAL / "model.safetensors")
        make = partial(spoil, original, fault=fault)
    make(source=source, target=broken / name)
    shown = 0
    for command, code in commands.items():
        for language, guide in GUIDES.items():
            printed = output(command, example.folder, name, language, code).splitlines()
            found = blocks(guide.read_text("utf-8"), f"output of {command}, {name}, {language}")
            shown += len(found)
            for line in "".join(found).splitlines():
                # An ellipsis stands for lines left out, the others come in their order.
                if line.strip() != "…":
                    printed = printed[printed.index(line) + 1 :]
    # Each is shown in both languages, by at least one command.
    assert shown in (2, 4)


def test_the_same_faults_are_shown_in_both_languages() -> None:
    texts = [guide.read_text("utf-8") for guide in GUIDES.values()]
    for name, (_, commands) in FAULTS.items():
        for command in commands:
            counts = [
                len(blocks(text, f"output of {command}, {name}, {language}"))
                for text, language in zip(texts, GUIDES, strict=True)
            ]
            assert counts[0] == counts[1], (name, command)
