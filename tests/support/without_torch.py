"""`pytest -p tests.support.without_torch` skips what cannot be where torch is not installed.

What measures models must not ask for it, so only imports by tests and by the rooms that compute
with torch are excused. A plugin of its own, for `make test` is to skip nothing.
"""

from __future__ import annotations

import traceback
from collections.abc import Generator
from pathlib import Path

import pytest

import prunescope
from prunescope.errors import MissingExtra

TORCH_AND_ITS_USERS = {"accelerate", "peft", "tokenizers", "torch", "transformers"}
ROOMS = {"evaluation", "interop", "pruning", "recovery"}
HOUSE = Path(prunescope.__file__).parent


def _excused(error: BaseException | None) -> bool:
    if isinstance(error, MissingExtra):
        if not str(error).startswith("torch is not installed"):
            return False
    elif not isinstance(error, ModuleNotFoundError) or error.name not in TORCH_AND_ITS_USERS:
        return False
    frames = [Path(frame.filename) for frame in traceback.extract_tb(error.__traceback__)]
    ours = [frame.relative_to(HOUSE) for frame in frames if frame.is_relative_to(HOUSE)]
    ours = [frame for frame in ours if frame.name != "extras.py"]
    return not ours or ours[-1].parts[0] in ROOMS


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(
    collector: pytest.Collector,
) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    report = yield
    caught = report.call.excinfo if hasattr(report, "call") else None
    # pytest wraps an ImportError, and nothing else.
    if report.failed and caught and any(map(_excused, (caught.value, caught.value.__cause__))):
        report.outcome = "skipped"
        report.longrepr = (str(collector.path), 0, "Skipped: needs torch")
    return report


def _run() -> Generator[None, None, None]:
    try:
        yield
    except (ModuleNotFoundError, MissingExtra) as err:
        if not _excused(err):
            raise
        pytest.skip("needs torch")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup() -> Generator[None, None, None]:
    return (yield from _run())


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call() -> Generator[None, None, None]:
    return (yield from _run())
