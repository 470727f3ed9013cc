"""How does one page speak two languages? Each sentence stands there in both; a switch hides one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from html import escape
from io import StringIO

from prunescope.report.console import Screen
from prunescope.report.messages import Messages

_ZH, _EN = Messages("zh"), Messages("en")


@dataclass(frozen=True, slots=True)
class Said:
    """A sentence in both languages; `__html__` is what Jinja2 asks for markup that is safe."""

    zh: str
    en: str

    def __html__(self) -> str:
        """Both, each marked with its language; once where they are the same."""
        zh, en = escape(self.zh), escape(self.en)
        return zh if zh == en else f'<span lang="zh">{zh}</span><span lang="en">{en}</span>'

    def pair(self) -> dict[str, str]:
        """For scripts in the page."""
        return {"zh": self.zh, "en": self.en}


def both(words: Callable[[Messages], str]) -> Said:
    """What `words` says with the messages of either language."""
    return Said(words(_ZH), words(_EN))


def said(key: str, /, **values: object) -> Said:
    """The message `key` in both languages."""
    return both(lambda say: say(key, **values))


def printed(report: Callable[[Screen, Messages], None], most: int) -> tuple[Said, ...]:
    """The lines that a report for terminals prints, blank ones left out; at most `most` of them."""
    zh, en = (_lines(report, say) for say in (_ZH, _EN))
    lines = [Said(a, b) for a, b in zip(zh, en, strict=True) if a.strip()]
    if len(lines) <= most:
        return tuple(lines)
    return (*lines[: most - 1], said("verify_more", n=len(lines) - most + 1))


def _lines(report: Callable[[Screen, Messages], None], say: Messages) -> list[str]:
    stream = StringIO()
    report(Screen(stream), say)
    return stream.getvalue().splitlines()
