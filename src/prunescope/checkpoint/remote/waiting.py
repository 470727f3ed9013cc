"""Does it end in time, and in order? Calls that wait for the network, in threads of their own.

The threads are daemons: neither a server that answers a byte a minute nor a name server that does
not answer keeps a command from ending.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout
from threading import Event, Lock, Thread
from typing import TypeVar

T = TypeVar("T")

TIMEOUT_VARIABLE = "PRUNESCOPE_TIMEOUT"
_TIMEOUT = 30.0
# bytes / s; whoever sends less is not worth waiting for.
_SLOWEST = 128 << 10
WORKERS = 16


def timeout() -> float:
    """Seconds that a server has before its first byte: PRUNESCOPE_TIMEOUT, or 30."""
    try:
        seconds = float(os.environ[TIMEOUT_VARIABLE])
    except (KeyError, ValueError):
        return _TIMEOUT
    return seconds if 0 < seconds < 1e6 else _TIMEOUT


def patience(length: int) -> float:
    """Seconds that `length` bytes may take, answer and all."""
    return timeout() + length / _SLOWEST


def within(seconds: float, call: Callable[[], T]) -> T:
    """What `call` returns or raises.

    Raises:
        TimeoutError: not within `seconds`; the call goes on, unheard.
    """
    future: Future[T] = Future()
    Thread(target=_fulfil, args=(future, call), daemon=True).start()
    try:
        return future.result(seconds)
    except FutureTimeout:
        # Until Python 3.11 it is not the built-in one.
        raise TimeoutError from None


def in_order(calls: Sequence[Callable[[], T]]) -> list[T]:
    """What the calls return, in their order, though up to 16 of them run at a time.

    Raises:
        Exception: that of the first call in order that fails, however late it fails.
    """
    futures: list[Future[T]] = [Future() for _ in calls]
    todo = iter(list(zip(futures, calls, strict=True)))
    lock, stop = Lock(), Event()

    def work() -> None:
        while not stop.is_set():
            with lock:
                item = next(todo, None)
            if item is None:
                return
            _fulfil(*item)

    for _ in range(min(WORKERS, len(calls))):
        Thread(target=work, daemon=True).start()
    try:
        return [future.result() for future in futures]
    finally:
        stop.set()


def _fulfil(future: Future[T], call: Callable[[], T]) -> None:
    try:
        result = call()
    except BaseException as err:  # whoever waits for the result gets it
        future.set_exception(err)
    else:
        future.set_result(result)
