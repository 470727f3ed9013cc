"""Which options did the user give, are their numbers any, and would one of them be ignored?"""

from __future__ import annotations

import math
from typing import Any

import click
from click.core import ParameterSource

# Names of options, whether what they belong to is there, and what that is.
Rule = tuple[tuple[str, ...], object, str]


class FiniteRange(click.FloatRange):
    """click's own lets NaN pass, which is neither below a least value nor above a greatest."""

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """As click's."""
        number: float = super().convert(value, param, ctx)
        if not math.isfinite(number):
            self.fail(f"{value} is no finite number.", param, ctx)
        return number


def given(context: click.Context) -> frozenset[str]:
    """The parameters that are on the command line, defaults that are spelled out included."""
    source = context.get_parameter_source
    return frozenset(n for n in context.params if source(n) is ParameterSource.COMMANDLINE)


def unused(context: click.Context, *rules: Rule) -> dict[str, str]:
    """Options that were given and have no effect: parameter → a sentence that says so.

    Of several rules that an option breaks the first counts.
    """
    asked = given(context)
    found: dict[str, str] = {}
    for names, is_there, owner in rules:
        for name in () if is_there else names:
            if name in asked:
                found.setdefault(name, f"{_spelled(context, name)} belongs to {owner}")
    return found


def _spelled(context: click.Context, name: str) -> str:
    (option,) = (param for param in context.command.params if param.name == name)
    is_off = option.secondary_opts and context.params[name] is False
    return (option.secondary_opts if is_off else option.opts)[0]


def refuse_unused(*rules: Rule) -> None:
    """Refuse the first option of the current command that was given and has no effect.

    Raises:
        click.UsageError: there is one.
    """
    for cause in unused(click.get_current_context(), *rules).values():
        raise click.UsageError(cause)
