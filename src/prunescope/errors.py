"""What can go wrong for a user's reason: one line, file and cause, exit code 2."""

from __future__ import annotations


class PrunescopeError(Exception):
    """Base of every error whose message is meant for the user, in one line."""


class CheckpointError(PrunescopeError):
    """A file that cannot be read as the checkpoint it claims to be."""

    def __init__(self, place: object, cause: str) -> None:
        """`place` is a path, file or folder; `str()` of it is what the user should look at."""
        super().__init__(f"{printable(str(place))}: {printable(cause)}")
        self.path = str(place)
        self.cause = cause


class NoWeights(CheckpointError):
    """A folder that holds no model at all, as opposed to a damaged one."""


class ArchitectureError(PrunescopeError):
    """Tensors whose roles no family table explains, or two models that do not belong together."""


class PlanError(PrunescopeError):
    """A pruning request that the model at hand cannot satisfy."""


class MissingExtra(PrunescopeError):
    """An optional dependency is absent or too old; the message says what to install."""

    def __init__(self, package: str, extra: str, lack: str = "not installed") -> None:
        super().__init__(f"{package} is {lack}: run  pip install 'prunescope[{extra}]'")


def first_line(error: BaseException, limit: int = 200, lines: int = 1) -> str:
    """What a foreign library's exception says in its first line or lines, as one."""
    text = str(error).strip() or type(error).__name__
    return printable(" ".join(text.splitlines()[:lines]), limit)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether `error` says that memory was short: Python's, or torch's of a processor or device."""
    # Of torch's some have a class of their own and some only words; none is imported for it.
    words = ("out of memory", "can't allocate memory", "_ALLOC_FAILED")
    is_torchs = isinstance(error, RuntimeError) and any(w in str(error) for w in words)
    return isinstance(error, MemoryError) or is_torchs


def printable(text: str, limit: int = 400) -> str:
    """`text` on one line, control characters escaped: names in a file come from strangers."""
    # No character becomes shorter, and a stranger's text may have a hundred million.
    cut = text[: limit + 1]
    line = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in cut)
    return line if len(line) <= limit else line[: limit - 1] + "…"
