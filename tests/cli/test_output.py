"""What every command's output has in common: media, `--quiet`, readers who leave, help."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import click
import pytest
from rich.cells import cell_len

from prunescope.cli import analyze, prune, size
from prunescope.cli.help_text import DEMO, PRUNED, Context
from prunescope.cli.main import COMMANDS, FIRST_STEPS, group
from prunescope.cli.run import run
from prunescope.report.messages import LANGUAGES, Language, Messages
from tests.support.commands import prunescope
from tests.support.scripts import without_reader
from tests.support.sparse import LlamaShape, llama_shapes, write_model, write_torch_zip

SMALL = LlamaShape(6, 8, 12, 4, 2, 2, 10, tied=False)
PAIR = ("original", "pruned")
BRIEFLY = (
    "--no-perplexity", "--speed", "--context=4", "--new-tokens=2", "--repeats=1", "--device=cpu",
)  # fmt: skip
# What prints a table, and what it exits with: more layers were pruned than `--layers` allows.
TABLES = {
    "analyze": (PAIR, 0),
    "cost": (PAIR, 0),
    "eval": (("original", *BRIEFLY), 0),
    "scan": (("pruned.bin",), 0),
    "size": (PAIR, 0),
    "sparsity": (("original",), 0),
    "trace": (("original", "original"), 0),
    "verify": ((*PAIR, "--layers=0:1"), 1),
}
SHARED = {"--json", "--markdown", "--latex", "--quiet", "--lang"}


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`original`, and `pruned`, which lost channels of layers 1 to 4; also as a torch file."""
    folder = tmp_path_factory.mktemp("output")
    pruned = llama_shapes(SMALL, range(1, 5), channels=3)
    write_model(folder / "original", SMALL, llama_shapes(SMALL))
    write_model(folder / "pruned", SMALL, pruned)
    write_torch_zip(folder / "pruned.bin", pruned)
    return folder


@dataclass(frozen=True)
class Done:
    returncode: int
    stdout: str
    stderr: str


Call = Callable[..., Done]


