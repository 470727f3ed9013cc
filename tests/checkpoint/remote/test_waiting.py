"""Calls end in time, and their results and errors keep their order."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import pytest

from prunescope.checkpoint.remote.waiting import in_order, timeout, within


def test_results_keep_the_order_of_the_calls() -> None:
    def after(n: int) -> Callable[[], int]:
        def call() -> int:
            time.sleep(0.02 * (5 - n))
            return n

        return call

    assert in_order([after(n) for n in range(5)]) == [0, 1, 2, 3, 4]
    assert in_order([]) == []


def test_calls_run_at_the_same_time() -> None:
    meeting = threading.Barrier(8)

    in_order([lambda: meeting.wait(10)] * 8)


def test_the_first_error_in_order_is_raised_and_what_has_not_begun_is_left() -> None:
    begun = []

    def fail(n: int) -> Callable[[], None]:
        def call() -> None:
            begun.append(n)
            time.sleep(0.1 if n == 0 else 0.01)
            raise ValueError(str(n))

        return call

    for _ in range(5):
        with pytest.raises(ValueError, match=r"^0$"):
            in_order([fail(n) for n in range(3)])

    begun.clear()
    blocked = threading.Event()
    calls = [fail(0), *[lambda: blocked.wait(10)] * 15, *[fail(n) for n in range(1, 50)]]
    with pytest.raises(ValueError, match=r"^0$"):
        in_order(calls)
    blocked.set()
    time.sleep(0.05)
    assert len(begun) < 49


def test_a_call_that_takes_too_long_is_not_waited_for() -> None:
    started = time.monotonic()
    with pytest.raises(TimeoutError):
        within(0.05, lambda: time.sleep(20))
    assert time.monotonic() - started < 10
    assert within(5, lambda: 7) == 7
    with pytest.raises(KeyError, match="inside"):
        within(5, lambda: {}["inside"])


@pytest.mark.parametrize(
    ("value", "seconds"),
    [("2.5", 2.5), ("", 30), ("soon", 30), ("-1", 30), ("nan", 30), ("inf", 30), ("0", 30)],
)
def test_the_timeout_is_the_users(
    monkeypatch: pytest.MonkeyPatch, value: str, seconds: float
) -> None:
    monkeypatch.setenv("PRUNESCOPE_TIMEOUT", value)

    assert timeout() == seconds
