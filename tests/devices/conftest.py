"""The device that these tests are of: CUDA where there is one, or PRUNESCOPE_TEST_DEVICE."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
import torch


@pytest.fixture
def device() -> Iterator[str]:
    name = os.environ.get("PRUNESCOPE_TEST_DEVICE", "cuda")
    if name == "far":
        # Not before: it is registered for the whole process, and Trainer would find it.
        from tests.support.far_device import Transfers

        with Transfers():
            yield name
    elif name == "cuda" and not torch.cuda.is_available():
        pytest.skip("needs a CUDA device")
    else:
        yield name
