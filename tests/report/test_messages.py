"""Both languages say the same, and nothing is said that nobody uses."""

from __future__ import annotations

import re
from pathlib import Path
from pkgutil import iter_modules
from string import Formatter

import pytest

import prunescope
from prunescope.architecture import load_family
from prunescope.report import messages
from prunescope.report.messages import LANGUAGES, ROOMS, Messages, sentences

CATALOGUE = {key: said for room in ROOMS for key, said in sentences(room).items()}
SOURCES = [
    path.read_text(encoding="utf-8")
    for path in Path(prunescope.__file__).parent.rglob("*")
    # Templates speak too.
    if path.suffix in (".py", ".html") and path.parent.name != "messages"
]
# `say(f"prune_{kind}")`: one message for each kind of group a family prunes.
BY_KIND = {f"prune_{kind}" for kind in load_family("llama").groups}
# `say(f"why_{finding.code}")` and the like: the code, not the key, stands in the source.
BY_CODE = ("why_", "check_", "verdict_", "source_", "verify_")


def placeholders(text: str) -> list[tuple[str, str]]:
    """Each field with its format, in no order: word order differs between the languages."""
    return sorted((name, form or "") for _, name, form, _ in Formatter().parse(text) if name)


def test_no_sentence_has_two_homes() -> None:
    assert sorted(ROOMS) == sorted(module.name for module in iter_modules(messages.__path__))
    keys = [key for room in ROOMS for key in sentences(room)]
    assert sorted(keys) == sorted(CATALOGUE)


@pytest.mark.parametrize("key", CATALOGUE)
def test_both_languages_take_the_same_values(key: str) -> None:
    zh, en = CATALOGUE[key]
    assert zh.strip()
    assert en.strip()
    assert placeholders(zh) == placeholders(en)


@pytest.mark.parametrize("key", CATALOGUE)
def test_english_is_ascii_letters_and_signs(key: str) -> None:
    assert not re.search(r"[\u3000-\u303f\u4e00-\u9fff\uff00-\uffef]", CATALOGUE[key][1])


@pytest.mark.parametrize("key", CATALOGUE)
def test_every_message_is_used(key: str) -> None:
    names = {key, *(key.removeprefix(prefix) for prefix in BY_CODE if key.startswith(prefix))}
    assert key in BY_KIND or any(f'"{name}"' in source for source in SOURCES for name in names)


def test_every_message_that_is_asked_for_exists() -> None:
    asked = {key for source in SOURCES for key in re.findall(r'\bsay\(\s*"(\w+)"', source)}
    assert asked
    assert asked <= CATALOGUE.keys()


def test_whatever_a_check_finds_has_a_sentence() -> None:
    found = {
        code
        for source in SOURCES
        for code in re.findall(r'\b[fF]inding\(\s*(?:"\w+"|verdict),\s*"(\w+)"', source)
    }
    assert len(found) > 40
    assert {f"why_{code}" for code in found} <= CATALOGUE.keys()


def test_a_message_is_said_in_the_language_chosen() -> None:
    assert LANGUAGES == ("zh", "en")
    assert Messages("zh")("total_original", n=1234567) == "原始模型总参数量: 1,234,567"
    assert Messages("en")("total_original", n=1234567) == "Original parameters: 1,234,567"


def test_the_missions_wording_is_kept() -> None:
    say = Messages("zh")
    assert [say(key) for key in ("layer_summary", "global_summary", "module_analysis")] == [
        "每层汇总统计",
        "全局统计",
        "详细模块分析",
    ]
    assert say("total_retention", r=0.8378, p=83.78) == "整体保留率: 0.8378 (83.78%)"
    assert say("total_sparsity", r=0.1622, p=16.22) == "整体稀疏度: 0.1622 (16.22%)"
    assert say("size_original", gib=14.97) == "原始模型总大小: 14.97 GB"
    assert say("size_pruned", gib=12.54) == "剪枝后模型大小: 12.54 GB"
    assert say("size_saved", gib=2.43, p=16.22) == "物理空间减少: 2.43 GB (16.22%)"
