"""What does the recovery of a pruned model say?"""

MESSAGES: dict[str, tuple[str, str]] = {
    "recover_plan": ("恢复训练计划", "Recovery plan"),
    "recover_text": (
        "文本: {source}, {blocks:,} 块 × {length} 词元",
        "Text: {source}, {blocks:,} blocks of {length} tokens",
    ),
    "recover_lora": (
        "LoRA: r={rank}, alpha={alpha}, dropout={dropout}, {targets}; 设备: {device}",
        "LoRA: r={rank}, alpha={alpha}, dropout={dropout}, {targets}; device: {device}",
    ),
    "recover_steps": (
        "{steps:,} 步, 每步 {batch} 块 (每次 {micro} 块), 学习率 {rate:g}, 预热 {warmup} 步",
        "{steps:,} steps of {batch} blocks ({micro} at a time), learning rate {rate:g}, "
        "{warmup} of warmup",
    ),
    "recover_teacher": (
        "教师: {path}, 温度 {temperature:g}, 权重 {share:g}",
        "Teacher: {path}, temperature {temperature:g}, weight {share:g}",
    ),
    "recover_damaged": (
        "注意: {cause}; 改从 {path} 继续",
        "Note: {cause}; going on from {path} instead",
    ),
    "recovering": ("恢复训练", "Training"),
    "recover_loss": (
        "损失: 开始 {first:.4f}, 结束 {last:.4f} (首尾各十分之一步数的平均)",
        "Loss: {first:.4f} at first, {last:.4f} at last (means of the first and last tenth of "
        "the steps)",
    ),
    "recover_trained": (
        "训练了 {n:,} 个 LoRA 参数, 已合并入权重",
        "{n:,} LoRA parameters were trained and merged into the weights",
    ),
    "recover_saved": ("恢复后的模型已保存到: {path}", "Recovered model saved to {path}"),
    "help_recover": (
        "用 LoRA 恢复剪枝后的模型。\n\n默认值同 LLM-Pruner; 合并后按原来的文件, 名称与类型保存。",
        "Recover a pruned model with LoRA.\n\n"
        "With LLM-Pruner's settings; merged, and saved with the files, names and types that the "
        "model had.",
    ),
    "help_recover_output": ("输出目录", "folder to write the model to"),
    "help_recover_text": (
        "训练文本: 文本文件, JSONL, parquet, 或 wikitext2, ptb, c4, alpaca (默认: 内置校准文本)",
        "what to train on: a text file, JSON lines, parquet, or wikitext2, ptb, c4, alpaca "
        "(default: the embedded calibration text)",
    ),
    "help_epochs": ("遍数", "passes over the text"),
    "help_max_steps": ("最多的步数", "most optimizer steps"),
    "help_learning_rate": ("最高学习率, 线性降到 0", "highest learning rate; falls linearly to 0"),
    "help_batch_size": ("每步的块数", "blocks per step"),
    "help_micro_batch": (
        "每次前向的块数 (默认: 不超过 4 且能整除 --batch-size 的最大值)",
        "blocks per forward pass (default: as many as divide --batch-size, at most 4)",
    ),
    "help_cutoff": ("每块的词元数", "tokens of a block"),
    "help_warmup": (
        "预热步数, 不超过总步数的十分之一",
        "steps of warmup, at most a tenth of all",
    ),
    "help_lora_r": ("LoRA 的秩", "rank of LoRA"),
    "help_lora_alpha": ("LoRA 的 alpha", "alpha of LoRA"),
    "help_lora_dropout": ("LoRA 的 dropout", "dropout of LoRA"),
    "help_lora_targets": ("加 LoRA 的投影", "projections that get a LoRA"),
    "help_teacher": (
        "教师模型 (未剪枝的原始模型): 同时学习它的输出分布",
        "the teacher, as the unpruned model: its guesses are learnt too",
    ),
    "help_distill_temperature": ("教师输出的温度", "temperature of the teacher's guesses"),
    "help_distill_weight": (
        "教师所占的权重, 其余归文本",
        "weight of the teacher; the rest is the text's",
    ),
    "help_save_steps": ("检查点之间的步数", "steps between checkpoints"),
    "help_recover_resume": (
        "从输出目录中最后一个完整的检查点继续",
        "go on from the last whole checkpoint in the output folder",
    ),
    "help_train_on": (
        "训练所用设备 (默认: 有 CUDA 则用 CUDA)",
        "device for training (default: CUDA where there is one)",
    ),
}
