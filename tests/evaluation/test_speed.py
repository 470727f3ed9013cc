"""Speed counts the tokens that were really run, and models take turns."""

from __future__ import annotations

import mmap
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

import prunescope
from prunescope.errors import PrunescopeError
from prunescope.evaluation import speed as speed_room
from prunescope.evaluation.memory import free_memory, peak_memory
from prunescope.evaluation.speed import Load, Speed, measure
from tests.support.tiny import tiny_folder


def test_models_run_in_turn_what_was_asked_for(tmp_path: Path) -> None:
    networks = [prunescope.load(tiny_folder(tmp_path / name)) for name in "ab"]
    seen: list[tuple[int, tuple[int, ...]]] = []
    for number, network in enumerate(networks):
        embed = network.model.embed_tokens
        embed.register_forward_hook(
            lambda _, given, __, number=number: seen.append((number, tuple(given[0].shape)))
        )
    ticks: list[None] = []
    speeds = measure(networks, Load(2, 10, 4, 3), lambda: ticks.append(None))
    one = [(2, 10), (2, 1), (2, 1), (2, 1)]
    assert seen == [(n, shape) for _ in range(4) for n in (0, 1) for shape in one]
    assert len(ticks) == 8
    for network, speed in zip(networks, speeds, strict=True):
        assert (len(speed.first), len(speed.rest)) == (3, 3)
        assert speed.weights == 4 * network.num_parameters()


def test_what_is_decoded_continues_the_prompt(tmp_path: Path) -> None:
    network = prunescope.load(tiny_folder(tmp_path))
    given: list[torch.Tensor] = []
    network.model.embed_tokens.register_forward_hook(lambda _, x, __: given.append(x[0]))
    measure([network], Load(1, 12, 6, 1), lambda: None)
    run = given[len(given) // 2 :]
    text = run[0]
    for _ in range(5):
        # Without a cache.
        text = torch.cat([text, network(text).logits[:, -1:].argmax(-1)], -1)
    assert torch.cat(run[1:], -1).tolist() == text[:, 12:].tolist()


def test_rates_follow_from_seconds() -> None:
    speed = Speed(Load(2, 100, 11, 2), (0.5, 0.25), (2.0, 4.0), 1000, 24)
    assert speed.prefill == (400.0, 800.0)
    assert speed.decode == (10.0, 5.0)
    assert speed.time_to_first == 0.375
    assert speed.memory == 1024
    assert Speed(speed.load, (1.0,), (1.0,), 1000, None).memory is None


def test_a_device_without_room_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    network = prunescope.load(tiny_folder(tmp_path))

    def full(*_: Any, **__: Any) -> None:
        raise RuntimeError("CUDA out of memory.\nTried to allocate")

    monkeypatch.setattr(network, "forward", full)
    with pytest.raises(PrunescopeError) as caught:
        measure([network], Load(1, 2, 2, 1), lambda: None)
    assert str(caught.value) == "cannot be run: CUDA out of memory."


def test_a_peak_is_what_the_block_held_at_most() -> None:
    # Mapped anew: an allocator would give memory again that the process holds already.
    with peak_memory("cpu") as peak, mmap.mmap(-1, 64 << 20) as block:
        for page in range(0, len(block), mmap.PAGESIZE):
            block[page] = 1
    if free_memory("cpu") is None:
        pytest.skip("this system has no /proc")
    assert peak.extra is not None
    assert peak.extra >> 20 == pytest.approx(64, abs=8)


def test_what_torch_keeps_of_an_earlier_model_is_free(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else the second of two models that fit one by one would be streamed."""
    free, kept = [8 << 30], [16 << 30]

    def empty() -> None:
        free[0] += kept.pop()

    monkeypatch.setattr(torch.cuda, "empty_cache", empty)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda _: (free[0], 24 << 30))
    assert free_memory("cuda") == 24 << 30


def test_a_device_that_only_takes_orders_is_waited_for() -> None:
    """Whatever device: what was asked for is done when it can be read here."""
    read: list[float] = []
    tokens = SimpleNamespace(cpu=lambda: read.append(time.perf_counter()))
    now = speed_room._now(tokens)
    assert len(read) == 1
    assert now >= read[0]
