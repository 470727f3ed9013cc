"""What many tests need: the demo model, made once a session."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def smollm2(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The demo model's folder: shared by all workers and tests, so never write to it."""
    from prunescope.interop.demo_model import make_demo_model

    base = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        # Each worker has a folder of its own in the session's.
        base = base.parent
    folder = base / "SmolLM2-135M-Instruct"
    # Its own lock lets one worker make it and the others wait.
    make_demo_model(folder)
    return folder
