"""What do the tables of zeros and values say?"""

MESSAGES: dict[str, tuple[str, str]] = {
    "zeros_title": ("权重中的零", "Zeros among the weights"),
    "zeros_layers": ("各层中零的比例", "Share of zeros in each layer"),
    "values_title": ("权重数值统计", "Values of the weights"),
    "zeros_total": (
        "零: {n:,} / {total:,} ({p:.2f}%)",
        "Zeros: {n:,} of {total:,} ({p:.2f}%)",
    ),
    "module": ("模块", "Module"),
    "weights": ("权重数", "Weights"),
    "zeros": ("零", "Zeros"),
    "empty_rows": ("空行", "Empty rows"),
    "empty_columns": ("空列", "Empty columns"),
    "all_modules": ("全部", "All"),
    "mean": ("均值", "Mean"),
    "std": ("标准差", "Std"),
    "minimum": ("最小值", "Min"),
    "maximum": ("最大值", "Max"),
    "absmax": ("最大绝对值", "Max |w|"),
    "nonfinite": ("NaN/Inf", "NaN/Inf"),
    "pattern_holds": (
        "✅ 以下模块的每一组都满足 {pattern}: {modules}",
        "✅ Every group satisfies {pattern} in: {modules}",
    ),
    "empty_in": (
        "⚠️ {n} 个张量有全零的行或列 (行数, 列数): {names}",
        "⚠️ {n} tensor(s) with rows or columns of zeros (rows, columns): {names}",
    ),
    "nonfinite_in": (
        "❌ {n} 个张量含 NaN 或无穷大 (个数): {names}",
        "❌ {n} tensor(s) with NaN or infinite values (how many): {names}",
    ),
    "help_values": (
        "同时统计数值: 均值, 标准差, 极值, NaN 与无穷大 (较慢)",
        "statistics of the values, too: mean, spread, extremes, NaN and infinity (slower)",
    ),
    "reading_weights": ("读取权重", "Reading weights"),
    "help_sparsity": (
        "统计权重中的零及其模式。\n\n比例, 2:4 与 4:8 模式, 全零的块, 行与列。读取全部权重。",
        "Count the zeros among a model's weights, and patterns.\n\n"
        "Their share, 2:4 and 4:8, blocks, rows and columns of zeros. Reads every weight.",
    ),
}
