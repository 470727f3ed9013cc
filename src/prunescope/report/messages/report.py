"""What does the report in HTML say?"""

MESSAGES: dict[str, tuple[str, str]] = {
    "report_title": ("剪枝报告", "Pruning report"),
    "report_language": ("语言", "Language"),
    "report_theme": ("主题", "Theme"),
    "report_theme_auto": ("自动", "Auto"),
    "report_theme_light": ("浅色", "Light"),
    "report_theme_dark": ("深色", "Dark"),
    "report_skip": ("跳到正文", "Skip to the content"),
    "report_contents": ("目录", "Contents"),
    "report_headline": ("概览", "At a glance"),
    "report_before": ("原为 {text}", "was {text}"),
    "report_removed": ("移除 {n:,} 个参数 ({p:.2f}%)", "{n:,} parameters removed ({p:.2f}%)"),
    "report_failed": ("{n} 项失败", "{n} failed"),
    "report_noted": ("{n} 项需注意; 每项检查见下方", "{n} to note; each check is below"),
    "report_checks_good": ("没有检查失败", "No check failed"),
    "report_checks_noted": ("没有检查失败, {n} 项需注意", "No check failed, {n} to note"),
    "report_checks_failed": ("{n} 项检查失败", "{n} check(s) failed"),
    "report_perplexity": ("困惑度", "Perplexity"),
    "report_prefill": ("预填充词元/秒", "Prefill tokens/s"),
    "report_decode": ("解码词元/秒", "Decode tokens/s"),
    "report_peak": ("峰值内存", "Peak memory"),
    "report_text": ("文本", "Text"),
    "report_device": ("设备", "Device"),
    "report_task": ("任务", "Task"),
    "report_metric": ("指标", "Metric"),
    "report_value": ("值", "Value"),
    "report_verdict": ("检查", "Checks"),
    "report_measured": ("实测", "Measured"),
    "report_unmatched": (
        "评测文件中还有不在本报告内的模型: {paths}",
        "Measured, but none of the models here: {paths}",
    ),
    "report_front": ("帕累托前沿", "Pareto front"),
    "report_front_caption": (
        "参数量与困惑度, 越靠左下越好。实心圆及连线: 没有其他模型在两方面都不差且至少一方面更好。",
        "Parameters and perplexity; lower left is better. Filled and joined: no other model is "
        "as good in both and better in one.",
    ),
    "report_on_front": ("在前沿上", "on the front"),
    "report_by_layer": ("各层稀疏度", "Sparsity of each layer"),
    "report_by_layer_caption": (
        "每层移除的参数占原来的比例; 虚线为整个模型的值, 若给出目标则另有一条。",
        "The share of each layer's parameters that was removed; the dashed line is the whole "
        "model's, a second one the target where one was given.",
    ),
    "report_target": ("目标稀疏度 ({p:.1f}%)", "Target Sparsity ({p:.1f}%)"),
    "report_heat": ("模块 × 层", "Module × layer"),
    "report_heat_caption": (
        "每个投影的稀疏度, 格内数字为百分比; 详细表格中有全部数值。",
        "Sparsity of each projection, in percent; the table below has every figure.",
    ),
    "report_kept_title": ("保留的头与通道", "Heads and channels kept"),
    "report_kept_by": (
        "依据: {source}。每行一层, 每格一个单元 (单元多时为一段, 保留越少颜色越浅): 着色为保留, "
        "× 为移除。",
        "By {source}. One row a layer, one cell a unit: filled is kept, × is gone. Where there "
        "are many, a cell is a stretch, the paler the fewer of it were kept.",
    ),
    "report_kept_unknown": (
        "没有 pruning.json, 也未读取权重 (--trace): 已剪枝层保留了哪些单元未知。",
        "There is no pruning.json, and weights were not read (--trace): which units the pruned "
        "layers kept is not known.",
    ),
    "report_unpriced": (
        "此家族没有计算推理成本的公式。",
        "There are no formulas for what this family costs to run.",
    ),
    "report_kept": ("保留", "kept"),
    "report_unit": ("原始编号", "Number in the original"),
    "report_trace": ("权重追踪", "Trace of the weights"),
    "report_sizes": ("大小构成", "What takes the room"),
    "report_component": ("组成部分", "Component"),
    "report_bytes_gb": ("GB (2^30 字节)", "GB (2^30 bytes)"),
    "report_original": ("原始", "Original"),
    "report_pruned": ("剪枝后", "Pruned"),
    "report_bytes_retention": ("字节保留率", "Bytes kept"),
    "component_embedding": ("词嵌入", "Embedding"),
    "component_attention": ("注意力", "Attention"),
    "component_mlp": ("MLP", "MLP"),
    "component_norms": ("归一化", "Norms"),
    "component_head": ("输出层", "Output head"),
    "component_other": ("其他", "Other"),
    "report_table": ("详细表格", "Every module"),
    "report_filter": ("筛选 (层, 模块, 维度)", "Filter (layer, module, shape)"),
    "report_any_module": ("模块", "Module"),
    "report_only_pruned": ("仅已剪枝", "pruned only"),
    "report_shown": ("行", "rows"),
    "report_rows_left_out": (
        "另有 {n:,} 行未列出; prunescope analyze --output table.csv 写出全部。",
        "{n:,} more rows are left out; prunescope analyze --output table.csv writes them all.",
    ),
    "report_layers_left_out": (
        "图中只画前面的层, 另有 {n:,} 层未画。",
        "Charts draw the first layers; {n:,} more are left out.",
    ),
    "report_provenance": ("来源", "Provenance"),
    "report_file": ("文件", "File"),
    "report_bytes": ("字节", "Bytes"),
    "report_digest": ("SHA-256", "SHA-256"),
    "report_not_read": ("未计算 (--sha256)", "not computed (--sha256)"),
    "report_files_left_out": ("另有 {n:,} 个文件", "and {n:,} more files"),
    "report_command": ("命令", "Command"),
    "report_versions": ("版本", "Versions"),
    "report_licenses": ("图表库的许可证", "Licences of the chart libraries"),
    "report_noscript": (
        "图, 排序与筛选需要 JavaScript; 表格不需要。",
        "Charts, sorting and filtering need JavaScript; the tables do not.",
    ),
    "report_hashing": ("计算 SHA-256", "Computing SHA-256"),
    "help_plot_one": (
        "将每层与每个投影的稀疏度画成图 (.png, .svg, .pdf); 仅限一个剪枝后模型",
        "draw the sparsity of each layer and projection to this file (.png, .svg, .pdf); of one "
        "pruned model",
    ),
    "report_written": ("报告已保存到: {path}", "Report written to {path}"),
    "help_report": (
        "将分析, 验证与开销写成一个 HTML 文件。\n\n"
        "一个原始模型, 一个或多个剪枝后模型; 文件独立完整, 无需网络即可打开。",
        "Write analysis, checks and costs as one HTML page.\n\n"
        "Of an original and one or more pruned models. The file needs no other and no network.",
    ),
    "help_report_output": ("HTML 文件的路径", "where to write the HTML file"),
    "help_report_eval": (
        "prunescope eval --json 写出的文件; 可多次给出",
        "a file that prunescope eval --json wrote; may be given several times",
    ),
    "help_report_trace": (
        "读取权重, 找出保留的头与通道",
        "read the weights and find which heads and channels were kept",
    ),
    "help_sha256": (
        "读取权重文件全部内容, 计算 SHA-256",
        "read the weight files whole and give their SHA-256",
    ),
}
