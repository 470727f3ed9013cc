"""What the READMEs say of the options that many commands have is said of each in the same way."""

from __future__ import annotations

import re

import click
import pytest

from prunescope.cli.main import COMMANDS, group
from prunescope.report.messages import Messages
from tests.e2e.test_documents import READMES, text_of


@pytest.mark.parametrize("language", READMES)
def test_every_option_that_commands_share_is_said_in_the_same_words(language: str) -> None:
    text = text_of(language)
    for name in ("--quiet", "--markdown", "--latex"):
        assert len(set(re.findall(rf"^\| `{name}` \| \| (.*)$", text, re.M))) == 1, name


@pytest.mark.parametrize("language", READMES)
def test_who_has_quiet_alone_is_said(language: str) -> None:
    root = group(Messages("en"))
    commands = {name: root.get_command(click.Context(root), name) for name in COMMANDS}
    options = {
        name: {o for p in command.params for o in p.opts}
        for name, command in commands.items()
        if command is not None
    }
    alone = {name for name, has in options.items() if "--quiet" in has and "--json" not in has}
    (row,) = re.findall(r"^\| `--quiet` \| (?!\|)(.*)$", text_of(language), re.M)
    assert set(re.findall(r"`([\w-]+)`", row)) == alone
