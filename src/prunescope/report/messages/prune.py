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
    "prune_attention_query": (
        "Attention 层 {layers}: 每层移除 {n}/{total} 个查询头 (每组相同数量), 保留全部 KV 头",
        "Attention of layers {layers}: {n} of {total} query heads removed in each, as many of each "
        "group; KV heads stay",
    ),
    "prune_attention_naive": (
        "Attention 层 {layers}: 每层移除 {n}/{total} 个 KV 头及编号相同的查询头",
        "Attention of layers {layers}: {n} of {total} KV heads and the query heads of the same "
        "numbers removed in each",
    ),
    "prune_naive": (
        "警告: 剩余的查询头会配上并非一起训练的 KV 头 (--gqa group 可避免)",
        "Warning: surviving query heads meet foreign KV heads, with which they were not trained "
        "(--gqa group avoids it)",
    ),
    "prune_hidden": (
        "隐藏维度: 在整个模型中移除 {n}/{total}",
        "Hidden dimension: {n} of {total} removed in the whole model",
    ),
    "prune_layers": ("整层: 移除 {n}/{total} 层", "Whole layers: {n} of {total} removed"),
    "prune_together": (
        "{kind} 层 {layers}: 跨层统一排序, 共移除 {n}/{total} 个单元, 每层至少保留 {floor}",
        "{kind} of layers {layers}: {n} of {total} units removed in one ranking across layers; "
        "each keeps at least {floor} of its units",
    ),
    "prune_knapsack": (
        "{kind} 层 {layers}: 在预算内按得分精确分配, 使损失的得分总和最小, 每层至少保留 {floor}",
        "{kind} of layers {layers}: units chosen by score, so that within the budget the least "
        "score is lost (exactly); each layer keeps at least {floor} of its units",
    ),
    "prune_searched": (
        "移除哪些层的哪些单元由搜索决定",
        "Which units go from which layers is for the search to say",
    ),
    "budget_sparsity": ("预算: 稀疏度至少 {value}", "Budget: sparsity of at least {value}"),
    "budget_parameters": (
        "预算: 至多 {value:,.0f} 参数",
        "Budget: at most {value:,.0f} parameters",
    ),
    "budget_memory": (
        "预算: 权重与 KV 缓存至多 {value:,.0f} 字节 ({batch} 个序列, 各 {context:,} 个词元)",
        "Budget: at most {value:,.0f} bytes of weights and KV cache ({batch} sequence(s) of "
        "{context:,} tokens)",
    ),
    "prune_planned": (
        "预计剪枝后: {n:,} 参数 (稀疏度 {s:.4f})",
        "Planned: {n:,} parameters (sparsity {s:.4f})",
    ),
    "prune_replay": (
        "按 {path} 的记录保留相同的索引, 不重新评分",
        "As recorded in {path}: the same indices are kept, nothing is scored",
    ),
    "search_title": ("剪枝方案搜索", "Search for a plan"),
    "search_parameters": ("参数量", "Parameters"),
    "search_sparsity": ("稀疏度", "Sparsity"),
    "search_perplexity": ("困惑度", "Perplexity"),
    "search_method": ("分配方式", "Method"),
    "search_attention": ("Attention 层", "Attention layers"),
    "search_mlp": ("MLP 层", "MLP layers"),
    "search_within": ("满足预算", "In budget"),
    "search_mark": ("标记", "Mark"),
    "search_yes": ("是", "yes"),
    "search_front": ("帕累托前沿", "Pareto front"),
    "search_chosen": ("选中", "chosen"),
    "search_measured": (
        "困惑度: {text}, {n} × {length} 词元",
        "Perplexity: {text}, {n} × {length} tokens",
    ),
    "searching": ("评测候选方案", "Trying candidates"),
    "help_search": (
        "在预算内搜索方案: 用同一组得分试多种层范围与分配方式, 取困惑度最低者",
        "search within the budget: ranges and ways to share it out, all by one set of scores; the "
        "lowest perplexity is taken",
    ),
    "help_search_tokens": (
        "--search 评测每个候选所用的词元数",
        "tokens on which --search tries each candidate",
    ),
    "help_search_csv": (
        "将 --search 的所有候选写成 CSV",
        "write every candidate of --search to this CSV",
    ),
    "help_search_plot": (
        "将 --search 的帕累托前沿画成图 (.png, .svg, .pdf)",
        "draw the Pareto front of --search to this file (.png, .svg, .pdf)",
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
        "剪枝: 移除注意力头, 通道, 隐藏维度或层。\n\n"
        "结构化剪枝 (LLM-Pruner 方法); 除非另有选择, 移除整组 GQA 头与 MLP 通道。",
        "Prune: remove heads, channels, hidden columns or layers.\n\n"
        "Structured pruning, by LLM-Pruner's method; unless options say otherwise, whole GQA "
        "groups and MLP channels are removed.",
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
    "help_channel_wise": (
        "按隐藏维度剪枝: 整个模型, 包括嵌入与归一化",
        "channel-wise: the hidden dimension of the whole model, embeddings and norms included",
    ),
    "help_layer_wise": ("按层剪枝: 保留 --layer 层", "layer-wise: keep --layer layers"),
    "help_depth_by": (
        "按层剪枝保留哪些层: 最前的, 或块影响最大的",
        "which layers --layer_wise keeps: the first, or those of the largest block influence",
    ),
    "help_gqa": (
        "Attention 的单元: KV 头及其查询头; 每组同样多的查询头; 或编号相同的 KV 头与查询头",
        "unit of attention: a KV head with its query heads; a query head, as many of each group; "
        "or a KV head and the query head of the same number",
    ),
    "help_layer_ratios": (
        "各层的比例, 如 3:0.1,4:0.3, 或 JSON 文件",
        "ratios by layer, such as 3:0.1,4:0.3, or a JSON file",
    ),
    "help_round_to": ("宽度保持为它的倍数", "widths are kept multiples of it"),
    "help_target_sparsity": (
        "代替比例: 至少达到的整体稀疏度",
        "instead of a ratio: sparsity of the whole model, at least",
    ),
    "help_target_params": (
        "代替比例: 最多的参数量, 如 6.7B",
        "instead of a ratio: parameters at most, such as 6.7B",
    ),
    "help_target_memory": (
        "代替比例: 权重与 KV 缓存最多占用的内存, 如 12GiB",
        "instead of a ratio: memory of weights and KV cache at most, such as 12GiB",
    ),
    "help_prune_batch": ("--target_memory 的序列数", "sequences, for --target_memory"),
    "help_prune_context": ("--target_memory 每个序列的词元数", "tokens of each sequence, likewise"),
    "help_layer_floor": (
        "--allocation global 或 knapsack 时每层至少保留的比例",
        "share of its units that each layer keeps with --allocation global or knapsack",
    ),
    "help_plan": (
        "按某个 pruning.json 保留相同的索引, 不重新评分",
        "keep what this pruning.json kept, without scoring",
    ),
    "help_layer": ("按层剪枝时保留的层数", "how many layers --layer_wise keeps"),
    "help_mlp_start": ("MLP 剪枝的起始层 (含)", "first layer whose MLP is pruned"),
    "help_mlp_end": ("MLP 剪枝的结束层 (不含)", "the layer after the last whose MLP is pruned"),
    "help_layer_end": (
        "31; 层数更少的模型为其最后一层",
        "31, or a smaller model's last layer",
    ),
    "help_attention_start": ("Attention 剪枝的起始层 (含)", "first layer whose heads are pruned"),
    "help_attention_end": (
        "Attention 剪枝的结束层 (不含)",
        "the layer after the last whose heads are pruned",
    ),
    "help_iterative_steps": (
        "分几步剪枝, 每步重新评分",
        "prune in so many steps, scored anew before each",
    ),
    "help_grouping": (
        "耦合组内各张量得分的合并方式",
        "how the scores of coupled tensors are combined",
    ),
    "help_global": (
        "跨层统一排序, 即 --allocation global",
        "one ranking across layers: --allocation global",
    ),
    "help_allocation": (
        "各层如何分担: 比例相同; 各类单元跨层统一排序; 或在预算内使损失的得分最小 (精确背包). "
        "auto: 有预算时 knapsack, 否则 uniform",
        "how layers share what goes: alike; by one ranking of each kind of unit across layers; or, "
        "under a budget, so that the least score is lost (an exact knapsack). "
        "auto: knapsack under a budget, else uniform",
    ),
    "help_num_examples": ("校准样本数", "number of calibration examples"),
    "help_max_seq_len": (
        "评测窗口与生成的最大词元数",
        "tokens of an evaluation window and of a generation",
    ),
    "help_calibration_len": ("每个校准样本的词元数", "tokens of a calibration example"),
    "help_calibration": (
        "校准文本: 文本, JSONL 或 Parquet 文件, wikitext2, ptb, c4, alpaca, 或 "
        "hf://datasets/组织/名称[:配置[:划分]] (默认: 内置文本)",
        "what to calibrate on: a text, JSONL or Parquet file, wikitext2, ptb, c4, alpaca, or "
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
        "保存到 prune_log/<名称>/",
        "save to prune_log/<name>/",
    ),
}
