"""Every code block of the documents is run by a test, or stands here with the reason why not.

Blocks that are run have a mark before them, a comment that readers do not see, or are named in RUN.
Commands of blocks that are not run are at least parsed: their options exist and have such values.
Of a document in two languages the English one is looked at; `test_twins` holds the other to it.
"""

from __future__ import annotations

import json
import re
import shlex
from dataclasses import dataclass

import click
import pytest

from prunescope.cli import analyze, prune, size
from prunescope.cli.main import group
from prunescope.report.messages import Messages
from tests.e2e.test_broken_files import FAULTS
from tests.e2e.test_documents import DOCUMENTS, OUTPUTS
from tests.e2e.test_excerpts import COMPUTED
from tests.e2e.test_twins import TWINS
from tests.support.scripts import ROOT

ENGLISH = [d for d in DOCUMENTS if ROOT / d not in TWINS.values()]
SCRIPTS = {
    "llama3.py": prune.script,
    "check_model_size.py": size.script,
    "analyze_pruning.py": analyze.script,
}
# Marks, and the tests that look for them.
OUTPUT_OF = {*OUTPUTS, "scan", *(f"analyze, {name}" for name in COMPUTED)} | {
    f"{command}, {name}" for name, (_, commands) in FAULTS.items() for command in commands
}
MARKS = re.compile(
    r"runnable|runnable on \S+|(lines|records|opcodes|bytes|entry) of \S+|"
    rf"output of ({'|'.join(map(re.escape, OUTPUT_OF))}), en"
)
# Document, the words under whose heading the blocks stand → which test runs them.
RUN = {
    ("docs/INTEROP.md", "*"): "tests/e2e/test_interop_document.py",
    ("README.md", "Two commands"): "tests/e2e/test_example_analysis.py; `make test` runs this",
    (
        "README.md",
        "`prunescope`",
    ): "tests/e2e/test_readme_commands.py; tests/cli/test_completion.py",
    ("README.md", "`prunescope report`"): "tests/e2e/test_readme_commands.py",
    ("CONTRIBUTING.md", "a model family"): "test_the_tables_shown_are_those_of_families, here",
}
_REAL = "the real Llama-3-8B; the same commands run on SmolLM2 in example_analysis.sh"
_MINUTES = "minutes on the real model; with tiny ones in tests/cli"
_LARGE = "files of up to 1.7 GB; small ones of each kind in tests/interop/test_convert_sources.py"
NOT_RUN = {
    ("CONTRIBUTING.md", "Commands"): "what `make lint` and `make test` run",
    ("README.md", "Install"): "asks a package registry; a wheel is installed in test_wheel.py",
    ("README.md", "The scripts"): _REAL,
    ("README.md", "`prunescope eval`"): _MINUTES,
    ("README.md", "`prunescope recover`"): _MINUTES,
    ("README.md", "Remote models"): "a hub; one on loopback in tests/cli/test_remote.py",
    ("README.md", "What pruning costs: measured"): "minutes: a benchmark, and what it printed",
    ("docs/ARCHITECTURE.md", "What flows through the house"): "a drawing",
    ("docs/ARCHITECTURE.md", "Axes live in spaces"): "a drawing",
    ("docs/MODEL_SAVE_STRUCTURE.en.md", "Pickles: scan first"): "a stranger's file",
    ("docs/MODEL_SAVE_STRUCTURE.en.md", "safetensors"): _LARGE,
    ("docs/MODEL_SAVE_STRUCTURE.en.md", "State dicts by torch.save"): _LARGE,
    ("docs/MODEL_SAVE_STRUCTURE.en.md", "Training checkpoints"): _LARGE,
    ("docs/MODEL_SAVE_STRUCTURE.en.md", "Whole pickled models: LLM-Pruner"): _LARGE,
    ("docs/MODEL_SAVE_STRUCTURE.en.md", "torch before 1.6"): _LARGE,
    ("docs/MODEL_SAVE_STRUCTURE.en.md", "torch.distributed checkpoints"): _LARGE,
    ("docs/MODEL_SAVE_STRUCTURE.en.md", "Quantised models"): _LARGE,
    ("docs/MODEL_SAVE_STRUCTURE.en.md", "GGUF"): _LARGE,
    ("docs/MODEL_SAVE_STRUCTURE.en.md", "Adapters"): "the real adapter; peft's own merge",
    ("docs/LLAMA3_8B.md", "Before"): _REAL,
    ("docs/LLAMA3_8B.md", "Prune"): _REAL,
    ("docs/LLAMA3_8B.md", "After"): _REAL,
    ("docs/LLAMA3_8B.md", "Run it"): _REAL,
    ("docs/PRUNING.md", "What keeps most"): "a benchmark, and minutes of search",
    ("docs/PRUNING.md", "Measured"): "a model of 15 GiB, and nine minutes",
    ("docs/PRUNING_ANALYSIS_GUIDE.en.md", "How to read the analysis"): (
        "example_analysis.sh by single steps"
    ),
}  # fmt: skip


