"""A pruned model is a folder that torch and transformers read, written whole or not at all."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoTokenizer

from prunescope.errors import CheckpointError, PrunescopeError
from prunescope.interop import hf_save, weight_files
from prunescope.interop.export import Export
from prunescope.interop.hf_save import COMPANIONS, RECORD, WEIGHTS, check_target, save
from tests.support.pruning import described, plan, prune_tiny, store_as_torch
from tests.support.tensors import raw_bytes
from tests.support.tiny import tiny_folder, tiny_model, tiny_network, tiny_tokenizer
from tests.support.trees import contents

STATE = {"a": torch.arange(6.0).view(2, 3), "b": torch.ones(2, dtype=torch.bfloat16)}


def written(folder: Path, base: Path, state: dict[str, torch.Tensor] = STATE) -> None:
    save(folder, Export("bin", state, {"model_type": "llama"}), {"schema": "x"}, base)


@pytest.fixture
def base(tmp_path: Path) -> Path:
    """A folder with every file that travels with a model, and others that do not."""
    folder = tmp_path / "base"
    folder.mkdir()
    for name in (*COMPANIONS, "README.md", "model.safetensors", "config.json"):
        (folder / name).write_text(f"{name} of the base")
    return folder


@pytest.fixture
def earlier(tmp_path: Path) -> Path:
    """An earlier output, with files that somebody put beside it."""
    folder = tmp_path / "log" / "mine"
    (folder / "notes").mkdir(parents=True)
    for name in (WEIGHTS, RECORD, "config.json", "vocab.json", "train.log", "notes/1.txt"):
        (folder / name).write_text(f"an earlier {name}")
    return folder


# --- what is written ----------------------------------------------------------------------


@pytest.mark.parametrize("tied", [False, True])
def test_the_weights_are_a_plain_dict_of_the_slices(tmp_path: Path, tied: bool) -> None:
    network = tiny_network(tie_word_embeddings=tied, dtype=torch.bfloat16)
    store_as_torch(tiny_folder(tmp_path / "m", network), network.state_dict())
    pruned = prune_tiny(described(tmp_path / "m"), plan())
    pruned.save(tmp_path / "out")
    found = torch.load(tmp_path / "out" / WEIGHTS, weights_only=True)
    assert type(found) is dict
    assert list(found) == list(network.state_dict())
    for name, tensor in found.items():
        # No subclass and no parameter, and none that drags a larger storage along.
        assert type(tensor) is torch.Tensor
        assert not tensor.requires_grad
        assert tensor.untyped_storage().nbytes() == tensor.numel() * 2
        assert raw_bytes(tensor) == raw_bytes(pruned.state[name])
    head, embedding = found["lm_head.weight"], found["model.embed_tokens.weight"]
    assert (head.data_ptr() == embedding.data_ptr()) is tied
    # Tied weights lie in the file once.
    payload = 2 * pruned.parameters.pruned
    assert payload < (tmp_path / "out" / WEIGHTS).stat().st_size < payload + 30_000


def test_a_folder_is_complete(tmp_path: Path) -> None:
    prune_tiny(tiny_model(tmp_path / "m"), plan()).save(tmp_path / "a" / "b" / "out")
    out = tmp_path / "a" / "b" / "out"
    assert sorted(path.name for path in out.iterdir()) == sorted(
        [WEIGHTS, RECORD, "config.json", "generation_config.json",
         "tokenizer.json", "tokenizer_config.json"]
    )  # fmt: skip
    text = "Water boils when"
    assert AutoTokenizer.from_pretrained(out)(text).input_ids == tiny_tokenizer()(text).input_ids
    assert [path.name for path in out.parent.iterdir()] == ["out"]
    # As open as the umask lets any new file be.
    umask = os.umask(0)
    os.umask(umask)
    assert out.stat().st_mode & 0o777 == 0o777 & ~umask
    assert {path.stat().st_mode & 0o777 for path in out.iterdir()} == {0o666 & ~umask}


def test_the_tokenizers_files_are_copied_and_no_others(tmp_path: Path, base: Path) -> None:
    written(tmp_path / "out", base)
    found = contents(tmp_path / "out")
    assert found.keys() == {WEIGHTS, RECORD, "config.json", *COMPANIONS}
    for name in COMPANIONS:
        assert found[name] == f"{name} of the base".encode()
    assert json.loads(found["config.json"]) == {"model_type": "llama"}


def test_a_list_of_numbers_is_one_line(tmp_path: Path, base: Path) -> None:
    record = {"kept": list(range(3000)), "empty": [], "名": ["字", "1,\n2"], "nested": {"a": [1]}}
    save(tmp_path / "out", Export("bin", STATE, {}), record, base)
    text = (tmp_path / "out" / RECORD).read_text("utf-8")
    assert json.loads(text) == record
    assert f'"kept": [{", ".join(map(str, range(3000)))}],\n' in text
    assert '"名"' in text
    assert len(text.splitlines()) < 15


# --- what stands there already ------------------------------------------------------------


def test_an_earlier_output_is_replaced_and_other_files_stay(base: Path, earlier: Path) -> None:
    (base / "vocab.json").unlink()
    written(earlier, base)
    found = contents(earlier)
    assert torch.load(earlier / WEIGHTS, weights_only=True).keys() == STATE.keys()
    assert json.loads(found[RECORD]) == {"schema": "x"}
    assert found["train.log"] == b"an earlier train.log"
    assert found["notes/1.txt"] == b"an earlier notes/1.txt"
    # Of another tokenizer: this model's base has none.
    assert "vocab.json" not in found
    assert [path.name for path in earlier.parent.iterdir()] == ["mine"]


def fail(error: BaseException) -> Any:
    def failing(*arguments: Any) -> None:
        raise error

    return failing


@pytest.mark.parametrize(
    ("place", "error", "raised"),
    [
        ("write_torch", RuntimeError("[enforce fail] file write failed\nmore"), PrunescopeError),
        ("write_weights", OSError(28, "No space left on device"), PrunescopeError),
        ("write_json", OSError(28, "No space left on device"), PrunescopeError),
        ("copy_files", KeyboardInterrupt(), KeyboardInterrupt),
    ],
    ids=["weights", "weights, full disk", "config, full disk", "interrupted"],
)
@pytest.mark.parametrize("exists", [True, False])
def test_a_failure_on_the_way_leaves_everything_as_it_was(
    base: Path,
    earlier: Path,
    monkeypatch: pytest.MonkeyPatch,
    exists: bool,
    place: str,
    error: BaseException,
    raised: type[BaseException],
) -> None:
    target = earlier if exists else earlier.with_name("new")
    before = contents(earlier.parent)
    # torch's archive writer has no OSError for a full disk.
    room = weight_files if place == "write_torch" else hf_save
    monkeypatch.setattr(room, place, fail(error))
    with pytest.raises(raised) as caught:
        written(target, base)
    assert contents(earlier.parent) == before
    assert [path.name for path in earlier.parent.iterdir()] == ["mine"]
    if raised is PrunescopeError:
        assert str(caught.value).startswith(f"{target}: cannot be written (")
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["model.safetensors", "model.safetensors.index.json"])
def test_a_folder_with_weights_that_would_be_read_instead_is_refused(
    base: Path, earlier: Path, name: str
) -> None:
    (earlier / name).write_text("another model")
    before = contents(earlier)
    for refuse in (lambda: check_target(earlier), lambda: written(earlier, base)):
        with pytest.raises(PrunescopeError) as caught:
            refuse()
        assert str(caught.value) == (
            f"{earlier}: holds another model, {name}, "
            "which would be read instead of pytorch_model.bin"
        )
    assert contents(earlier) == before


def test_a_target_is_checked_before_the_work(tmp_path: Path, earlier: Path) -> None:
    check_target(earlier)
    check_target(tmp_path / "new" / "and" / "deep")
    assert not (tmp_path / "new").exists()
    with pytest.raises(PrunescopeError, match="is a file, a folder is to be written here"):
        check_target(earlier / "train.log")
    with pytest.raises(PrunescopeError, match=r"cannot be written \(\S+train.log is no writable"):
        check_target(earlier / "train.log" / "out")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_place_that_cannot_be_written_is_found_before_the_work(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(PrunescopeError, match="is no writable folder"):
        check_target(tmp_path / "out")


def test_a_tokenizer_file_that_leads_out_of_the_base_is_not_copied(
    tmp_path: Path, base: Path
) -> None:
    (tmp_path / "secret").write_text("secret")
    (base / "tokenizer.json").unlink()
    (base / "tokenizer.json").symlink_to(tmp_path / "secret")
    with pytest.raises(CheckpointError, match="is a link that leaves the model's folder"):
        written(tmp_path / "out", base)
    assert not (tmp_path / "out").exists()
