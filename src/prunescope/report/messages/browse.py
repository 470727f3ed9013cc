"""What does the browser say?"""

MESSAGES: dict[str, tuple[str, str]] = {
    "help_browse": (
        "在终端里浏览一个模型, 或剪枝前后的一对模型: 按层和模块展开, 搜索, 按稀疏度排序。\n\n"
        "示例: {example}",
        "Browse one checkpoint, or a pruned one beside its original: a tree of layers and modules, "
        "search, sort by sparsity.\n\nExample: {example}",
    ),
    "browse_quit": ("退出", "Quit"),
    "browse_search": ("搜索", "Search"),
    "browse_sort": ("按稀疏度排序", "Sort by sparsity"),
    "browse_expand": ("全部展开/折叠", "Open/close all"),
    "browse_clear": ("清除搜索", "Clear search"),
}
