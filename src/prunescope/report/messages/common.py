"""What do all commands say? Errors, and the options they share."""

MESSAGES: dict[str, tuple[str, str]] = {
    "error": ("错误: {text}", "error: {text}"),
    "warning": ("警告: {text}", "warning: {text}"),
    "interrupted": ("已中断", "interrupted"),
    "help_lang": ("输出语言", "language of the output"),
    "help_json": ("以 JSON 输出到标准输出", "print JSON to standard output"),
    "help_markdown": ("以 Markdown 输出", "print Markdown"),
    "help_latex": (
        "以 LaTeX 输出, 表格使用 booktabs",
        "print LaTeX, with tables ruled by booktabs",
    ),
    "help_quiet": (
        "标准错误只输出错误: 不显示进度条和提示",
        "nothing but errors on standard error: no progress bars, no notes",
    ),
    "help_every": (
        "每层一行, 不合并相同的相邻层",
        "a row for each layer, where equal neighbours would share one",
    ),
    "written": ("已写入: {path}", "Written to {path}"),
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
    "first_steps": ("从这里开始", "First steps"),
    "first_model": ("一个真实的小模型, 无需模型下载站", "a small real model, without a model hub"),
    "first_prune": ("移除第 3..26 层的四分之一", "remove a quarter of layers 3..26"),
    "first_look": ("看每一层失去了什么", "see what each layer lost"),
    "exit_codes": (
        "退出码: 0 正常; 1 检查未通过; 2 输入有误; 130 被中断。",
        "Exit codes: 0 fine; 1 a check failed; 2 bad input; 130 interrupted.",
    ),
    "help_example": ("示例:", "Example:"),
    "help_root": (
        "剪枝大语言模型, 测量并证明剪枝做了什么。",
        "Prune large language models, measure and prove what pruning did.",
    ),
}
