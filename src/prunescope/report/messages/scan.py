"""What is said of the code a checkpoint names?"""

MESSAGES: dict[str, tuple[str, str]] = {
    "scan_title": ("Pickle 扫描", "Pickle scan"),
    "scan_risk": ("类别", "Class"),
    "scan_global": ("全局名称", "Global"),
    "scan_named": ("引用次数", "Named"),
    "scan_called": ("调用次数", "Called"),
    "scan_dangerous": ("危险", "dangerous"),
    "scan_code": ("代码", "code"),
    "scan_safe": ("安全", "safe"),
    "scan_verdict_dangerous": (
        "❌ 危险: 加载此文件会导入或调用 {n} 个危险的名称, 不要加载",
        "❌ Dangerous: loading this file imports or calls {n} dangerous globals; do not load it",
    ),
    "scan_verdict_code": (
        "⚠️ 加载此文件会执行以下包中的代码: {packages} (torch.load(weights_only=True) 会拒绝)",
        "⚠️ Loading this file runs code of: {packages} (torch.load(weights_only=True) refuses it)",
    ),
    "scan_verdict_safe": (
        "✅ 只含张量, 数组与普通数据",
        "✅ Tensors, arrays and plain data only",
    ),
    "scan_verdict_none": ("✅ 此文件不含 pickle", "✅ This file holds no pickle"),
    "scan_incomplete": ("❌ 未能读完: {text}", "❌ Not read to the end: {text}"),
    "help_scan": (
        "列出加载 pickle 文件会导入和调用什么。\n\n"
        "查看一个文件或目录中的每个文件, 但不执行。发现危险名称时退出码为 1, 无法读完时为 2。",
        "List what loading a pickle would import and call.\n\n"
        "Of one file, or of each file in a folder, without loading them. Exits with 1 if anything "
        "is dangerous, 2 if it cannot be read to the end.",
    ),
}
