"""How are millions of opcodes run in seconds? The common ones in one loop, without a call for each.

What an opcode does is said in `pickle_opcodes`. The few that picklers write most are written out
here once more; whatever is rare or odd is run as it is there. Twice the code for several times the
speed: tests/checkpoint/test_pickle_lane.py holds the two to the same results.

The loop runs ahead only where nothing can go wrong at an edge. Its opcodes take `_LONGEST` bytes at
most: as far from the end of the data, of the frame and of the opcodes allowed, no end is looked
for. Memory is summed up as it goes, and checked once in `_STRETCH` bytes, or once in `_UNCHECKED`
bytes of what is run elsewhere.
"""

from __future__ import annotations

from struct import Struct
from typing import TYPE_CHECKING, Any

from prunescope.checkpoint.pickle_opcodes import MARK, OPCODES
from prunescope.checkpoint.pickle_reader import size_of
from prunescope.checkpoint.pickle_values import Bound, Call, Dict, Global, PickleError, Truncated

if TYPE_CHECKING:
    from prunescope.checkpoint.pickle_machine import Machine

# A short string: its opcode, its length, and 255 bytes.
_LONGEST = 257
_STRETCH = 1 << 16
_UNCHECKED = 1 << 12
_STOP = 0x2E
_INT16, _INT32 = Struct("<H").unpack_from, Struct("<i").unpack_from
_LENGTH32, _FLOAT64 = Struct("<I").unpack_from, Struct(">d").unpack_from
# Bytes that objects take as CPython rounds them up, without the places of what they refer to …
_CALL, _DICT, _LIST, _NUMBER, _TUPLE, _PERSISTENT = 64, 48, 64, 32, 48, 64
# … and a place in a list, some kept in reserve; one that grows begins with four.
_PLACE, _FIRST_PLACES = 9, 32
# Of an opcode that is not written out here. It takes more time too, and this bounds that as well.
_RARE = 168