@pytest.fixture
def call(here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Call:
    """The command, in this process: they are many."""
    monkeypatch.chdir(here)
    monkeypatch.delenv("FORCE_COLOR", raising=False)
    monkeypatch.delenv("PRUNESCOPE_LANG", raising=False)

    def run_it(*arguments: str) -> Done:
        with pytest.raises(SystemExit) as ended:
            run(group, "en", arguments)
        return Done(int(ended.value.code or 0), *capsys.readouterr())

    return run_it


@pytest.mark.parametrize("command", TABLES)
def test_every_table_can_be_had_in_every_medium(call: Call, command: str) -> None:
    arguments, code = TABLES[command]
    for medium, mark in (("--markdown", "\n| "), ("--latex", "\\toprule"), ("--json", "{\n")):
        done = call(command, *arguments, medium)
        assert (done.returncode, done.stderr) == (code, ""), medium
        assert mark in f"\n{done.stdout}", medium
        assert "====" not in done.stdout


@pytest.mark.parametrize("command", TABLES)
def test_one_medium_at_a_time(call: Call, command: str) -> None:
    for a, b in (("--latex", "--json"), ("--markdown", "--latex")):
        done = call(command, *TABLES[command][0], a, b)
        first, second = sorted((a, b), key=["--json", "--markdown", "--latex"].index)
        assert (done.returncode, done.stdout) == (2, "")
        assert done.stderr == f"error: {first} and {second} exclude each other\n"


@pytest.mark.parametrize("command", [*TABLES, "recover"])
def test_they_all_have_the_same_options_for_it(command: str) -> None:
    built = group(Messages("en")).get_command(click.Context(click.Command("x")), command)
    assert built is not None
    options = {p.opts[0] for p in built.params if isinstance(p, click.Option)}
    assert options >= SHARED


@pytest.mark.parametrize(
    ("arguments", "note"),
    [
        (("analyze", *PAIR, "--output=t.csv"), "Table written to t.csv\n"),
        (("sparsity", "original", "--output=z.csv"), "Table written to z.csv\n"),
        (("verify", *PAIR, "--junit=j.xml"), "Written to j.xml\n"),
    ],
    ids=["analyze", "sparsity", "verify"],
)
def test_notes_are_talk_and_quiet_stops_talk(
    call: Call, arguments: tuple[str, ...], note: str
) -> None:
    loud, quiet = (call(*arguments, *more) for more in ((), ("--quiet",)))

    assert (loud.stderr, quiet.stderr) == (note, "")
    assert note not in loud.stdout
    assert loud.stdout == quiet.stdout
    as_json = call(*arguments, "--json")
    assert as_json.stderr == note
    assert json.loads(as_json.stdout)


def test_quiet_does_not_hide_errors(call: Call) -> None:
    done = call("size", "nowhere", "--quiet")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("error: nowhere: ")


def test_equal_layers_share_a_row_unless_all_are_asked_for(call: Call) -> None:
    short, full = (call("analyze", *PAIR, *more).stdout for more in ((), ("--all",)))
    assert re.findall(r"^ *(\S+(?: ×\d+)?)  +\d+ .*# (.*)$", short, re.M) == [
        ("0", "not pruned"), ("1-4 ×4", "pruned"), ("5", "not pruned"),
    ]  # fmt: skip
    assert [n for n, _ in re.findall(r"^ *(\d)  +\d+ .*# (.*)$", full, re.M)] == list("012345")
    zeros = call("sparsity", "original").stdout
    assert re.search(r"^0-5 ×6  +100\.00%", zeros, re.M)
    assert not re.search("×6", call("sparsity", "original", "--all").stdout)


@pytest.mark.parametrize(
    "arguments",
    [
        *((name, *arguments) for name, (arguments, _) in TABLES.items()),
        ("verify", *PAIR, "--layers=0:1", "--json"),
        ("--help",), (), ("analyze", "--help"), ("convert", "pruned.bin", "out"),
    ],
    ids=" ".join,
)  # fmt: skip
def test_a_reader_who_leaves_early_gets_no_traceback(
    here: Path, arguments: tuple[str, ...]
) -> None:
    code, errors = without_reader("-m", "prunescope", *arguments, cwd=here)

    assert errors == b""
    # What was found does not depend on who listens.
    assert code == (1 if arguments[:1] == ("verify",) else 0)


def parsed(words: list[str]) -> click.Context:
    """The options of a command line, nothing of it run."""
    root = group(Messages("en"))
    name, command, rest = root.resolve_command(root.make_context("prunescope", []), words)
    assert command is not None
    return command.make_context(name, rest)


def example(text: str | None) -> list[str]:
    """The words of the example that a help text ends with."""
    found = re.search(r"(?:Example|示例):\n  (.+)\Z", text or "", re.DOTALL)
    assert found is not None
    return shlex.split(found[1].replace("\\\n", ""))


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("name", COMMANDS)
def test_every_help_has_an_example_that_parses(name: str, language: Language) -> None:
    root = group(Messages(language))
    command = root.get_command(click.Context(root), name)
    assert command is not None
    program, *words = example(command.help)

    assert (program, words[0]) == ("prunescope", name)
    assert parsed(words).command.name == name


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("name", COMMANDS)
def test_help_fits_a_terminal_and_its_example_can_be_copied(name: str, language: Language) -> None:
    root = group(Messages(language))
    command = root.get_command(click.Context(root), name)
    assert command is not None
    shown = command.get_help(Context(command, info_name=f"prunescope {name}", terminal_width=80))

    assert [line for line in shown.splitlines() if cell_len(line) > 80] == []
    # A line broken by wrapping would be two commands.
    lines = re.search(r"(?:Example|示例):\n((?:    .+\n)+)", shown)
    assert lines is not None
    words = shlex.split(lines[1].replace("\\\n", ""))
    assert words == example(command.help)
    # What it reads is there after the first steps.
    read = {word for word in words if "/" in word} - {PRUNED, "models/recovered"}
    assert read <= {DEMO, "models/pruned.gguf"}


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_command_is_introduced_by_a_whole_sentence(language: Language) -> None:
    root = group(Messages(language))
    shown = root.get_help(Context(root, info_name="prunescope", terminal_width=80))

    introduced = shown.split("Commands:\n")[1].splitlines()[: len(COMMANDS)]
    assert [line.split()[0] for line in introduced] == list(COMMANDS)
    for line in introduced:
        assert line.endswith((".", "。"))
        assert not line.endswith("...")
        assert cell_len(line) <= 80


@pytest.mark.parametrize(
    ("build", "script"),
    [
        (analyze.script, "analyze_pruning.py"),
        (prune.script, "llama3.py"),
        (size.script, "check_model_size.py"),
    ],
    ids=["analyze", "prune", "size"],
)
def test_so_have_the_scripts(build: type, script: str) -> None:
    command: click.Command = build(Messages("zh"))
    python, file, *words = example(command.help)

    assert (python, file) == ("python", script)
    assert command.make_context(script, words)


@pytest.mark.parametrize(
    ("language", "title"), [("en", "First steps:"), ("zh", "从这里开始:")], ids=["en", "zh"]
)
def test_a_newcomer_sees_what_to_do_first(tmp_path: Path, language: str, title: str) -> None:
    done = prunescope("--lang", language, cwd=tmp_path)

    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert lines.index(title) < lines.index("Commands:")
    assert len(FIRST_STEPS) == 3
    for _, line in FIRST_STEPS:
        assert f"  {line}\n" in done.stdout
        program, *words = shlex.split(line.replace("\\\n", ""))
        assert program == "prunescope"
        assert parsed(words)
    assert all(code in lines[-1] for code in ("0", "1", "2", "130"))


@pytest.mark.parametrize(
    ("words", "error"),
    [
        (["analyse"], "no such command 'analyse': did you mean analyze?"),
        (["foo"], "no such command 'foo': prunescope --help lists all"),
        (["analyze", "a"], "Missing argument 'PRUNED'. See  python -m prunescope analyze --help"),
    ],
)
def test_a_slip_is_answered_by_where_to_look(tmp_path: Path, words: list[str], error: str) -> None:
    done = prunescope(*words, cwd=tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (2, "", f"error: {error}\n")


def test_help_says_the_same_to_those_who_ask(tmp_path: Path) -> None:
    assert prunescope("--help", cwd=tmp_path).stdout == prunescope(cwd=tmp_path).stdout
