"""`prunescope convert SRC DST`: options in, a folder and a few lines out."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from prunescope.cli.main import group
from prunescope.cli.run import run
from tests.support.adapters import lora_config, save_adapter
from tests.support.tiny import edit_json, tiny_folder, tiny_network


def call(*arguments: str | Path, lang: str = "en") -> int:
    with pytest.raises(SystemExit) as ended:
        run(group, "en", ["convert", *map(str, arguments), "--lang", lang])
    return int(ended.value.code or 0)


@pytest.fixture
def tied(tmp_path: Path) -> Path:
    network = tiny_network(tie_word_embeddings=True)
    source = tiny_folder(tmp_path / "tied", network)
    (source / "model.safetensors").unlink()
    torch.save(network.state_dict(), source / "pytorch_model.bin")
    return source


def test_says_what_was_written(tied: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tied.parent / "out"
    assert call(tied, out) == 0
    written, err = capsys.readouterr()
    assert written.splitlines() == [
        f"38 tensors, 0.00 GB in 1 file(s) written to {out}",
        "Tied weights are written once, transformers ties them again: "
        "lm_head.weight = model.embed_tokens.weight",
    ]
    assert err == ""


def test_in_chinese_and_what_is_not_as_in_the_source(
    tied: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    edit_json(tied / "config.json", {"tie_word_embeddings": None})
    assert call(tied, tied.parent / "out", lang="zh") == 0
    assert "共享权重以两个名字各写一次" in capsys.readouterr().out

    torch.save({"w": torch.ones(1)}, tied.parent / "lone.bin")
    assert call(tied.parent / "lone.bin", tied.parent / "lone", lang="zh") == 0
    assert "注意: 没有找到 config.json" in capsys.readouterr().out

    save_adapter(tied.parent / "lora", lora_config())
    assert call(tied.parent / "lora", tied.parent / "lora2", lang="zh") == 0
    assert "这是适配器" in capsys.readouterr().out


def test_options(tied: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tied.parent / "out"
    assert call(tied, out, "--max_shard_size", "20KB", "--quiet") == 0
    assert (out / "model.safetensors.index.json").is_file()
    other = tiny_folder(tied.parent / "other")
    capsys.readouterr()
    assert call(tied, other) == 2
    assert capsys.readouterr().err == (
        f"error: {other}: holds other files; --overwrite replaces the model in it\n"
    )
    assert call(tied, other, "--overwrite") == 0


@pytest.mark.parametrize(
    ("arguments", "cause"),
    [
        (["missing", "out"], "missing: no such file or directory"),
        (["tied", "out", "--max_shard_size", "big"], "'big' is no size such as 5GB or 200MB"),
        (["tied", "tied"], "holds the source"),
        (["tied"], "Missing argument 'DST'"),
    ],
)
def test_errors_are_one_line_and_exit_2(
    tied: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    cause: str,
) -> None:
    monkeypatch.chdir(tied.parent)
    assert call(*arguments) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("error: ")
    assert cause in err
    assert err.count("\n") == 1
    assert not Path("out").exists()


def test_it_needs_neither_torch_nor_numpy(tied: Path) -> None:
    script = (
        "import sys\nfrom pathlib import Path\n"
        "from prunescope.cli.main import group\nfrom prunescope.cli.run import run\n"
        "try: run(group, 'en', ['convert', 'tied', 'out'])\n"
        "except SystemExit as ended: assert not ended.code\n"
        "assert not {'torch', 'transformers', 'numpy', 'safetensors'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True, cwd=tied.parent)
    assert (tied.parent / "out" / "model.safetensors").is_file()


def test_writes_one_gguf_file_and_says_how(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source, file = tiny_folder(tmp_path / "model"), tmp_path / "m.gguf"
    capsys.readouterr()
    assert call(source, file, "--format", "gguf") == 0
    written, err = capsys.readouterr()
    # Four layers of seven matrices and two norms; embedding, norm and head.
    assert written == (
        f"Wrote {file}: 39 tensors (30 F16, 9 F32), 0.00 GB, architecture llama of llama.cpp\n"
    )
    assert err == ""
    assert call(source, file, "--format", "gguf", lang="zh") == 2
    assert "--overwrite" in capsys.readouterr().err
    assert call(source, file, "--format", "gguf", "--overwrite", lang="zh") == 0
    assert capsys.readouterr().out.startswith(f"已写入 {file}: 39 个张量 (30 F16, 9 F32)")


def test_gguf_takes_no_padding_and_no_gguf(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source, file = tiny_folder(tmp_path / "model"), tmp_path / "m.gguf"
    assert call(source, file, "--format", "gguf", "--uniform") == 2
    assert "--uniform is not for GGUF" in capsys.readouterr().err
    assert call(source, file, "--format", "gguf") == 0
    assert call(file, tmp_path / "n.gguf", "--format", "gguf") == 2
    assert "is GGUF already" in capsys.readouterr().err
