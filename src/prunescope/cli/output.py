"""Where does a command's result go, and in what medium? The options that say so, for all of them.

Standard output has the result, in one medium; standard error has the talk: progress, notes, errors.
`--quiet` leaves of the talk the errors alone. Both mean the same in every command.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import click

from prunescope.cli.run import forget_reader
from prunescope.errors import PrunescopeError
from prunescope.report.messages import Messages

if TYPE_CHECKING:
    from prunescope.checkpoint import Checkpoint
    from prunescope.report.console import Screen

Medium = Literal["terminal", "json", "markdown", "latex"]
_F = TypeVar("_F", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True)
class Output:
    """What was chosen.

    Attributes:
        medium: of the result.
        quiet: nothing but errors on standard error.
        is_script: one of the mission's scripts, whose notes end their tables on standard output.
    """

    medium: Medium = "terminal"
    quiet: bool = False
    is_script: bool = False

    def screen(self) -> Screen:
        """Where reports print."""
        if self.medium == "markdown":
            from prunescope.report.markdown import Markdown

            return Markdown()
        if self.medium == "latex":
            from prunescope.report.latex import Latex

            return Latex()
        from prunescope.report.console import Screen

        return Screen()

    def data(self, text: str) -> None:
        """Print JSON; a reader who has left does not change what the command exits with."""
        try:
            click.echo(text)
        except BrokenPipeError:
            forget_reader()

    def note(self, text: str) -> None:
        """Tell of something beside the result, such as a file that was written."""
        if self.is_script:
            if self.medium == "terminal":
                self.screen().line(text)
        elif not self.quiet:
            click.echo(text, err=True)


def check_file(path: Path, *models: Checkpoint) -> None:
    """Can a result be written to `path`, as far as can be told before the work is done?

    Args:
        models: whose weights and config.json are not to be lost to a slip of the pen.

    Raises:
        PrunescopeError: there is no such folder, or a model's weights or config.json are there.
    """
    if not path.parent.is_dir():
        raise PrunescopeError(f"{path}: cannot be written (no such folder)")
    from prunescope.checkpoint.opening import CONFIG

    for model in models:
        for file in model.files:
            if file.local is not None and path.exists() and path.samefile(file.local):
                raise PrunescopeError(f"{path}: has weights of {model.path}: name another file")
        home = model.home.local
        is_config = path.name == CONFIG and path.exists()
        if is_config and home is not None and path.parent.samefile(home):
            raise PrunescopeError(f"{path}: is the config of {model.path}: name another file")


def output_options(say: Messages) -> Callable[[_F], Callable[..., Any]]:
    """`--json`, `--markdown`, `--latex` and `--quiet`, handed to the command as `output`."""
    media = {
        "json": say("help_json"),
        "markdown": say("help_markdown"),
        "latex": say("help_latex"),
    }

    def decorate(function: _F) -> Callable[..., Any]:
        @functools.wraps(function)
        def command(**options: Any) -> Any:
            asked: list[Any] = [name for name in media if options.pop(f"as_{name}")]
            if len(asked) > 1:
                raise click.UsageError(f"--{asked[0]} and --{asked[1]} exclude each other")
            output = Output(asked[0] if asked else "terminal", options.pop("quiet"))
            return function(output=output, **options)

        offered = [
            *(
                click.option(f"--{name}", f"as_{name}", is_flag=True, help=text)
                for name, text in media.items()
            ),
            click.option("--quiet", is_flag=True, help=say("help_quiet")),
        ]
        for option in reversed(offered):
            option(command)
        return command

    return decorate
