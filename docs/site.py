"""Which pages does the documentation site have? The repository's documents, and its code's.

A hook of MkDocs (https://www.mkdocs.org/user-guide/configuration/#hooks). The site is laid out as
the repository, so that the documents' links hold in both: README.md and its neighbours, `docs/`,
and the files that these link to. The commands' help and the functions' docstrings are taken from
the code at each build (https://mkdocstrings.github.io); there is no copy of them to grow old.
"""

from __future__ import annotations

import inspect
import re
from importlib import import_module
from pathlib import Path
from typing import Any

import click
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

import prunescope
from prunescope.cli.help_text import Context
from prunescope.cli.main import COMMANDS, group
from prunescope.report.messages import LANGUAGES, Messages

ROOT = Path(__file__).parents[1]
HOME = ["README.md", "README.zh-CN.md"]
PROJECT = ["CONTRIBUTING.md", "CHANGELOG.md"]
PYTHON = "python.md"


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """The navigation, from what is there."""
    guides = [path.relative_to(ROOT).as_posix() for path in sorted((ROOT / "docs").glob("*.md"))]
    config.nav = [
        *({_title(page): page} for page in HOME),
        {"Guides": [{_title(page): page} for page in guides]},
        {"Commands": [{name: f"commands/{name}.md"} for name in COMMANDS]},
        {"Python": PYTHON},
        {"Project": [{_title(page): page} for page in PROJECT]},
    ]
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """The theme's files, and in place of the folder `docs` everything that the site shows."""
    shown = Files([file for file in files if file.src_dir != config.docs_dir])
    pages = [ROOT / name for name in HOME + PROJECT] + sorted((ROOT / "docs").glob("*.md"))
    for path in sorted({*pages, *(other for page in pages for other in _linked(page))}):
        name = path.relative_to(ROOT).as_posix()
        shown.append(File.generated(config, name, abs_src_path=str(path)))
    for name in COMMANDS:
        shown.append(File.generated(config, f"commands/{name}.md", content=_command(name)))
    shown.append(File.generated(config, PYTHON, content=_functions()))
    return shown


def _title(page: str) -> str:
    if page in HOME:
        return "简体中文" if "zh" in page else "English"
    found = re.search(r"^# (.+)$", (ROOT / page).read_text("utf-8"), re.MULTILINE)
    return found[1] if found else page


def _linked(page: Path) -> list[Path]:
    """Files of the repository that a page links to: pictures, tables of devices, families."""
    targets = re.findall(r"\]\(([^)\s#:]+)(?:#[^)]*)?\)", page.read_text("utf-8"))
    paths = [(page.parent / target).resolve() for target in targets]
    return [path for path in paths if path.is_file() and path.is_relative_to(ROOT)]


def _command(name: str) -> str:
    """The help of one command, in both languages."""
    parts = [f"# prunescope {name}"]
    for language in LANGUAGES[::-1]:
        root = group(Messages(language))
        command = root.get_command(click.Context(root), name)
        assert command is not None
        context = Context(command, info_name=f"prunescope {name}", terminal_width=88)
        parts.append(f"```text\n{command.get_help(context)}\n```")
    return "\n\n".join(parts) + "\n"


def _functions() -> str:
    """Each public function, and what it returns where that is ours."""
    parts = ["# Python", prunescope.__doc__ or ""]
    for name in prunescope.__all__:
        function = getattr(prunescope, name)
        parts += [f"## prunescope.{name}", f"::: {function.__module__}.{function.__name__}"]
        result = _result(function)
        if result is not None:
            parts.append(f"::: {result.__module__}.{result.__name__}")
    return "\n\n".join(parts) + "\n"


def _result(function: Any) -> type | None:
    name = str(inspect.signature(function).return_annotation)
    found = getattr(import_module(function.__module__), name, None)
    return found if isinstance(found, type) else None
