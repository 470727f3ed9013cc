"""Shell completion, as click makes it: bash runs the script, the others' answers are read."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from prunescope.cli.main import COMMANDS
from tests.support.scripts import environment

PROGRAM = Path(sys.executable).with_name("prunescope")


def completed(cwd: Path, **variables: str) -> str:
    done = subprocess.run(
        [PROGRAM], cwd=cwd, env=environment(**variables), capture_output=True, encoding="utf-8",
        check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_each_shell_gets_a_script(tmp_path: Path, shell: str) -> None:
    script = completed(tmp_path, _PRUNESCOPE_COMPLETE=f"{shell}_source")
    assert f"_PRUNESCOPE_COMPLETE={shell}_complete" in script


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("prunescope", "s"), ["scan", "size", "sparsity"]),
        (("prunescope", "analyze", "--m"), ["--markdown"]),
        (("prunescope", "cost", "--device", "h"), ["h100", "h100-nvl", "h200"]),
        (("prunescope", "size", "--lang", ""), ["zh", "en"]),
    ],
    ids=" ".join,
)
def test_bash_completes_commands_options_and_choices(
    tmp_path: Path, words: tuple[str, ...], expected: list[str]
) -> None:
    quoted = " ".join(f"'{word}'" for word in words)
    script = (
        'eval "$(_PRUNESCOPE_COMPLETE=bash_source prunescope)"\n'
        f"COMP_WORDS=({quoted}); COMP_CWORD={len(words) - 1}\n"
        '_prunescope_completion prunescope\nprintf "%s\\n" "${COMPREPLY[@]}"'
    )
    path = f"{PROGRAM.parent}:/usr/bin:/bin"
    done = subprocess.run(
        ["bash", "-c", script], cwd=tmp_path, env=environment(PATH=path), capture_output=True,
        encoding="utf-8", check=False,
    )  # fmt: skip
    assert done.stderr == ""
    assert done.stdout.split() == expected


@pytest.mark.parametrize(
    "words",
    [
        *(name for name in COMMANDS if name not in ("prune", "demo-model")),
        "eval m --original",
        "eval m --text",
        "recover m --teacher",
        "prune --base_model",
    ],
)
def test_a_model_or_file_completes_as_a_path(tmp_path: Path, words: str) -> None:
    line = f"prunescope {words} mod"
    said = completed(
        tmp_path, _PRUNESCOPE_COMPLETE="bash_complete", COMP_WORDS=line,
        COMP_CWORD=str(len(line.split()) - 1),
    )  # fmt: skip
    assert said == "file,mod\n"


def test_zsh_and_fish_are_told_what_a_command_does(tmp_path: Path) -> None:
    zsh = completed(
        tmp_path, _PRUNESCOPE_COMPLETE="zsh_complete", COMP_WORDS="prunescope ver", COMP_CWORD="1"
    )
    kind, name, about = zsh.splitlines()
    assert (kind, name) == ("plain", "verify")
    assert about.startswith("Check a pruned model")
    fish = completed(
        tmp_path, _PRUNESCOPE_COMPLETE="fish_complete", COMP_WORDS="prunescope ver",
        COMP_CWORD="ver", PRUNESCOPE_LANG="zh",
    )  # fmt: skip
    assert "verify" in fish
    assert "剪枝" in fish


@pytest.mark.parametrize(
    "words",
    ["analyze m", "size m", "trace a m", "verify m", "scan m", "sparsity m", "cost m",
     "convert m", "browse m", "prune --base_model m"],
)  # fmt: skip
def test_models_complete_as_paths(tmp_path: Path, words: str) -> None:
    answer = completed(
        tmp_path, _PRUNESCOPE_COMPLETE="bash_complete", COMP_WORDS=f"prunescope {words}",
        COMP_CWORD=str(len(words.split())),
    )  # fmt: skip
    assert answer.startswith("file,")
