"""What do the layer tables, their plot and their help say?"""

MESSAGES: dict[str, tuple[str, str]] = {
    "layer_summary": ("每层汇总统计", "Per-layer summary"),
    "global_summary": ("全局统计", "Whole model"),
    "module_analysis": ("详细模块分析", "Module by module"),
    "layer_number": ("层编号", "Layer"),
    "layer": ("层", "Layer"),
    "original_parameters": ("原始参数量", "Original params"),
    "pruned_parameters": ("剪枝后参数量", "Pruned params"),
    "retention": ("保留率", "Retention"),
    "sparsity": ("稀疏度", "Sparsity"),
    "original_shape": ("原始维度", "Original shape"),
    "pruned_shape": ("剪枝后维度", "Pruned shape"),
    "not_pruned": ("# 未剪枝", "# not pruned"),
    "is_pruned": ("# 已剪枝", "# pruned"),
    "has_grown": ("# 参数增加", "# grown"),
    "total_original": ("原始模型总参数量: {n:,}", "Original parameters: {n:,}"),
    "total_pruned": ("剪枝后模型总参数量: {n:,}", "Pruned parameters: {n:,}"),
    "total_removed": ("参数减少量: {n:,}", "Parameters removed: {n:,}"),
    "total_retention": (
        "整体保留率: {r:.4f} ({p:.2f}%)",
        "Overall retention: {r:.4f} ({p:.2f}%)",
    ),
    "total_sparsity": (
        "整体稀疏度: {r:.4f} ({p:.2f}%)",
        "Overall sparsity: {r:.4f} ({p:.2f}%)",
    ),
    "tied": (
        "共享权重只计一次: {names}",
        "Tied weights are counted once: {names}",
    ),
    "verdict_same": (
        "✅ 所有已剪枝层的 {module} 剪枝度一致: {r:.4f}",
        "✅ All pruned layers keep the same share of {module}: {r:.4f}",
    ),
    "verdict_differs": (
        "⚠️ {module} 剪枝度不一致: 多数已剪枝层为 {r:.4f}, 例外的层: {outliers}",
        "⚠️ {module} differs between layers: most pruned layers keep {r:.4f}, except: {outliers}",
    ),
    "verdict_spread": (
        "⚠️ {module} 剪枝度不一致: 各已剪枝层为 {low:.4f} 至 {high:.4f}",
        "⚠️ {module} differs between layers: pruned layers keep {low:.4f} to {high:.4f}",
    ),
    "verdict_none": (
        "✅ {module} 在所有层均未剪枝 (保留率 1.0000)",
        "✅ {module} is not pruned in any layer (retention 1.0000)",
    ),
    "verdict_grown": (
        "⚠️ {module} 的参数比原始模型多 (如新增 bias) 的层: {layers}",
        "⚠️ {module} has more parameters than in the original (a bias, say) in layers: {layers}",
    ),
    "head_of_original": (
        "注意: 只有原始模型存有单独的输出头 ({n:,} 参数); 它计入减少量, 但不属于任何层",
        "Note: only the original stores an output head of its own ({n:,} parameters); it counts as "
        "removed, but belongs to no layer",
    ),
    "head_of_pruned": (
        "注意: 只有剪枝后模型存有单独的输出头 ({n:,} 参数); 与嵌入共享时不计, 单独存储时计入",
        "Note: only the pruned model stores an output head of its own ({n:,} parameters); tied to "
        "the embedding it would not count",
    ),
    "tokens_added": (
        "注意: 词表从 {a:,} 增至 {b:,} 个词元; 增加的参数已从减少量中扣除",
        "Note: the vocabulary grew from {a:,} to {b:,} tokens; what that adds is taken off what "
        "was removed",
    ),
    "unpruned_layers": ("   未剪枝的层: {layers}", "   Layers not pruned: {layers}"),
    "help_align_layers": (
        "剪枝后的各层对应原始模型的哪一层: auto 层数相同时按编号, 否则按 pruning.json 或权重; "
        "numbers 总按编号; weights 总按权重",
        "which layer of the original a pruned layer is: auto by number where there are as many, "
        "else by pruning.json or the weights; numbers; weights",
    ),
    "depth_numbers": (
        "注意: 原始模型有 {a} 层, 剪枝后有 {b} 层; 各层按文件中的编号对应",
        "Note: the original has {a} layers, the pruned model {b}; layers are matched by number",
    ),
    "depth_record": (
        "注意: 原始模型有 {a} 层, 剪枝后有 {b} 层; 按 pruning.json 对应, 层编号是原始模型的",
        "Note: the original has {a} layers, the pruned model {b}; matched by pruning.json, "
        "numbered as in the original",
    ),
    "depth_weights": (
        "注意: 原始模型有 {a} 层, 剪枝后有 {b} 层; 按权重对应, 层编号是原始模型的",
        "Note: the original has {a} layers, the pruned model {b}; matched by their weights, "
        "numbered as in the original",
    ),
    "depth_given": (
        "注意: 原始模型有 {a} 层, 剪枝后有 {b} 层; 按指定的对应关系, 层编号是原始模型的",
        "Note: the original has {a} layers, the pruned model {b}; matched as given, numbered as "
        "in the original",
    ),
    "csv_written": ("详细结果已保存到: {path}", "Table written to {path}"),
    "plot_written": ("图已保存到: {path}", "Plot written to {path}"),
    "plot_title": ("各层稀疏度", "Layer-wise Sparsity Distribution"),
    "plot_heat": ("各投影的稀疏度", "Sparsity of Each Projection"),
    "help_plot_width": (
        "图的宽度: 论文的单栏 (3.3 英寸) 或双栏 (6.8 英寸)",
        "width of the plot: one column of a paper (3.3 in) or two (6.8 in)",
    ),
    "plot_x": ("层编号", "Layer Index"),
    "plot_y": ("稀疏度", "Sparsity"),
    "plot_overall": ("整体稀疏度 ({p:.1f}%)", "Overall Sparsity ({p:.1f}%)"),
    "help_plot": (
        "将每层稀疏度画成图 (.png, .svg, .pdf)",
        "draw the sparsity of each layer to this file (.png, .svg, .pdf)",
    ),
    "help_analyze": (
        "逐层分析剪枝: 维度, 保留率, 稀疏度。\n\n每层, 全局, 每个模块。只读取文件头。",
        "Show what each layer and module lost to pruning.\n\n"
        "Shapes, retention and sparsity, from file headers alone.",
    ),
    "help_and_verify": (
        "同时验证剪枝结果; 有检查失败时退出码为 1",
        "verify the pruned model too; exits with 1 if a check fails",
    ),
}
