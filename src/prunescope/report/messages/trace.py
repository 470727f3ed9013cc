"""What is said of the heads and channels that survived?"""

MESSAGES: dict[str, tuple[str, str]] = {
    "trace_title": ("保留了什么", "What was kept"),
    "trace_reading": ("读取权重", "Reading weights"),
    "trace_file_layer": ("文件中", "In file"),
    "trace_heads": ("查询头", "Heads"),
    "trace_kv_heads": ("KV 头", "KV heads"),
    "trace_channels": ("通道", "Channels"),
    "trace_experts": ("专家", "Experts"),
    "trace_expert_channels": ("专家通道", "Expert channels"),
    "trace_hidden": ("隐藏维度", "Hidden columns"),
    "trace_vocab": ("词表", "Vocabulary"),
    "trace_pairing": ("配对", "Pairing"),
    "trace_drift": ("偏移", "Drift"),
    "trace_rows": ("{n}/{total} 行", "{n}/{total} rows"),
    "trace_shared": (
        "{space}: 保留 {n:,}/{total:,}: {units} {mark}",
        "{space}: {n:,} of {total:,} kept: {units} {mark}",
    ),
    "trace_legend": (
        "✓ 各张量一致, ✗ 不一致; 编号是原始模型中的编号; 偏移 = ‖剪枝后 − 原始‖ / ‖原始‖, "
        "= 表示逐位相同",
        "✓ the tensors agree, ✗ they do not; numbers are the original's; drift = "
        "‖pruned − original‖ / ‖original‖, = means bit for bit the same",
    ),
    "trace_removed": ("移除的层: {layers}", "Layers removed: {layers}"),
    "trace_reordered": (
        "⚠️ 层的顺序与原始模型不同, 或有层重复出现",
        "⚠️ Layers stand in another order than in the original, or more than once",
    ),
    "trace_unknown_layer": (
        "❌ 文件中第 {layer} 层与原始模型的任何一层都不相似",
        "❌ Layer {layer} of the file is like no layer of the original",
    ),
    "trace_moved": (
        "⚠️ {space}的顺序与原始模型不同: 层 {layers}",
        "⚠️ {space} stand in another order than in the original: layers {layers}",
    ),
    "trace_padded": (
        "⚠️ {space}补有零 (∅), 使各层形状相同: 层 {layers}",
        "⚠️ {space} are padded with zeros (∅), which makes layers alike: layers {layers}",
    ),
    "trace_ambiguous": (
        "⚠️ {place}: {space}有 {n} 行与原始模型的多行同样吻合, 无法确定是哪一行",
        "⚠️ {place}: {n} rows of {space} fit several rows of the original; which they were "
        "cannot be told",
    ),
    "trace_disagrees": (
        "❌ {place}: {tensor} 有 {n} 行 (列) 的来源与其余张量不同",
        "❌ {place}: {n} rows (columns) of {tensor} come from elsewhere than those of the "
        "other tensors",
    ),
    "trace_untraced": (
        "❌ {place}: {tensor} 有 {n} 行 (列) 在原始模型中找不到",
        "❌ {place}: {n} rows (columns) of {tensor} are nowhere in the original",
    ),
    "trace_not_finite": (
        "❌ {place}: {tensor} 含有 NaN 或无穷大",
        "❌ {place}: {tensor} holds NaN or infinity",
    ),
    "trace_unrelated": (
        "❌ 各层的权重没有一行 (列) 在原始模型中找到",
        "❌ Not one row (column) of the layers' weights was found in the original",
    ),
    "trace_bad_unrelated": (
        "❌ 这个模型不是由该原始模型剪枝而来, 或者之后训练得太多, 已无法辨认",
        "❌ This model was not pruned from that original, or was trained beyond recognition since",
    ),
    "trace_not_whole": (
        "❌ {place}: {space}没有整个保留",
        "❌ {place}: {space} were not kept whole",
    ),
    "trace_uneven": (
        "❌ {place}: 查询头不能平均分给 KV 头",
        "❌ {place}: the query heads do not share the KV heads evenly",
    ),
    "trace_mispaired": (
        "❌ {place}: {n}/{total} 个查询头遇到的不是训练时的 KV 头",
        "❌ {place}: {n} of {total} query heads meet another KV head than they were trained with",
    ),
    "trace_pair": (
        "     查询头 {heads}: 训练时 KV 头 {trained}, 现在 {met}",
        "     heads {heads}: trained with KV head {trained}, meet {met}",
    ),
    "trace_place": ("层 {layer}", "layer {layer}"),
    "trace_outside": ("层以外", "outside the layers"),
    "trace_no_head_dim": (
        "注意: config.json 未给出 head_dim, 因此按行列出查询头与 KV 头, 不检查配对",
        "Note: no config.json gives head_dim, so heads are listed by rows and pairing is not "
        "checked",
    ),
    "trace_identical": (
        "✅ 保留的权重与原始模型逐位相同",
        "✅ What is left has the original's bits",
    ),
    "trace_same_values": (
        "✅ 保留的权重与原始模型的值相同, 只是存储类型不同",
        "✅ What is left has the original's values, some of them stored in another type",
    ),
    "trace_changed": (
        "⚠️ 保留的权重有改动: {n}/{total} 个张量, 最大偏移 {drift} ({tensor})",
        "⚠️ What is left was changed: {n} of {total} tensors, largest drift {drift} ({tensor})",
    ),
    "trace_good": (
        "✅ 保留的单元全部找到, 各张量一致, 每个查询头都配对训练时的 KV 头",
        "✅ All kept units were found, the tensors agree, and every query head meets its KV head",
    ),
    "trace_good_unpaired": (
        "✅ 保留的单元全部找到, 各张量一致",
        "✅ All kept units were found, and the tensors agree",
    ),
    "trace_bad": ("❌ 未通过检查的层: {layers}", "❌ Layers that fail a check: {layers}"),
    "trace_bad_outside": (
        "❌ 层以外的张量未通过检查",
        "❌ Tensors outside the layers fail a check",
    ),
    "trace_module": ("张量", "Tensor"),
    "trace_agrees": ("一致", "Agrees"),
    "trace_kept": (
        "{place}: {space} {units}",
        "{place}: {space} {units}",
    ),
    "help_trace": (
        "从权重找出剪枝保留了哪些头, 通道和层。\n\n"
        "并检查各张量是否一致, 以及每个查询头是否仍配对训练时的 KV 头。检查未通过时退出码为 1。",
        "Find in the weights which heads, channels and layers stayed.\n\n"
        "And whether the tensors agree on them, and each query head still meets the KV head it was "
        "trained with. Exits with 1 if a check fails.",
    ),
    "help_trace_all": (
        "列出所有保留的单元与每个张量的偏移",
        "list every kept unit, and the drift of every tensor",
    ),
}
