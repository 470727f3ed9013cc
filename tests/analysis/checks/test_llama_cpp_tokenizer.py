"""`verify` and `convert --format gguf` judge a tokenizer alike, the one by its beginning."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from prunescope.analysis.llama_cpp_tokenizer import folder_objection, objection
from prunescope.checkpoint.storage import LocalFolder
from prunescope.errors import PrunescopeError
from prunescope.interop.gguf_export import export_gguf
from tests.support.tiny import edit_json, tiny_folder
from tests.support.verify import check, codes, pruned_pair, verified

NAME = "tokenizer.json"
# More than a beginning: 1 MiB.
MANY = {f"token {number}": number for number in range(80_000)}


def replaced(**model: Any) -> Callable[[Path], None]:
    def edit(path: Path) -> None:
        found = json.loads(path.read_text("utf-8"))["model"]
        edit_json(path, {"model": {**found, **model}})

    return edit


def refused(folder: Path, cause: str) -> None:
    with pytest.raises(PrunescopeError, match=cause) as caught:
        export_gguf(folder, folder.parent / "m.gguf")
    assert not (folder.parent / "m.gguf").exists()
    noted = check(verified(folder), "llama.cpp")
    said = {str(one.values.get("cause")) for one in noted.findings}
    assert noted.verdict == "warn"
    assert "\n" not in str(caught.value)
    # The error names the folder or the file in it.
    assert any(str(caught.value).endswith(f": {each}") for each in said)


@pytest.mark.parametrize(
    ("edit", "cause"),
    [
        (Path.unlink, "has no tokenizer.json, which a GGUF file must contain$"),
        (lambda path: path.rename(path.with_name("tokenizer.model")), "model is not read$"),
        (replaced(type="WordPiece"), "tokenizer.json: a WordPiece tokenizer has no place"),
        (replaced(type="Unigram", vocab=MANY), "tokenizer.json: a Unigram tokenizer has no place"),
        (lambda path: edit_json(path, {"model": []}), "tokenizer.json: a None tokenizer has no"),
        (lambda path: edit_json(path, {"pre_tokenizer": {"type": "Whitespace"}}), "by a rule"),
        (lambda path: edit_json(path, {"pre_tokenizer": {"type": "Split", "pattern": 3}}), "rule"),
        (lambda path: edit_json(path, {"normalizer": {"type": "Lowercase"}}), "none of gpt-2, lla"),
        (lambda path: path.write_text("{"), "tokenizer.json is not JSON"),
        (lambda path: path.write_text("[]"), "tokenizer.json is not a JSON object"),
    ],
)  # fmt: skip
def test_what_is_refused_is_noted_beforehand(
    tmp_path: Path, edit: Callable[[Path], Any], cause: str
) -> None:
    folder = tiny_folder(tmp_path / "model")
    assert check(verified(folder), "llama.cpp").verdict == "pass"
    edit(folder / NAME)
    refused(folder, cause)


def test_rules_in_rules_without_end_are_none_that_is_known() -> None:
    rule: dict[str, Any] = {"type": "ByteLevel"}
    for _ in range(100_000):
        rule = {"type": "Sequence", "pretokenizers": [rule]}
    assert "--tokenizer_pre" in str(objection({"model": {"type": "BPE"}, "pre_tokenizer": rule}))


def test_layers_that_differ_are_noted_beside_it(tmp_path: Path) -> None:
    _, pruned = pruned_pair(tmp_path)
    (pruned / NAME).unlink()
    assert codes(verified(pruned), "llama.cpp", "warn") == {"deci_needed", "not_written"}


@pytest.mark.parametrize(
    ("rule", "cause"),
    [(None, None), ({"type": "Whitespace"}, "name llama.cpp's with --tokenizer_pre")],
)
def test_of_a_long_one_the_beginning_tells(
    tmp_path: Path, rule: dict[str, str] | None, cause: str | None
) -> None:
    path = tiny_folder(tmp_path / "model") / NAME
    edit_json(path, {"pre_tokenizer": rule} if rule else {})
    replaced(vocab=MANY)(path)
    assert path.stat().st_size > 1 << 20
    # Whatever comes behind that is not read.
    path.write_text(path.read_text("utf-8")[: (1 << 20) + 9], "utf-8")
    said = folder_objection(LocalFolder(path.parent))
    assert (said is None) if cause is None else cause in str(said)


@pytest.mark.parametrize(
    "text",
    [
        '{"model": {"vocab": {%s}, "type": "WordPiece"}}',
        '{"added_tokens": [%s], "model": {"type": "WordPiece"}}',
        '{"model" "type": "WordPiece" %s',
        '{"added_tokens": ' + "[" * 100_000 + " %s",
    ],
    ids=["type behind", "model behind", "no JSON", "deep"],
)
def test_what_the_beginning_does_not_tell_is_left_to_convert(tmp_path: Path, text: str) -> None:
    (tmp_path / NAME).write_text(text % ('"word": 1,' * 200_000))
    assert folder_objection(LocalFolder(tmp_path)) is None


def test_a_vocabulary_as_gemmas_is_not_too_large(tmp_path: Path) -> None:
    # 256,000 tokens and 580,000 merges.
    folder = tiny_folder(tmp_path / "model")
    merges = [f"▁tok{number} ü{number}" for number in range(580_000)]
    vocab = {f"▁tok{number}ü": number for number in range(256_000)}
    edit_json(folder / NAME, {"model": {"type": "BPE", "vocab": vocab, "merges": merges}})
    with pytest.raises(PrunescopeError, match="token 255999 has no row among the embedding's 320"):
        export_gguf(folder, tmp_path / "m.gguf")
