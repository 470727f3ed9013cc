"""What do we say, in Chinese and in English? Every sentence a user reads, once.

A room for each command: key → (Chinese, English).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from typing import Literal, get_args

Language = Literal["zh", "en"]
LANGUAGES: tuple[Language, ...] = get_args(Language)
# Looked into in this order, each imported when the ones before it do not have a sentence: what is
# over in a blink comes first.
ROOMS = (
    "common",
    "size",
    "analyze",
    "scan",
    "cost",
    "convert",
    "demo_model",
    "sparsity",
    "formats",
    "prune",
    "trace",
    "verify",
    "browse",
    "eval",
    "recover",
    "report",
)


@dataclass(frozen=True, slots=True)
class Messages:
    """The catalogue in one language: `messages("key", name=value)`."""

    language: Language

    def __call__(self, key: str, /, **values: object) -> str:
        zh, en = next(room[key] for room in map(sentences, ROOMS) if key in room)
        return (zh if self.language == "zh" else en).format(**values)


@cache
def sentences(room: str) -> Mapping[str, tuple[str, str]]:
    """What is said in one room."""
    found: Mapping[str, tuple[str, str]] = import_module(f"{__name__}.{room}").MESSAGES
    return found
