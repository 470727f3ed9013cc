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

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from struct import Struct
from typing import Any, TypeVar

from prunescope.checkpoint.pickle_opcodes import OPCODES
from prunescope.checkpoint.pickle_values import (
    Bound,
    Call,
    Global,
    Persistent,
    PickleError,
    Skipped,
    Truncated,
)

MAX_PICKLE = 64 << 20
MAX_OPCODES = 2_500_000
# Picklers number the memo from 0 or 1 on.
MAX_MEMO = 2_500_000
MAX_GLOBALS = 50_000
MAX_INTEGER_BYTES = 4096
MAX_LINE = 1 << 20
# A tokenizer inside a pickle is one string of megabytes; no tensor or module has such a name.
MAX_STRING = 1 << 20
MAX_STRINGS = 160 << 20
_STOP = 0x2E
_S = TypeVar("_S", str, bytes)


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
    persistent: tuple[Persistent, ...] = ()
    length: int = 0
    opcodes: int = 0
    error: PickleError | None = None

    @property
    def globals(self) -> tuple[Global, ...]:
        """The globals it names, in order of appearance."""
        return tuple(self.uses)


def interpret(data: bytes, start: int = 0) -> Pickled:
    """Interpret the pickle at `data[start:]` up to its STOP.

    Raises:
        PickleError: malformed, or past one of this module's bounds.
    """
    found = examine(data, start)
    if found.error is not None:
        raise found.error
    return found


def examine(data: bytes, start: int = 0, opcodes: int | None = None) -> Pickled:
    """As `interpret`, but what comes before an error is described with it.

    Args:
        opcodes: how many to interpret at most; MAX_OPCODES by default.
    """
    machine = Machine(data, start)
    root, error = None, None
    try:
        root = machine.run(MAX_OPCODES if opcodes is None else opcodes)
    except PickleError as err:
        error = err
    except IndexError:
        error = PickleError("the pickle takes more from its stack than it put there")
    except UnicodeDecodeError:
        error = PickleError("a string that cannot be decoded")
    length = machine.position - start
    count = machine.opcodes
    return Pickled(root, machine.uses, tuple(machine.persistent), length, count, error)


class Machine:
    """The stack, the memo and the place in the bytes."""

    def __init__(self, data: bytes, start: int) -> None:
        self.data = data
        self.position = start
        self.stack: list[Any] = []
        self.memo: list[Any] = []
        # MEMOIZE numbers by the entries set, gaps not counted.
        self.memoized: int = 0
        # Global is ours, so hashing it is safe.
        self.uses: dict[Global, Use] = {}
        self.persistent: list[Persistent] = []
        self._interned: dict[tuple[str | bytes, str | bytes], Global] = {}
        self.opcodes = 0
        self._strings = 0

    def run(self, limit: int) -> Any:
        """Interpret up to STOP, at most `limit` opcodes; the object on top of the stack."""
        data, size, table = self.data, len(self.data), OPCODES
        for self.opcodes in range(1, limit + 1):
            if self.position >= size:
                raise Truncated("the pickle ends without STOP")
            code = data[self.position]
            self.position += 1
            if code == _STOP:
                return self.stack.pop()
            operation = table.get(code)
            if operation is None:
                raise PickleError(f"unknown opcode 0x{code:02x} at byte {self.position - 1}")
            operation(self)
        raise Bound(f"over {limit} opcodes")

    def take(self, count: int) -> bytes:
        """The next `count` bytes."""
        end = self._advance(count)
        return self.data[end - count : end]

    def number(self, form: Struct) -> Any:
        """The next number."""
        end = self._advance(form.size)
        return form.unpack_from(self.data, end - form.size)[0]

    def line(self) -> bytes:
        """The bytes up to the next newline, which is passed over."""
        start = self.position
        end = self.data.find(b"\n", start, start + MAX_LINE)
        if end < 0:
            seen = min(MAX_LINE, len(self.data) - start)
            kind = Bound if seen == MAX_LINE else Truncated
            raise kind(f"a text line without an end in {seen} bytes")
        self.position = end + 1
        return self.data[start:end]

    def text(self, length: int) -> str | Skipped:
        """The next `length` bytes as UTF-8."""
        if length > MAX_STRING:
            return self._skipped(length)
        return self.kept(self.take(length).decode("utf-8", "surrogatepass"))

    def blob(self, length: int) -> bytes | Skipped:
        """The next `length` bytes."""
        return self._skipped(length) if length > MAX_STRING else self.kept(self.take(length))

    def integer(self, length: int) -> int:
        """The next `length` bytes as a two's complement number."""
        if not 0 <= length <= MAX_INTEGER_BYTES:
            raise Bound(f"an integer of {length} bytes: over {MAX_INTEGER_BYTES}")
        return int.from_bytes(self.take(length), "little", signed=True)

    def kept(self, text: _S) -> _S:
        """`text`, once its size is added to what the pickle's strings may take together."""
        self._strings += sys.getsizeof(text)
        if self._strings > MAX_STRINGS:
            raise Bound(f"strings of over {MAX_STRINGS >> 20} MiB together")
        return text

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

    def _advance(self, count: int) -> int:
        end = self.position + count
        if end > len(self.data):
            raise Truncated("the pickle ends inside an opcode's argument")
        self.position = end
        return end

    def _skipped(self, length: int) -> Skipped:
        self._advance(length)
        return Skipped(length)


def _decoded(text: str | bytes) -> str:
    return text if isinstance(text, str) else text.decode("utf-8")


_NOTHING = object()