def run(m: Machine, limit: int) -> Any:
    """Run the machine up to STOP; what then lies on top of its stack.

    Args:
        limit: opcodes in all, those run before included.

    Raises:
        PickleError: malformed, or past a bound.
        IndexError: the stack is empty where it may not be.
        UnicodeDecodeError: a string that is none.
    """
    data, size, stack, memo, nothing = m.data, len(m.data), m.stack, m.memo, m.NOTHING
    push, new, max_memo = m.stack.append, object.__new__, m.max_memo
    at, count, memoized = m.position, m.opcodes, m.memoized
    held = texts = 0
    calls: dict[int, int] = {}
    # Nothing runs ahead of the first check.
    safe, unchecked = -1, at
    try:
        while True:
            if at < safe:
                code = data[at]
                at += 1
                count += 1
                if code > 0x80:
                    if code == 0x94:  # MEMOIZE
                        if memoized == len(memo) < max_memo:
                            memo.append(stack[-1])
                            memoized += 1
                        else:
                            m.memoized = memoized
                            m.remember(memoized)
                            memoized = m.memoized
                        continue
                    if code == 0x85:  # TUPLE1
                        stack[-1] = (stack[-1],)
                        held += _TUPLE
                        continue
                    if code == 0x86:  # TUPLE2
                        value = stack.pop()
                        stack[-1] = (stack[-1], value)
                        held += _TUPLE + 16
                        continue
                    if code == 0x8C:  # SHORT_BINUNICODE
                        begin = at + 1
                        at = begin + data[at]
                        value = str(data[begin:at], "utf-8", "surrogatepass")
                        texts += size_of(value)
                        push(value)
                        continue
                    if code == 0x87:  # TUPLE3
                        stack[-3:] = ((stack[-3], stack[-2], stack[-1]),)
                        held += _TUPLE + 16
                        continue
                    if code == 0x89 or code == 0x88:  # NEWFALSE, NEWTRUE
                        push(code == 0x88)
                        continue
                    if code == 0x8A:  # LONG1
                        begin = at + 1
                        at = begin + data[at]
                        push(int.from_bytes(data[begin:at], "little", signed=True))
                        held += _NUMBER + at - begin
                        continue
                elif code == 0x6A or code == 0x68:  # LONG_BINGET, BINGET
                    if code == 0x6A:
                        (index,) = _LENGTH32(data, at)
                        at += 4
                    else:
                        index = data[at]
                        at += 1
                    value = memo[index] if index < len(memo) else nothing
                    if value is nothing:
                        m.recall(index)
                    push(value)
                    continue
                elif code == 0x4D:  # BININT2
                    push(_INT16(data, at)[0])
                    at += 2
                    held += _NUMBER
                    continue
                elif code == 0x28:  # MARK
                    push(MARK)
                    continue
                elif code == 0x29:  # EMPTY_TUPLE
                    push(())
                    continue
                elif code == 0x62:  # BUILD
                    target = stack[-2]
                    if type(target) is Call:
                        target.state = stack.pop()
                        continue
                elif code == 0x75 or code == 0x65 or code == 0x74:  # SETITEMS, APPENDS, TUPLE
                    index = len(stack) - 1
                    while index > 0 and stack[index] is not MARK:
                        index -= 1
                    # A MARK below everything is rare.
                    if index > 0:
                        target, length = stack[index - 1], len(stack) - index - 1
                        if code == 0x74:
                            stack[index:] = (tuple(stack[index + 1 :]),)
                            held += _TUPLE + 8 * length
                            continue
                        if code == 0x65 and type(target) is list:
                            target += stack[index + 1 :]
                            del stack[index:]
                            held += _FIRST_PLACES + _PLACE * length
                            continue
                        is_mapping = type(target) is Dict or type(target) is Call
                        if code == 0x75 and is_mapping and not length % 2:
                            target.add(stack[index + 1 :])
                            del stack[index:]
                            held += _LIST + _PLACE * length
                            continue
                elif code == 0x7D:  # EMPTY_DICT
                    value = new(Dict)
                    value.flat = ()
                    push(value)
                    held += _DICT
                    continue
                elif code == 0x4B:  # BININT1
                    push(data[at])
                    at += 1
                    continue
                elif code == 0x4A:  # BININT
                    push(_INT32(data, at)[0])
                    at += 4
                    held += _NUMBER
                    continue
                elif code == 0x71 or code == 0x72:  # BINPUT, LONG_BINPUT
                    if code == 0x71:
                        index = data[at]
                        at += 1
                    else:
                        (index,) = _LENGTH32(data, at)
                        at += 4
                    if index == len(memo) < max_memo:
                        memo.append(stack[-1])
                        memoized += 1
                    else:
                        m.memoized = memoized
                        m.remember(index)
                        memoized = m.memoized
                    continue
                elif code == 0x58:  # BINUNICODE
                    (length,) = _LENGTH32(data, at)
                    if length < _LONGEST - 5:
                        begin = at + 4
                        at = begin + length
                        value = str(data[begin:at], "utf-8", "surrogatepass")
                        texts += size_of(value)
                        push(value)
                        continue
                elif code == 0x4E:  # NONE
                    push(None)
                    continue
                elif code == 0x51:  # BINPERSID
                    m.push_persistent(stack.pop())
                    held += _PERSISTENT
                    continue
                elif code == 0x5D:  # EMPTY_LIST
                    push([])
                    held += _LIST
                    continue
                elif code == 0x61:  # APPEND
                    target = stack[-2]
                    if type(target) is list:
                        held += _PLACE if target else _FIRST_PLACES
                        target.append(stack.pop())
                        continue
                elif code == 0x73:  # SETITEM
                    target = stack[-3]
                    if type(target) is Dict or type(target) is Call:
                        target.add(stack[-2:])
                        del stack[-2:]
                        held += _LIST + _FIRST_PLACES
                        continue
                elif code == 0x47:  # BINFLOAT
                    push(_FLOAT64(data, at)[0])
                    at += 8
                    held += _NUMBER
                    continue
                if code == 0x81 or code == 0x52:  # NEWOBJ, REDUCE
                    function, arguments = stack[-2], stack.pop()
                    if type(function) is Global:
                        key = id(function)
                        calls[key] = calls.get(key, 0) + 1
                        value = new(Call)
                        value.function = function
                        value.arguments = arguments
                        value.state = value.added = None
                        stack[-1] = value
                        held += _CALL
                        continue
                    push(arguments)
                at -= 1
                count -= 1
            m.memoized = memoized
            if at >= unchecked:
                m.objects += held
                m.strings += texts
                held = texts = 0
                m.check_memory()
                unchecked = at + _UNCHECKED
            if count >= limit:
                raise Bound(f"over {limit} opcodes")
            start, done = at, count
            if at >= size:
                raise Truncated("the pickle ends without STOP")
            code = data[at]
            m.position = at = at + 1
            count += 1
            if code == _STOP:
                return stack.pop()
            operation = OPCODES.get(code)
            if operation is None:
                raise PickleError(f"unknown opcode 0x{code:02x} at byte {start}")
            depth = len(stack)
            try:
                operation(m)
            finally:
                at, memoized = m.position, m.memoized
            if at > m.frame_end:
                m.leave_frame(start)
            m.objects += _RARE + _PLACE * max(0, depth - len(stack))
            safe = min(size, m.frame_end, at + _STRETCH, at + limit - count) - _LONGEST
    except Truncated:
        # An operation reads its argument before it changes anything: it can begin anew.
        at, count = start, done
        raise
    finally:
        m.position, m.opcodes, m.memoized = at, count, memoized
        m.objects += held
        m.strings += texts
        m.count_calls(calls)