@dataclass(frozen=True)
class Block:
    """A code block, the comment before it and the heading above it."""

    document: str
    heading: str
    mark: str
    language: str
    code: str

    @property
    def place(self) -> tuple[str, str]:
        return self.document, self.heading


def blocks_of(document: str) -> list[Block]:
    found, heading = [], ""
    text = (ROOT / document).read_text("utf-8")
    pattern = r"^#+ ([^\n]+)$|^(?:<!-- ([^\n]+) -->\n)?```(\w*)\n(.*?)^```$"
    for title, mark, language, code in re.findall(pattern, text, re.MULTILINE | re.DOTALL):
        if title:
            heading = title
        else:
            found.append(Block(document, heading, mark, language, code))
    return found


BLOCKS = [block for document in ENGLISH for block in blocks_of(document)]


def test_no_block_is_overlooked() -> None:
    fences = sum(
        len(re.findall(r"^ *```\w+$", (ROOT / document).read_text("utf-8"), re.MULTILINE))
        for document in ENGLISH
    )
    assert len(BLOCKS) == fences > 80


def test_every_block_is_run_or_has_a_reason() -> None:
    unknown = [
        (*block.place, block.code.splitlines()[0])
        for block in BLOCKS
        if not block.mark and not {block.place, (block.document, "*")} & {*RUN, *NOT_RUN}
    ]
    assert unknown == []


def test_every_mark_is_one_that_a_test_looks_for() -> None:
    marks = {block.mark for block in BLOCKS if block.mark}
    assert [mark for mark in marks if not MARKS.fullmatch(mark)] == []


def test_no_reason_outlives_its_block() -> None:
    places = {block.place for block in BLOCKS if not block.mark}
    assert set(NOT_RUN) <= places
    assert {place for place in RUN if place[1] != "*"} <= places


def command_lines(block: Block) -> list[list[str]]:
    """The words of each line that calls one of our programs, joined where it goes on."""
    code = block.code.replace("\\\n", " ")
    if block.language == "text":
        # A session: what was typed stands behind a dollar.
        code = "\n".join(re.findall(r"^\$ (.+)$", code, re.MULTILINE))
    lines = [
        shlex.split(line, comments=True) for line in code.splitlines() if "_COMPLETE" not in line
    ]
    starts = ("prunescope", "python", "pipx", "uvx")
    return [words for words in lines if words and words[0] in starts]


@pytest.mark.parametrize("document", ENGLISH)
def test_every_command_shown_is_one_that_parses(document: str) -> None:
    for block in blocks_of(document):
        for words in command_lines(block) if block.language in ("bash", "text") else []:
            if words[0] == "python":
                name, *rest = words[1:]
                assert (ROOT / name).is_file(), name
                if name in SCRIPTS:
                    assert SCRIPTS[name](Messages("en")).make_context(name, rest)
                continue
            rest = words[words.index("prunescope") + 1 :]
            root = group(Messages("en"))
            name, command, rest = root.resolve_command(click.Context(root), rest)
            assert command is not None
            assert command.make_context(name, rest)


def test_the_tables_shown_are_those_of_families() -> None:
    alias, qwen3 = (
        json.loads(block.code)
        for block in BLOCKS
        if block.place == ("CONTRIBUTING.md", "a model family")
    )
    families = ROOT / "src" / "prunescope" / "architecture" / "families"
    stored = [json.loads(path.read_text("utf-8")) for path in families.glob("*.json")]
    assert alias in stored
    # Shown without llama.cpp's names.
    stored_qwen3 = json.loads((families / "qwen3.json").read_text("utf-8"))
    assert qwen3 == {key: value for key, value in stored_qwen3.items() if key != "gguf"}


def test_every_extra_shown_exists() -> None:
    text = (ROOT / "pyproject.toml").read_text("utf-8")
    table = text.partition("[project.optional-dependencies]\n")[2].partition("\n[")[0]
    extras = set(re.findall(r"^(\w+) = ", table, re.MULTILINE))
    for document in ENGLISH:
        shown = re.findall(r"'\.\[([\w,]+)\]'", (ROOT / document).read_text("utf-8"))
        assert {name for names in shown for name in names.split(",")} <= extras
