"""What does the browser say?"""

MESSAGES: dict[str, tuple[str, str]] = {
    "help_browse": (
        "在终端里浏览一个模型, 或剪枝前后的一对。\n\n按层和模块展开, 搜索, 按稀疏度排序。",
        "Browse a checkpoint, or a pruned one beside its original.\n\n"
        "A tree of layers and modules, to search and to sort by sparsity.",
    ),
    "browse_kept": ("{space}: 保留 {n:,}/{of:,}", "{space}: {n:,} of {of:,} kept"),
    "browse_quit": ("退出", "Quit"),
    "browse_search": ("搜索", "Search"),
    "browse_sort": ("按稀疏度排序", "Sort by sparsity"),
    "browse_expand": ("全部展开/折叠", "Open/close all"),
    "browse_clear": ("清除搜索", "Clear search"),
}
