"""How does a command start and end? Language, one-line errors and exit codes, for all of them.

Exit codes: 0 fine; 1 a check failed; 2 bad input; 130 interrupted.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise
from typing import Any, NoReturn, TypeVar

import click

from prunescope.cli.help_text import fitting_help
from prunescope.errors import PrunescopeError, first_line, is_out_of_memory, printable
from prunescope.report.messages import LANGUAGES, Language, Messages

LANGUAGE_VARIABLE = "PRUNESCOPE_LANG"
_F = TypeVar("_F", bound=Callable[..., Any])


def run(
    build: Callable[[Messages], click.Command],
    default: Language,
    arguments: Sequence[str] | None = None,
) -> NoReturn:
    """Build the command in the user's language, run it and exit.

    Args:
        build: makes the command; its help texts come from the messages it is given.
        default: the language where neither `--lang` nor PRUNESCOPE_LANG says otherwise.
        arguments: the command line after the program's name; `sys.argv`'s by default.
    """
    stdout = sys.stdout
    words = list(sys.argv[1:] if arguments is None else arguments)
    say = Messages(_language(words, default))
    try:
        with _stopped_tidily():
            code = fitting_help(build(say)).main(words, standalone_mode=False)
    except click.MissingParameter as err:
        program = err.ctx.command_path if err.ctx else "prunescope"
        code = fail(say, f"{err.format_message()} See  {program} --help")
    except click.ClickException as err:
        code = fail(say, err.format_message())
    except PrunescopeError as err:
        code = fail(say, str(err))
    except SystemExit:
        # click leaves with 1, which here means a failed check, where the reader of our output has
        # left (`| head`), and puts something in place of standard output.
        if sys.stdout is stdout:
            raise
        code = 0
    except (KeyboardInterrupt, click.Abort):
        print(say("interrupted"), file=sys.stderr)
        code = 130
    except (MemoryError, RuntimeError) as err:  # click.Abort, a RuntimeError, has gone before
        if not is_out_of_memory(err):
            raise
        code = fail(say, f"not enough memory: {first_line(err)}")
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        forget_reader()
    sys.exit(code if isinstance(code, int) else 0)


@contextmanager
def _stopped_tidily() -> Iterator[None]:
    """End on SIGTERM and SIGHUP as on Ctrl-C, so that nothing half written is left.

    `timeout` and batch systems send the one, a terminal that is closed the other; `nohup`, which
    has the latter ignored, is obeyed.
    """
    usual = [s for s in (signal.SIGTERM, signal.SIGHUP) if signal.getsignal(s) is signal.SIG_DFL]
    for number in usual:
        signal.signal(number, signal.default_int_handler)
    try:
        yield
    finally:
        for number in usual:
            signal.signal(number, signal.SIG_DFL)


def forget_reader() -> None:
    """Send to nowhere what is left to print; Python would complain of it at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def language_option(say: Messages) -> Callable[[_F], _F]:
    """`--lang`: read before the command is built, so here it only needs to be known."""
    return click.option(
        "--lang",
        type=click.Choice(LANGUAGES),
        default=say.language,
        show_default=True,
        expose_value=False,
        help=say("help_lang"),
    )


def _language(words: Sequence[str], default: Language) -> Language:
    chosen = os.environ.get(LANGUAGE_VARIABLE, default)
    for word, following in pairwise([*words, ""]):
        if word == "--lang":
            chosen = following
        elif word.startswith("--lang="):
            chosen = word.removeprefix("--lang=")
    return next((language for language in LANGUAGES if language == chosen), default)


def fail(say: Messages, text: str) -> int:
    """Tell of an error in one line on standard error; what to exit with."""
    print(say("error", text=printable(text, limit=2000)), file=sys.stderr)
    return 2
