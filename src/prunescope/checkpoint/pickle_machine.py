"""What does a pickle describe? An interpreter that builds inert descriptions and calls nothing.

Every opcode of protocols 0 to 5 (https://docs.python.org/3/library/pickletools.html) is
interpreted onto a stack of plain values and of the classes of `pickle_values`; what each does is
in `pickle_opcodes`. A global is its name; a call is a `Call` that remembers what would have been
called. No name is imported and no attribute is looked up.

The bounds keep a hostile pickle of 64 MiB below 512 MiB of memory and a few seconds: no opcode
makes an object of more than 80 bytes besides its strings, whose sizes are summed. A state dict
takes 35 opcodes a tensor.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from prunescope.checkpoint.pickle_opcodes import OPCODES
from prunescope.checkpoint.pickle_reader import Reader
from prunescope.checkpoint.pickle_values import (
    Bound,
    Call,
    Global,
    Persistent,
    PickleError,
    Truncated,
)

MAX_PICKLE = 64 << 20
MAX_OPCODES = 2_500_000
# Picklers number the memo from 0 or 1 on.
MAX_MEMO = 2_500_000
MAX_GLOBALS = 10_000
_STOP = 0x2E


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
    """The stack and the memo."""

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

    def examine(self, limit: int) -> Pickled:
        """Interpret up to STOP or an error, at most `limit` opcodes.

        After a `Truncated` error it goes on, when called again, with what `data` has grown by.
        """
        root, error = None, None
        try:
            root = self._run(limit)
        except PickleError as err:
            # Its traceback would keep the bytes alive, and itself by the frame that holds it.
            error = err.with_traceback(None)
        except IndexError:
            error = PickleError("the pickle takes more from its stack than it put there")
        except UnicodeDecodeError:
            error = PickleError("a string that cannot be decoded")
        length = self.position - self.start
        return Pickled(root, self.uses, self.persistent, length, self.opcodes, error)

    def continue_with(self, data: bytes, skipped: int) -> None:
        """Go on in `data`, the bytes from `skipped` on of what was held before, and more."""
        self.data = data
        self.start -= skipped
        self.position -= skipped
        self.move_frame(-skipped)

    def _run(self, limit: int) -> Any:
        data, size, table, at = self.data, len(self.data), OPCODES, self.position
        try:
            while self.opcodes < limit:
                self.opcodes += 1
                at = self.position
                if at >= size:
                    raise Truncated("the pickle ends without STOP")
                code = data[at]
                self.position = at + 1
                if code == _STOP:
                    return self.stack.pop()
                operation = table.get(code)
                if operation is None:
                    raise PickleError(f"unknown opcode 0x{code:02x} at byte {at}")
                operation(self)
                if self.position > self.frame_end:
                    self.leave_frame(at)
        except Truncated:
            # An operation reads its argument before it changes anything: it can begin anew.
            self.position = at
            self.opcodes -= 1
            raise
        raise Bound(f"over {limit} opcodes")

    def remember(self, index: int) -> None:
        """Put the top of the stack into the memo."""
        if not 0 <= index < MAX_MEMO:
            raise Bound(f"memo index {index}: over {MAX_MEMO}")
        memo = self.memo
        if index >= len(memo):
            memo.extend([_NOTHING] * (index + 1 - len(memo)))
        self.memoized += memo[index] is _NOTHING
        memo[index] = self.stack[-1]

    def recall(self, index: int) -> None:
        """Push a value from the memo."""
        value = self.memo[index] if 0 <= index < len(self.memo) else _NOTHING
        if value is _NOTHING:
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

    def push_persistent(self, key: Any) -> None:
        """Push an object that lies outside the pickle."""
        found = Persistent(key)
        self.persistent.append(found)
        self.stack.append(found)


def _decoded(text: str | bytes) -> str:
    return text if isinstance(text, str) else text.decode("utf-8")


_NOTHING = object()
