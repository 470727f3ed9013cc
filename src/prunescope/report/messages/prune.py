"""What does the pruner say?"""

MESSAGES: dict[str, tuple[str, str]] = {
    "prune_plan": ("剪枝计划", "Pruning plan"),
    "prune_model": ("模型: {path} ({n:,} 参数)", "Model: {path} ({n:,} parameters)"),
    "prune_method": ("方法: {method}, 设备: {device}", "Method: {method}, device: {device}"),
    "prune_attention": (
        "Attention 层 {layers}: 每层移除 {n}/{total} 个 GQA 组 (KV 头及其查询头)",
        "Attention of layers {layers}: {n} of {total} GQA groups (a KV head with its query "
        "heads) removed in each",
    ),
    "prune_mlp": (
        "MLP 层 {layers}: 每层移除 {n}/{total} 个通道",
        "MLP of layers {layers}: {n} of {total} channels removed in each",
    ),
    "prune_zero": (
        "注意: 剪枝比例 {ratio} 乘以 {total} 个单元后取整为 0, 不会移除任何单元",
        "Note: ratio {ratio} of {total} units rounds to none, so none is removed",
    ),
    "prune_scoring": ("逐层计算并评分", "Scoring layer by layer"),
    "prune_magnitude": ("计算权重重要性", "Scoring weights"),
    "prune_loss": ("校准损失: {loss:.4f}", "Calibration loss: {loss:.4f}"),
    "prune_result": (
        "#参数 剪枝前: {a:,}, 剪枝后: {b:,}, 保留率 = {p:.4f}%",
        "#Param before: {a:,}, #Param after: {b:,}, Ratio = {p:.4f}%",
    ),
    "prune_saved": ("剪枝后模型已保存到: {path}", "Pruned model saved to {path}"),
    "prune_not_saved": (
        "未保存模型 (加上 --save_model 以保存)",
        "Model not saved (add --save_model to save it)",
    ),
    "test_before": ("剪枝前测试", "Before pruning"),
    "test_after": ("剪枝后测试", "After pruning"),
    "test_perplexity": (
        "困惑度 ({text}, {windows} × {length} 词元): {ppl:.2f}",
        "Perplexity ({text}, {windows} × {length} tokens): {ppl:.2f}",
    ),
    "embedded_text": ("内置评测文本", "embedded evaluation text"),
    "measuring_perplexity": ("计算困惑度", "Measuring perplexity"),
    "help_prune": (
        "结构化剪枝 (LLM-Pruner 方法): 整组移除 GQA 头与 MLP 通道。\n\n示例: {example}",
        "Structured pruning (LLM-Pruner's method): whole GQA groups and MLP channels are "
        "removed.\n\nExample: {example}",
    ),
    "help_base_model": ("原始模型目录", "folder of the model to prune"),
    "help_pruning_ratio": (
        "每层移除的比例, [0, 1); 取最接近的整数个单元",
        "share of each pruned layer to remove, in [0, 1); the nearest whole number of units",
    ),
    "help_save_name": (
        "输出目录名: prune_log/<名称>",
        "name of the output folder: prune_log/<name>",
    ),
    "help_pruner_type": ("重要性度量", "importance measure"),
    "help_taylor": ("Taylor 重要性的形式", "form of the Taylor importance"),
    "help_block_wise": (
        "按块剪枝: attention 组与 MLP 通道 (默认)",
        "block-wise: attention groups and MLP channels (default)",
    ),
    "help_channel_wise": ("按隐藏维度剪枝", "channel-wise: the hidden dimension"),
    "help_layer_wise": ("按层剪枝: 只保留前 --layer 层", "layer-wise: keep the first --layer"),
    "help_layer": ("按层剪枝时保留的层数", "layers that --layer_wise keeps"),
    "help_mlp_start": ("MLP 剪枝的起始层 (含)", "first layer whose MLP is pruned"),
    "help_mlp_end": ("MLP 剪枝的结束层 (不含)", "the layer after the last whose MLP is pruned"),
    "help_attention_start": ("Attention 剪枝的起始层 (含)", "first layer whose heads are pruned"),
    "help_attention_end": (
        "Attention 剪枝的结束层 (不含)",
        "the layer after the last whose heads are pruned",
    ),
    "help_iterative_steps": ("迭代次数", "number of pruning steps"),
    "help_grouping": (
        "耦合组内各张量得分的合并方式",
        "how the scores of coupled tensors are combined",
    ),
    "help_global": ("跨层统一排序", "one ranking across layers"),
    "help_num_examples": ("校准样本数", "number of calibration examples"),
    "help_max_seq_len": (
        "评测窗口与生成的最大词元数",
        "tokens of an evaluation window and of a generation",
    ),
    "help_calibration_len": ("每个校准样本的词元数", "tokens of a calibration example"),
    "help_calibration": (
        "校准文本: 文本, JSONL 或 Parquet 文件, 或 hf://datasets/组织/名称[:配置[:划分]] "
        "(默认: 内置文本)",
        "what to calibrate on: a text, JSONL or Parquet file, or "
        "hf://datasets/ORG/NAME[:CONFIG[:SPLIT]] (default: the embedded text)",
    ),
    "help_dtype": (
        "评分时的计算类型 (默认: 模型自身的类型)",
        "what scoring computes in (default: the model's own type)",
    ),
    "help_resume": (
        "保留评分进度, 并从中断处继续",
        "keep the progress of scoring, and go on where an interrupted run left off",
    ),
    "help_save_scores": (
        "把所有得分保存到此文件 (safetensors)",
        "save the scores of everything to this file (safetensors)",
    ),
    "help_scores": (
        "使用已保存的得分, 不再评分",
        "choose by the scores in this file instead of measuring",
    ),
    "help_device": (
        "剪枝所用设备 (默认: 有 CUDA 则用 CUDA)",
        "device for pruning (default: CUDA where there is one)",
    ),
    "help_eval_device": ("评测所用设备 (默认同 --device)", "device for tests (default: --device)"),
    "help_test_before": (
        "剪枝前生成文本并计算困惑度",
        "generate text and measure perplexity before pruning",
    ),
    "help_test_after": (
        "剪枝后生成文本并计算困惑度",
        "generate text and measure perplexity after pruning",
    ),
    "help_temperature": ("生成温度", "temperature of the generations"),
    "help_top_p": ("生成的 top-p", "top-p of the generations"),
    "help_seed": ("随机种子", "random seed"),
    "help_save_model": (
        "保存到 prune_log/<名称>/pytorch_model.bin",
        "save to prune_log/<name>/pytorch_model.bin",
    ),
}
