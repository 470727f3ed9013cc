"""What does the comparison of sizes say?"""

MESSAGES: dict[str, tuple[str, str]] = {
    "size_title": ("模型大小", "Model size"),
    "size_model": ("模型", "Model"),
    "size_weights": ("权重文件", "Weight files"),
    "size_folder": ("整个目录", "Whole folder"),
    "size_parameters": ("参数量", "Parameters"),
    "size_dtype": ("数据类型", "Dtype"),
    "size_bits": ("每个权重 {bits:.2f} 位", "{bits:.2f} bits per weight"),
    "size_original": ("原始模型总大小: {gib:.2f} GB", "Original model size: {gib:.2f} GB"),
    "size_pruned": ("剪枝后模型大小: {gib:.2f} GB", "Pruned model size: {gib:.2f} GB"),
    "size_saved": (
        "物理空间减少: {gib:.2f} GB ({p:.2f}%)",
        "Space saved on disk: {gib:.2f} GB ({p:.2f}%)",
    ),
    "size_params_saved": (
        "参数减少: {n:,} ({p:.2f}%)",
        "Parameters removed: {n:,} ({p:.2f}%)",
    ),
    "size_adapter": (
        "{path} 是适配器 ({kind}), 不是完整模型; 基础模型: {base}",
        "{path} is an adapter ({kind}), not a whole model; base model: {base}",
    ),
    "size_unit": (
        "(1 GB = 2^30 字节; 大小指权重文件)",
        "(1 GB = 2^30 bytes; sizes are those of the weight files)",
    ),
    "help_size": (
        "检查模型文件的物理大小与参数量。\n\n不带参数时列出 prune_log/ 下的所有模型。",
        "Show what a model weighs on disk and its parameters.\n\n"
        "Without arguments, every model under prune_log/.",
    ),
}
