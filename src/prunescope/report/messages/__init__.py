"""What do we say, in Chinese and in English? Every sentence a user reads, once.

A room for each command: key → (Chinese, English).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from prunescope.report.messages.analyze import MESSAGES as _ANALYZE
from prunescope.report.messages.common import MESSAGES as _COMMON
from prunescope.report.messages.convert import MESSAGES as _CONVERT
from prunescope.report.messages.cost import MESSAGES as _COST
from prunescope.report.messages.demo_model import MESSAGES as _DEMO_MODEL
from prunescope.report.messages.eval import MESSAGES as _EVAL
from prunescope.report.messages.prune import MESSAGES as _PRUNE
from prunescope.report.messages.recover import MESSAGES as _RECOVER
from prunescope.report.messages.scan import MESSAGES as _SCAN
from prunescope.report.messages.size import MESSAGES as _SIZE
from prunescope.report.messages.sparsity import MESSAGES as _SPARSITY
from prunescope.report.messages.trace import MESSAGES as _TRACE
from prunescope.report.messages.verify import MESSAGES as _VERIFY

Language = Literal["zh", "en"]
LANGUAGES: tuple[Language, ...] = get_args(Language)


@dataclass(frozen=True, slots=True)
class Messages:
    """The catalogue in one language: `messages("key", name=value)`."""

    language: Language

    def __call__(self, key: str, /, **values: object) -> str:
        zh, en = CATALOGUE[key]
        return (zh if self.language == "zh" else en).format(**values)


CATALOGUE: dict[str, tuple[str, str]] = {
    **_COMMON,
    **_ANALYZE,
    **_SIZE,
    **_SPARSITY,
    **_COST,
    **_PRUNE,
    **_SCAN,
    **_VERIFY,
    **_TRACE,
    **_DEMO_MODEL,
    **_CONVERT,
    **_EVAL,
    **_RECOVER,
}
