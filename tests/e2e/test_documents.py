"""What the documents say is true: options, output, code and links, in both languages."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import click
import pytest
import torch

from prunescope.analysis import scan as scanning
from prunescope.architecture import generic, unstacked
from prunescope.checkpoint import (
    budget,
    cursor,
    distributed_metadata,
    folder,
    gguf,
    jsonfile,
    pickle_machine,
    pickle_opcodes,
    pickle_places,
    pickle_reader,
    safetensors,
    torch_config,
    torch_distributed,
    torch_module,
    torch_pickle,
    zip_directory,
)
from prunescope.checkpoint.remote import hub_api, replies, transport
from prunescope.cli import (
    analyze,
    browse,
    convert,
    cost,
    prune,
    recover,
    report,
    scan,
    size,
    sparsity,
    trace,
    verify,
)
from prunescope.cli import eval as evaluate
from prunescope.report.messages import Messages
from tests.e2e.conftest import Example
from tests.support.scripts import ROOT, environment

# One worker makes the example and looks at it.
pytestmark = pytest.mark.xdist_group("example")
READMES = {"en": ROOT / "README.md", "zh": ROOT / "README.zh-CN.md"}
DOCUMENTS = sorted(
    path.relative_to(ROOT).as_posix()
    for path in [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")]
)
# Heading → what makes the command, and the language that it speaks by default.
COMMANDS = {
    "llama3.py": (prune.script, "zh"),
    "check_model_size.py": (size.script, "zh"),
    "analyze_pruning.py": (analyze.script, "zh"),
    "prunescope scan": (scan.subcommand, "en"),
    "prunescope convert": (convert.subcommand, "en"),
    "prunescope verify": (verify.subcommand, "en"),
    "prunescope sparsity": (sparsity.subcommand, "en"),
    "prunescope cost": (cost.subcommand, "en"),
    "prunescope trace": (trace.subcommand, "en"),
    "prunescope browse": (browse.subcommand, "en"),
    "prunescope report": (report.subcommand, "en"),
    "prunescope eval": (evaluate.subcommand, "en"),
    "prunescope recover": (recover.subcommand, "en"),
}
SAFETY = {"en": "## Safety\n", "zh": "## 安全\n"}
ORIGINAL, PRUNED = "models/SmolLM2-135M-Instruct", "prune_log/llama_prune"
# What `output of NAME, LANGUAGE` is the output of.
OUTPUTS = {
    "analyze": ["analyze_pruning.py", f"--original_model={ORIGINAL}", f"--pruned_model={PRUNED}",
                "--output=again.csv"],
    "size": ["check_model_size.py", f"--original_model={ORIGINAL}", f"--pruned_model={PRUNED}"],
    "sparsity": ["-m", "prunescope", "sparsity", ORIGINAL, "--values"],
    "cost": ["-m", "prunescope", "cost", ORIGINAL, PRUNED, "--device=l4", "--batch=16"],
    "trace": ["-m", "prunescope", "trace", ORIGINAL, PRUNED],
    "verify": ["-m", "prunescope", "verify", ORIGINAL, PRUNED, "--layers=3:27",
               "--expect-sparsity=0.171"],
}  # fmt: skip


def text_of(language: str) -> str:
    return READMES[language].read_text("utf-8")


def section(text: str, title: str) -> str:
    """What stands between this heading and the next of its level."""
    start = text.index(f"### `{title}`")
    end = text.find("\n### ", start + 1)
    return text[start : end if end > 0 else None]


def blocks(text: str, mark: str) -> list[str]:
    return re.findall(rf"<!-- {mark} -->\n```\w+\n(.*?)```", text, re.DOTALL)


def documents_with(mark: str) -> list[tuple[str, str]]:
    """Documents and languages that have blocks with this mark."""
    found = [
        (document, language)
        for document in DOCUMENTS
        for language in READMES
        if blocks((ROOT / document).read_text("utf-8"), mark.format(language))
    ]
    # A mark without a language is met once for each document.
    return found if "{}" in mark else found[:: len(READMES)]


def anchors(markdown: str) -> set[str]:
    """GitHub's anchors of the headings: lower case, punctuation dropped, spaces to hyphens."""
    headings = re.findall(r"^#+ (.+)$", markdown, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", h.lower()).replace(" ", "-") for h in headings}


@pytest.mark.parametrize("language", READMES)
@pytest.mark.parametrize("command", COMMANDS)
def test_every_option_is_documented_with_its_default(language: str, command: str) -> None:
    rows = dict(
        re.findall(r"^\| `(--[\w-]+)` \| *([^|]*?) *\|", section(text_of(language), command), re.M)
    )
    build, spoken = COMMANDS[command]
    options = {
        parameter.opts[0]: parameter
        for parameter in build(Messages(spoken)).params
        if isinstance(parameter, click.Option)
    }
    assert set(rows) == set(options)
    for name, option in options.items():
        default = option.default
        if isinstance(default, str | int | float | Path) and not isinstance(default, bool):
            assert rows[name] == str(default), name


@pytest.mark.parametrize(
    ("command", "document", "language"),
    [(name, *found) for name in OUTPUTS for found in documents_with(f"output of {name}, {{}}")],
)
def test_the_output_shown_is_the_output(
    example: Example, command: str, document: str, language: str
) -> None:
    done = subprocess.run(
        [sys.executable, *OUTPUTS[command], f"--lang={language}"],
        cwd=example.folder, env=environment(), capture_output=True, encoding="utf-8", check=True,
    )  # fmt: skip
    printed = done.stdout.splitlines()
    for block in blocks((ROOT / document).read_text("utf-8"), f"output of {command}, {language}"):
        # In order: an ellipsis stands for lines left out.
        position = 0
        for line in block.splitlines():
            if line.strip() == "…":
                continue
            position = printed.index(line, position) + 1


class Evil:
    """What the documents' `evil.bin` holds beside a tensor."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, ("echo owned",)


@pytest.mark.parametrize(("document", "language"), documents_with("output of scan, {}"))
def test_the_scan_shown_is_the_scan(tmp_path: Path, document: str, language: str) -> None:
    torch.save({"weight": torch.ones(2), "x": Evil()}, tmp_path / "evil.bin")
    done = subprocess.run(
        [sys.executable, "-m", "prunescope", "scan", "evil.bin", f"--lang={language}"],
        cwd=tmp_path, env=environment(), capture_output=True, encoding="utf-8", check=False,
    )  # fmt: skip
    assert done.returncode == 1
    for block in blocks((ROOT / document).read_text("utf-8"), f"output of scan, {language}"):
        assert block == done.stdout


@pytest.mark.parametrize("language", READMES)
def test_the_bounds_named_are_the_bounds(language: str) -> None:
    text = text_of(language)
    start = text.index(SAFETY[language])
    safety = text[start : text.index("\n## ", start)]
    megabytes = safetensors.MAX_HEADER // 10**6
    sizes = (
        jsonfile.MAX_JSON_FILE,
        zip_directory.MAX_DIRECTORY,
        pickle_machine.MAX_PICKLE,
        jsonfile.MAX_MEMORY,
        jsonfile.MAX_BESIDE,
        cursor.MAX_KEPT,
        budget.MAX_TOGETHER,
        pickle_places.MAX_BYTES,
        pickle_reader.MAX_STRINGS,
        pickle_machine.MAX_MEMORY,
        pickle_reader.MAX_STRING,
        pickle_reader.MAX_LINE,
        cursor.MAX_TEXT,
        replies.MAX_STREAMED,
        hub_api.MAX_LISTING,
    )
    counts = (
        jsonfile.MAX_KEY,
        zip_directory.MAX_RECORDS,
        distributed_metadata.MAX_PIECES,
        distributed_metadata.MAX_ENTRIES,
        distributed_metadata.MAX_OPCODES,
        torch_distributed.MAX_LOOKED_AT,
        gguf.MAX_TENSORS,
        folder.MAX_FILES,
        scanning.MAX_FINDINGS,
        pickle_machine.MAX_OPCODES,
        pickle_machine.MAX_MEMO,
        pickle_machine.MAX_GLOBALS,
        pickle_reader.MAX_INTEGER_BYTES,
        pickle_opcodes.MAX_DIGITS,
        torch_pickle.MAX_TENSORS,
        torch_pickle.MAX_NESTING,
        torch_module.MAX_MODULES,
        torch_module.MAX_DEPTH,
        torch_module.MAX_NAME,
        torch_module.MAX_NAMES,
        torch_config.MAX_VALUES,
        torch_config.MAX_DEPTH,
        gguf.MAX_KEYS,
        gguf.MAX_AXES,
        cursor.MAX_SKIPPED,
        pickle_places.MAX_PICKLES,
        transport.MAX_REDIRECTS,
        unstacked.MAX_STACKED,
        unstacked.MAX_APART,
        generic.MAX_STACKS,
    )
    wanted = {
        f"{megabytes} MB",
        *(f"{size >> 20} MiB" for size in sizes),
        *(f"{count:,} " for count in counts),
    }
    assert {bound for bound in wanted if f" {bound}" not in safety} == set()


@pytest.mark.parametrize(("document", "_"), documents_with("runnable"))
def test_the_python_shown_runs(example: Example, document: str, _: str) -> None:
    for code in blocks((ROOT / document).read_text("utf-8"), "runnable"):
        done = subprocess.run(
            [sys.executable, "-c", code], cwd=example.folder, env=environment(),
            capture_output=True, encoding="utf-8", check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        # What a comment promises is printed.
        promised = re.findall(r"^(?:print\(.*\)  )?# (.+)$", code, re.MULTILINE)
        assert [line for line in promised if line not in done.stdout.splitlines()] == []
        assert done.stdout


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_link_leads_somewhere(document: str) -> None:
    path = ROOT / document
    text = path.read_text("utf-8")
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if target.startswith(("http://", "https://")):
            continue
        name, _, anchor = target.partition("#")
        other = (path.parent / name).resolve() if name else path
        assert other.exists(), target
        if anchor:
            assert anchor in anchors(other.read_text("utf-8")), target
