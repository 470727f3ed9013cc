"""What does the evaluation say?"""

MESSAGES: dict[str, tuple[str, str]] = {
    "eval_perplexity_title": (
        "困惑度 ({text}; 窗口 {window:,}, 步长 {stride:,}; {device})",
        "Perplexity ({text}; window {window:,}, stride {stride:,}; {device})",
    ),
    "eval_perplexity": ("困惑度", "Perplexity"),
    "eval_scored": ("计分词元数", "Tokens scored"),
    "eval_windows": ("窗口数", "Windows"),
    "eval_scored_speed": ("计分词元/秒", "Tokens scored/s"),
    "eval_streamed": (
        "{path}: 逐层从磁盘读取权重 (内存放不下, 或 --stream)",
        "{path}: a layer at a time from the disk (memory is short, or --stream)",
    ),
    "eval_tasks_title": ("任务", "Tasks"),
    "eval_difference": ("差", "Difference"),
    "eval_speed_title": (
        "速度 (批大小 {batch:,}, 提示 {context:,} 词元, 写 {new:,} 词元, 轮流 {repeats} 次; "
        "{device})",
        "Speed (batch {batch:,}, prompts of {context:,} tokens, {new:,} written, {repeats} runs in "
        "turn; {device})",
    ),
    "eval_prefill": ("预填充词元/秒", "Prefill tokens/s"),
    "eval_decode": ("解码词元/秒", "Decode tokens/s"),
    "eval_range": ("  最低 - 最高", "  lowest - highest"),
    "eval_first": ("首词元时间 (毫秒)", "Time to first token (ms)"),
    "eval_memory": ("内存峰值 (GB)", "Peak memory (GB)"),
    "eval_prefill_bound": ("预填充词元/秒 上限", "Prefill tokens/s, at most"),
    "eval_decode_bound": ("解码词元/秒 上限", "Decode tokens/s, at most"),
    "eval_speed_note": (
        "(各次的中位数; 内存 = 权重 + 一次运行另外占用的最大值, 1 GB = 2^30 字节)",
        "(medians of the runs; memory = weights + the most that a run holds beyond them, "
        "1 GB = 2^30 bytes)",
    ),
    "eval_bound_note": (
        "(上限: {title} 的峰值所允许的, 见 prunescope cost)",
        "(at most: what the peaks of {title} allow, see prunescope cost)",
    ),
    "eval_texts_title": ("贪心生成 ({new} 词元)", "Greedy generations ({new} tokens)"),
    "measuring_speed": ("测量速度", "Measuring speed"),
    "help_eval": (
        "测量剪枝的代价与收益: 困惑度, 任务, 速度。\n\n以及生成的文本; 可与原始模型对照。",
        "Measure perplexity, tasks, speed and generated text.\n\n"
        "What pruning cost and what it bought, beside the original where it is named.",
    ),
    "help_eval_original": ("并列测量的原始模型", "the original model, measured beside it"),
    "help_eval_text": (
        "评测文本: 文本文件, JSONL, parquet, 或 wikitext2, ptb, c4 (默认: 内置评测文本)",
        "text to predict: a text file, JSON lines, parquet, or wikitext2, ptb, c4 (default: the "
        "embedded evaluation text)",
    ),
    "help_window": (
        "窗口的词元数, 不超过模型的位置数",
        "tokens of a window, at most the model's positions",
    ),
    "help_stride": ("相邻窗口起点的距离", "tokens from one window's start to the next one's"),
    "help_max_tokens": (
        "只用文本开头的这么多词元 (默认: 全部)",
        "only so many tokens of the text (default: all)",
    ),
    "help_bos": (
        "每个窗口前加一个 BOS 词元",
        "put a begin-of-text token before each window",
    ),
    "help_stream": (
        "困惑度逐层计算, 权重从磁盘读取 (默认: 内存放不下时)",
        "perplexity a layer at a time, weights from the disk (default: where memory is short)",
    ),
    "help_no_perplexity": ("不计算困惑度", "no perplexity"),
    "help_tasks": (
        "lm-evaluation-harness 的任务, 或任务的 YAML 文件, 以逗号分隔",
        "tasks of lm-evaluation-harness, or YAML files of such, separated by commas",
    ),
    "help_limit": ("每个任务只用前这么多个样本", "only the first examples of each task"),
    "help_speed": ("测量速度与内存", "measure speed and memory"),
    "help_speed_context": ("提示的词元数", "tokens of a prompt"),
    "help_new_tokens": (
        "--speed 与 --generate 写的词元数",
        "tokens that --speed and --generate write",
    ),
    "help_repeats": ("计入的运行次数", "runs that count"),
    "help_device_name": (
        "与此设备的峰值所允许的速度对照: {names}",
        "device whose peaks bound the speed: {names}",
    ),
    "help_generate": ("并列生成文本", "generate text side by side"),
    "help_prompt": (
        "生成所用的提示, 可多次给出 (默认: 三个内置提示)",
        "prompt to continue, may be repeated (default: three of our own)",
    ),
    "help_eval_on": (
        "测量所用设备 (默认: 有 CUDA 则用 CUDA)",
        "device to measure on (default: CUDA where there is one)",
    ),
}
