"""What the documents show of files is in these files, and what they say of shapes is printed."""

from __future__ import annotations

import json
import pickletools
import re
import shutil
import subprocess
import sys
from ast import literal_eval
from collections.abc import Sequence
from pathlib import Path
from textwrap import indent
from zipfile import ZipFile

import pytest

from prunescope.cli.analyze import script
from prunescope.report.messages import LANGUAGES
from tests.e2e.conftest import Example
from tests.e2e.test_documents import DOCUMENTS, PRUNED, blocks
from tests.support.commands import called
from tests.support.scripts import ROOT, environment
from tests.support.sparse import LLAMA_3_8B, SMOLLM2, LlamaShape, Shapes, llama_shapes, write_model

# One worker makes the example and looks at it.
pytestmark = pytest.mark.xdist_group("example")
TEXTS = {document: (ROOT / document).read_text("utf-8") for document in DOCUMENTS}


def marked(kind: str) -> list[tuple[str, str, str]]:
    """Document, what the mark names, and the block, for each block with such a mark."""
    return [
        (document, name, block)
        for document, text in TEXTS.items()
        for name in dict.fromkeys(re.findall(rf"<!-- {kind} (\S+) -->", text))
        for block in blocks(text, rf"{kind} {re.escape(name)}")
    ]


def stands_in(block: str, lines: Sequence[str]) -> None:
    """Every line of the block, in order: an ellipsis stands for lines left out."""
    position = 0
    for line in block.splitlines():
        if line.strip() != "…":
            position = lines.index(line, position) + 1


def test_lines_of_a_file_stand_in_it(example: Example) -> None:
    found = marked("lines of")
    assert len({name for _, name, _ in found}) == 5
    for _, name, block in found:
        # What tests hold to the output is in the repository, the rest the example made.
        path = (ROOT if name.startswith("tests/") else example.folder) / name
        text = path.read_text("utf-8")
        if path.name == "pruning.json":
            # How far scores agree, and so what is kept, depends on how a machine rounds.
            text, block = (re.sub(r"\d[\d., ]*", "#", one) for one in (text, block))
            block = indent(block, "    ")
        stands_in(block, text.splitlines())


@pytest.mark.parametrize("name", ["MODEL_SAVE_STRUCTURE.md", "MODEL_SAVE_STRUCTURE.en.md"])
def test_files_are_as_long_as_is_said(example: Example, name: str) -> None:
    text = TEXTS[f"docs/{name}"].partition("\n## ")[0]
    said = {
        file: int(n.replace(",", "")) for file, n in re.findall(r"\| `(.+?)` \| ([\d,]+) ", text)
    }
    found = {path.name: path.stat().st_size for path in (example.folder / PRUNED).iterdir()}
    assert said.keys() == found.keys()
    # Its scores have more digits or fewer, as a machine rounds.
    del said["pruning.json"]
    assert said.items() <= found.items()


def test_records_are_those_of_the_archive(example: Example) -> None:
    for document, name, block in marked("records of"):
        with ZipFile(example.folder / name) as archive:
            sizes = {info.filename: info.file_size for info in archive.infolist()}
        shown = dict(re.findall(r"^(\S+/\S+) +(\d+)", block, re.MULTILINE))
        assert len(shown) == 9
        assert {record: int(size) for record, size in shown.items()}.items() <= sizes.items()
        assert f" {len(sizes)} " in TEXTS[document]


def test_opcodes_are_those_of_the_pickle(example: Example) -> None:
    for _, name, block in marked("opcodes of"):
        with ZipFile(example.folder / name) as archive:
            found = [(op.name, value) for op, value, _ in pickletools.genops(
                archive.read("pytorch_model/data.pkl")
            )]  # fmt: skip
        position = 0
        for line in block.splitlines():
            opcode, value = re.fullmatch(r"(\w+) *('.*?'|\d+)?.*", line).groups()  # type: ignore[union-attr]
            wanted = (opcode, literal_eval(value) if value else None)
            position = found.index(wanted, position) + 1


def test_bytes_and_the_entry_are_those_of_the_header(example: Example) -> None:
    for _, name, block in marked("bytes of"):
        with (example.folder / name).open("rb") as stream:
            for number, line in enumerate(block.splitlines()):
                offset, dump = line[:8], line[10:49]
                assert int(offset, 16) == 16 * number
                assert bytes.fromhex(dump) == stream.read(16)
    for _, name, block in marked("entry of"):
        with (example.folder / name).open("rb") as stream:
            header = json.loads(stream.read(int.from_bytes(stream.read(8), "little")))
        ((tensor, entry),) = json.loads(f"{{{block}}}").items()
        assert header[tensor] == entry


def second_run() -> Shapes:
    """Another 288 channels of layers 5 and 6."""
    shapes = llama_shapes(SMOLLM2, range(3, 27), q_rows=192, kv_rows=64, channels=384)
    again = llama_shapes(SMOLLM2, range(5, 7), q_rows=192, kv_rows=64, channels=384 + 288)
    return shapes | {n: s for n, s in again.items() if re.search(r"layers\.[56]\.", n)}


LAYERS = range(3, 30)
COMPUTED: dict[str, tuple[LlamaShape, Shapes]] = {
    "second run": (SMOLLM2, second_run()),
    "whole groups": (
        LLAMA_3_8B, llama_shapes(LLAMA_3_8B, LAYERS, q_rows=1024, kv_rows=256, channels=3584)
    ),
    "256 of each": (
        LLAMA_3_8B, llama_shapes(LLAMA_3_8B, LAYERS, q_rows=256, kv_rows=256, channels=3584)
    ),
}  # fmt: skip


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("name", COMPUTED)
def test_what_is_computed_from_shapes_is_printed_for_them(
    name: str, language: str, tmp_path: Path, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    model, shapes = COMPUTED[name]
    write_model(tmp_path / "a", model, llama_shapes(model))
    write_model(tmp_path / "b", model, shapes)
    monkeypatch.chdir(tmp_path)
    options = ("--original_model=a", "--pruned_model=b", f"--lang={language}")
    code, printed, _ = called(script, capsys, *options)

    assert code == 0
    found = [b for t in TEXTS.values() for b in blocks(t, f"output of analyze, {name}, {language}")]
    assert len(found) == 1
    stands_in(found[0], printed.splitlines())


@pytest.mark.parametrize("document", [d for d, _, _ in marked("runnable on")])
def test_the_pandas_of_the_guide_runs_and_finds_what_it_says(
    example: Example, document: str, tmp_path: Path
) -> None:
    ((name, code),) = [(name, block) for d, name, block in marked("runnable on") if d == document]
    shutil.copy(example.folder / "pruning_analysis.csv", tmp_path / name)
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=environment(MPLBACKEND="Agg"),
        capture_output=True, encoding="utf-8", check=False,
    )  # fmt: skip

    assert done.returncode == 0, done.stderr
    assert "168 rows" in done.stdout
    assert ": [0, 1, 2, 27, 28, 29]" in done.stdout
    assert "Empty DataFrame" in done.stdout
    assert (tmp_path / "sparsity_visualization.png").is_file()
