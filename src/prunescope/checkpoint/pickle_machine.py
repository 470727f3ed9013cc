"""What does a pickle describe? An interpreter that builds inert descriptions and calls nothing.

Every opcode of protocols 0 to 5 (https://docs.python.org/3/library/pickletools.html) is
interpreted onto a stack of plain values and of the classes of `pickle_values`; what each does is
in `pickle_opcodes`. A global is its name; a call is a `Call` that remembers what would have been
called. No name is imported and no attribute is looked up.

The bounds keep a hostile pickle of 64 MiB below 512 MiB of memory and a few seconds: what its
objects and strings take is summed up. A state dict takes 35 opcodes a tensor.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import repeat
from typing import Any, ClassVar

from prunescope.checkpoint.collecting import LEFTOVERS, no_collecting
from prunescope.checkpoint.pickle_lane import run
from prunescope.checkpoint.pickle_reader import Reader
from prunescope.checkpoint.pickle_values import (
    Bound,
    Call,
    Global,
    Persistent,
    PickleError,
)

MAX_PICKLE = 64 << 20
MAX_OPCODES = 2_500_000
# Picklers number the memo from 0 or 1 on, and put fewer than half of all objects there.
MAX_MEMO = 6_000_000
MAX_GLOBALS = 10_000
# Of everything that is made, strings included.
MAX_MEMORY = 384 << 20
# A list keeps some places in reserve; what is on the stack may be copied from there to a slice, and
# from that to a list.
_MEMO, _STACK = 9, 26


@dataclass(slots=True)
class Use:
    """How often a pickle names a global, and how often it calls what it names."""

    named: int = 0
    called: int = 0


@dataclass(frozen=True, slots=True)
class Pickled:
    """What a pickle describes.

    Attributes:
        root: the object; None where there is an error.
        uses: every global the pickle names, in order of appearance.
        persistent: every object outside the pickle, in order of appearance.
        length: bytes from the first opcode to STOP, or to the error.
        opcodes: how many were interpreted.
        error: why it was not interpreted to its end.
    """

    root: Any
    uses: Mapping[Global, Use] = field(default_factory=dict)
    persistent: Sequence[Persistent] = ()
    length: int = 0
    opcodes: int = 0
    error: PickleError | None = None

    @property
    def globals(self) -> tuple[Global, ...]:
        """The globals it names, in order of appearance."""
        return tuple(self.uses)


def interpret(data: bytes, start: int = 0, opcodes: int | None = None) -> Pickled:
    """Interpret the pickle at `data[start:]` up to its STOP.

    Args:
        opcodes: how many to interpret at most; MAX_OPCODES by default.

    Raises:
        PickleError: malformed, or past one of this module's bounds.
    """
    found = examine(data, start, opcodes)
    if found.error is not None:
        raise found.error
    return found


def examine(data: bytes, start: int = 0, opcodes: int | None = None) -> Pickled:
    """As `interpret`, but what comes before an error is described with it.

    Args:
        opcodes: how many to interpret at most; MAX_OPCODES by default.
    """
    return Machine(data, start).examine(MAX_OPCODES if opcodes is None else opcodes)


class Machine(Reader):
    """The stack and the memo.

    Attributes:
        objects: bytes of memory that what was made so far takes, strings and what `stack` and
            `memo` hold themselves not counted.
    """

    # What a gap of the memo holds.
    NOTHING: ClassVar[object] = object()

    def __init__(self, data: bytes, start: int) -> None:
        super().__init__(data, start)
        self.start = start
        self.stack: list[Any] = []
        self.memo: list[Any] = []
        # MEMOIZE numbers by the entries set, gaps not counted.
        self.memoized: int = 0
        # Global is ours, so hashing it is safe.
        self.uses: dict[Global, Use] = {}
        self.persistent: list[Persistent] = []
        self._interned: dict[tuple[str | bytes, str | bytes], Global] = {}
        self.opcodes = 0
        self.objects = 0
        self.max_memo = MAX_MEMO

    def examine(self, limit: int) -> Pickled:
        """Interpret up to STOP or an error, at most `limit` opcodes.

        After a `Truncated` error it goes on, when called again, with what `data` has grown by.
        """
        root, error = None, None
        LEFTOVERS.collect()
        before = self.objects
        try:
            with no_collecting():
                root = run(self, limit)
        except PickleError as err:
            # Its traceback would keep the bytes alive, and itself by the frame that holds it.
            error = err.with_traceback(None)
        except IndexError:
            error = PickleError("the pickle takes more from its stack than it put there")
        except UnicodeDecodeError:
            error = PickleError("a string that cannot be decoded")
        LEFTOVERS.nbytes += self.objects - before
        length = self.position - self.start
        return Pickled(root, self.uses, self.persistent, length, self.opcodes, error)

    def continue_with(self, data: bytes, skipped: int) -> None:
        """Go on in `data`, the bytes from `skipped` on of what was held before, and more."""
        self.data = data
        self.start -= skipped
        self.position -= skipped
        self.move_frame(-skipped)

    def remember(self, index: int) -> None:
        """Put the top of the stack into the memo."""
        if not 0 <= index < self.max_memo:
            raise Bound(f"memo index {index}: over {self.max_memo}")
        memo = self.memo
        if index >= len(memo):
            gap = index + 1 - len(memo)
            self.check_memory(_MEMO * gap)
            memo.extend(repeat(self.NOTHING, gap))
        self.memoized += memo[index] is self.NOTHING
        memo[index] = self.stack[-1]

    def recall(self, index: int) -> None:
        """Push a value from the memo."""
        value = self.memo[index] if 0 <= index < len(self.memo) else self.NOTHING
        if value is self.NOTHING:
            raise PickleError(f"memo entry {index} is used before it is set")
        self.stack.append(value)

    def named(self, module: str | bytes, name: str | bytes) -> Global:
        """The global of that name, counted; as bytes, the name is UTF-8."""
        found = self._interned.get((module, name))
        if found is None:
            if len(self._interned) >= MAX_GLOBALS:
                raise Bound(f"over {MAX_GLOBALS} different globals")
            found = Global(_decoded(module), _decoded(name))
            self.kept(found.module + found.name)
            self._interned[module, name] = found
            self.uses.setdefault(found, Use())
        self.uses[found].named += 1
        return found

    def push_call(self, function: Any, arguments: Any, keywords: Any = None) -> None:
        """Push what calling `function` would have made."""
        call = Call(function, arguments, keywords)
        name = call.named
        if name is not None:
            self.uses[name].called += 1
        self.stack.append(call)

    def count_calls(self, calls: Mapping[int, int]) -> None:
        """Count calls of globals, given by their identity."""
        for found in self._interned.values():
            self.uses[found].called += calls.get(id(found), 0)

    def check_memory(self, more: int = 0) -> None:
        """Raise Bound where all that was made, and `more` bytes, take more than they may."""
        self.check_strings()
        places = _MEMO * len(self.memo) + _STACK * len(self.stack)
        if self.objects + self.strings + places + more > MAX_MEMORY:
            raise Bound(f"objects of over {MAX_MEMORY >> 20} MiB together")

    def push_persistent(self, key: Any) -> None:
        """Push an object that lies outside the pickle."""
        found = Persistent(key)
        self.persistent.append(found)
        self.stack.append(found)


def _decoded(text: str | bytes) -> str:
    return text if isinstance(text, str) else text.decode("utf-8")
