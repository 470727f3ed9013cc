"""A data set of the hub is streamed, its beginning alone, and what fails is one line."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from prunescope.data import hub
from prunescope.data.sources import documents
from prunescope.errors import MissingExtra, PrunescopeError


class Datasets:
    """Stands for `datasets`, without a network."""

    def __init__(self) -> None:
        self.asked: list[Any] = []

    def load_dataset(self, name: str, config: str | None, **options: Any) -> Iterator[Any]:
        self.asked.append((name, config, options))
        if name == "org/gone":
            raise ConnectionError("Couldn't reach the hub\nat all")
        return iter([{"text": "one"}, {"text": "two"}, {"text": "six"}])


@pytest.mark.parametrize(
    ("address", "config", "split"),
    [
        ("", None, "train"),
        (":fr", "fr", "train"),
        (":fr:test", "fr", "test"),
        ("::test", None, "test"),
    ],
)
def test_any_data_set_can_be_named(
    monkeypatch: pytest.MonkeyPatch, address: str, config: str | None, split: str
) -> None:
    library = Datasets()
    monkeypatch.setattr(hub, "require", lambda *_: library)
    found = documents(f"hf://datasets/org/name{address}", "calibration")
    assert found.whole == "one\n\ntwo\n\nsix"
    assert library.asked == [("org/name", config, {"split": split, "streaming": True})]


def test_of_a_long_one_the_beginning_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub, "require", lambda *_: Datasets())
    monkeypatch.setattr(hub, "MAX_STREAMED", 6)
    assert documents("hf://datasets/org/name", "calibration").texts == ("one", "two")


def test_a_hub_that_cannot_be_reached_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub, "require", lambda *_: Datasets())
    with pytest.raises(PrunescopeError) as caught:
        documents("hf://datasets/org/gone", "calibration")
    assert str(caught.value) == "hf://datasets/org/gone: Couldn't reach the hub at all"


def test_without_datasets_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(name: str, extra: str) -> None:
        raise MissingExtra(name, extra)

    monkeypatch.setattr(hub, "require", absent)
    with pytest.raises(MissingExtra, match=r"prunescope\[datasets\]"):
        documents("hf://datasets/org/name", "calibration")
