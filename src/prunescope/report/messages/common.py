"""What do all commands say? Errors, and the options they share."""

MESSAGES: dict[str, tuple[str, str]] = {
    "error": ("错误: {text}", "error: {text}"),
    "interrupted": ("已中断", "interrupted"),
    "help_lang": ("输出语言", "language of the output"),
    "help_json": ("以 JSON 输出到标准输出", "print JSON to standard output"),
    "help_quiet": ("不显示进度条", "no progress bars"),
    "help_original": (
        "原始模型: 目录, 权重文件或分片索引",
        "the original model: a folder, a weight file or a shard index",
    ),
    "help_pruned": (
        "剪枝后模型: 目录, 权重文件或分片索引",
        "the pruned model: a folder, a weight file or a shard index",
    ),
    "generic_note": (
        "未知架构 {type}: 层与模块按张量名中重复的编号及其后的名称读取",
        "unknown architecture {type}: layers and modules are read off tensor names, by the number "
        "that repeats in them and what follows it",
    ),
    "stacks_note": (
        "层编号依次连续: {stacks}",
        "layers are numbered one stack after the other: {stacks}",
    ),
    "help_output": ("CSV 报告的路径", "where to write the CSV table"),
    "help_root": (
        "剪枝大语言模型, 测量并证明剪枝做了什么。",
        "Prune large language models, measure and prove what pruning did.",
    ),
}
