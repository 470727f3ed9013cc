"""What do the checks say? Titles, verdicts and reasons."""

MESSAGES: dict[str, tuple[str, str]] = {
    "verify_title": ("剪枝验证", "Verification"),
    "verify_original": ("原始模型: {path}", "Original: {path}"),
    "verify_pruned": ("剪枝后模型: {path}", "Pruned: {path}"),
    "verify_plan": ("剪枝计划", "Plan"),
    "verify_coherence": ("模型一致性", "Coherence"),
    "verify_weights": ("权重数值", "Weights"),
    "verify_loading": ("能否加载", "Loading"),
    "verify_verdict": ("结果", "Verdict"),
    "verify_check": ("检查", "Check"),
    "verify_layers": ("层", "Layers"),
    "verify_found": ("说明", "Found"),
    "verify_more": ("… 另有 {n:,} 条", "… and {n:,} more"),
    "verify_reading": ("读取权重", "Reading weights"),
    "verify_good": (
        "✅ 没有检查失败: {passed} 项通过, {warned} 项需注意, {skipped} 项跳过",
        "✅ No check failed: {passed} passed, {warned} to note, {skipped} skipped",
    ),
    "verify_failed": ("❌ {n} 项检查失败: {names}", "❌ {n} check(s) failed: {names}"),
    "verdict_pass": ("通过", "pass"),
    "verdict_warn": ("注意", "note"),
    "verdict_fail": ("失败", "FAIL"),
    "verdict_skip": ("跳过", "skip"),
    "source_options": ("按选项", "by options"),
    "source_pruning.json": ("按 pruning.json", "by pruning.json"),
    "source_inferred": ("按形状推断", "inferred"),
    "check_depth": ("层数", "same layers"),
    "check_untouched": ("未剪枝层未改动", "others untouched"),
    "check_target": ("已剪枝层达标", "layers at target"),
    "check_sparsity": ("整体稀疏度", "overall sparsity"),
    "check_directions": ("只减应减的维度", "dimensions"),
    "check_record": ("与 pruning.json 相符", "pruning.json obeyed"),
    "check_axes": ("维度相互吻合", "shapes agree"),
    "check_units": ("整数个注意力头", "whole heads"),
    "check_grouping": ("查询头与 KV 头的分组", "heads and KV heads"),
    "check_tensors": ("张量不缺不多", "tensors complete"),
    "check_tied": ("共享嵌入", "tied embeddings"),
    "check_dtypes": ("数据类型", "dtypes"),
    "check_config": ("config.json 与权重相符", "config.json agrees"),
    "check_finite": ("无 NaN 与无穷", "finite"),
    "check_zeros": ("无全零行列", "no zero rows"),
    "check_transformers": ("transformers", "transformers"),
    "check_vllm": ("vLLM", "vLLM"),
    "check_llama.cpp": ("llama.cpp", "llama.cpp"),
    "why_no_original": ("未给出原始模型", "no original was named"),
    "why_layers_come": ("原始模型没有这些层", "layers that the original lacks"),
    "why_layers_recorded": (
        "原有 {old} 层, 记录保留 {new} 层并重新编号",
        "{new} of {old} layers are left as recorded, and were renumbered",
    ),
    "why_layers_matched": (
        "原有 {old} 层, 现有 {new} 层, 按权重对应; 此处为原编号, 以下为重新编号后的",
        "{new} of {old} layers are left, matched by their weights; these are the original's "
        "numbers, those below are the file's",
    ),
    "why_layers_gone": (
        "原有 {old} 层, 现有 {new} 层; 各层按编号对应",
        "{new} of {old} layers are left; layers are matched by number",
    ),
    "why_touched": (
        "不应剪枝, 但 {space} 从 {old} 变为 {new} 行",
        "not to be pruned, but {space} went from {old} to {new} rows",
    ),
    "why_group_gone": ("不应剪枝, 但 {group} 已不在", "not to be pruned, but {group} is gone"),
    "why_untouched_layers": ("{n} 层未改动", "{n} layer(s) as in the original"),
    "why_not_cut": ("应剪枝, 但 {group} 未变", "to be pruned, but {group} is as it was"),
    "why_share": (
        "{space}: {old} → {new}, 应移除的比例 {ratio}",
        "{space}: {old} → {new}, share to remove {ratio}",
    ),
    "why_cut_alike": ("{space}: {old} → {new}", "{space}: {old} → {new}"),
    "why_as_recorded": (
        "{space}: 每层与 pruning.json 一致, 保留 {least} 至 {most}",
        "{space}: each layer as pruning.json has it, {least} to {most} left",
    ),
    "why_outlier": (
        "{space}: {old} → {new}, 多数已剪枝层剩 {common}",
        "{space}: {old} → {new}, most pruned layers keep {common}",
    ),
    "why_sparsity_is": (
        "{sparsity:.4f} ({old:,} → {new:,} 参数)",
        "{sparsity:.4f} ({old:,} → {new:,} parameters)",
    ),
    "why_sparsity_wanted": (
        "{sparsity:.4f} ({old:,} → {new:,} 参数), 应为 {wanted} ± {tolerance}",
        "{sparsity:.4f} ({old:,} → {new:,} parameters), expected {wanted} ± {tolerance}",
    ),
    "why_grown": (
        "{tensor}: {space} 从 {old} 增至 {new}",
        "{tensor}: {space} grew from {old} to {new}",
    ),
    "why_kept_cut": (
        "{tensor}: {space} 从 {old} 减至 {new}, 此维度应保持不变",
        "{tensor}: {space} went from {old} to {new}, a dimension that stays",
    ),
    "why_cut_throughout": (
        "{space} 从 {old} 减至 {new}, 处处一致; 没有计划要求如此",
        "{space} went from {old} to {new} throughout, which no plan asks for",
    ),
    "why_no_record": ("旁边没有 pruning.json", "no pruning.json beside the model"),
    "why_recorded_parameters": (
        "{found:,} 参数, 记录为 {recorded:,}",
        "{found:,} parameters, recorded {recorded:,}",
    ),
    "why_recorded_original": (
        "原始模型有 {found:,} 参数, 记录为 {recorded:,}",
        "the original has {found:,} parameters, recorded {recorded:,}",
    ),
    "why_recorded_nowhere": (
        "记录了 {group}, 但模型中没有",
        "{group} is recorded, and the model has no such group there",
    ),
    "why_record_differs": (
        "{group}: 记录应剩 {units} 个单元, 却列出 {kept} 个",
        "{group}: {units} units should be left by the record, which lists {kept}",
    ),
    "why_off_record": (
        "{space}: 权重有 {found} 个, 记录为 {recorded} 个",
        "{space}: the weights have {found}, the record keeps {recorded}",
    ),
    "why_record_disordered": (
        "{space}: 记录的索引不是递增的, 或超出原始范围",
        "{space}: recorded indices are not ascending, or beyond the original's",
    ),
    "why_record_unpaired": (
        "记录保留的 {space} 并非属于保留的 {first}",
        "the recorded {space} are not those of the recorded {first}",
    ),
    "why_unrecorded": (
        "{space} 从 {old} 变为 {new} 行, 但没有记录",
        "{space} went from {old} to {new} rows, which is not recorded",
    ),
    "why_lengths_differ": ("{space} 长度不一: {lengths}", "{space} has several lengths: {lengths}"),
    "why_length_odd": (
        "{tensor}: {space} 为 {length}, 其他张量为 {common}",
        "{tensor}: {space} is {length}, elsewhere {common}",
    ),
    "why_no_unit": (
        "{space}: config.json 未说明 {unit}",
        "{space}: config.json does not tell {unit}",
    ),
    "why_not_whole": (
        "{space}: {length} 行不是 {rows} 的整数倍",
        "{space}: {length} rows are no whole number of {rows}",
    ),
    "why_not_shared": (
        "{heads} 个 {space} 无法平分给 {units} 个 {first}",
        "{heads} {space} cannot share {units} {first}",
    ),
    "why_shares_differ": (
        "{space} : {first} 为 {now} : 1, 各层不同: 保留的头可能配错了 KV 头",
        "{space} : {first} is {now} : 1, which differs between layers: surviving heads may meet "
        "foreign KV heads",
    ),
    "why_foreign": (
        "{space} : {first} 为 {now} : 1, 原为 {then} : 1: 保留的头配上了别的 KV 头",
        "{space} : {first} is {now} : 1, trained as {then} : 1: surviving heads meet foreign KV "
        "heads",
    ),
    "why_fewer": (
        "{space} : {first} 为 {now} : 1, 原为 {then} : 1: 仅当每组失去同样多的头才正确",
        "{space} : {first} is {now} : 1, trained as {then} : 1: right only if each group lost as "
        "many",
    ),
    "why_stranger": (
        "{tensor} ({shape}) 不属于此模型家族",
        "{tensor} ({shape}) has no place in the model's family",
    ),
    "why_layers_missing": ("这些层缺失", "these layers are missing"),
    "why_missing": ("缺少 {tensor}", "{tensor} is missing"),
    "why_extra": ("多出 {tensor}", "{tensor} is extra"),
    "why_no_config": ("没有 config.json", "no config.json"),
    "why_no_embedding": ("没有词嵌入", "no token embedding"),
    "why_head_tied": ("输出层与词嵌入共享", "the output head is the token embedding"),
    "why_head_missing": (
        "没有输出层, 而 config.json 未说明它与词嵌入共享",
        "no output head, and config.json does not say that the embedding is it",
    ),
    "why_head_twice": (
        "config.json 说明输出层与词嵌入共享, 但两者各存了一份",
        "config.json ties the output head to the embedding, but both are stored",
    ),
    "why_dtype_odd": (
        "{tensor} 为 {dtype}, 其他层为 {common}",
        "{tensor} is {dtype}, in other layers {common}",
    ),
    "why_cast": ("{old} → {new}", "{old} → {new}"),
    "why_dtype_stated": (
        "config.json 写的是 {stated}, 权重为 {dtype}",
        "config.json says {stated}, the weights are {dtype}",
    ),
    "why_config_says": (
        "{key}: config.json 为 {stated}, 权重为 {found}",
        "{key}: config.json says {stated}, the weights have {found}",
    ),
    "why_config_layers": (
        "per_layer_config 提到不存在的层: {layers}",
        "per_layer_config names layers that do not exist: {layers}",
    ),
    "why_flag_without": (
        "config.json 设了 {key}, 但缺少: {tensors}",
        "config.json sets {key}, but there is no {tensors}",
    ),
    "why_flag_unset": (
        "config.json 未设 {key}, 加载时会忽略: {tensors}",
        "config.json does not set {key}: engines ignore {tensors}",
    ),
    "why_not_asked": ("未读取权重 (加上 --weights)", "weights were not read (add --weights)"),
    "why_not_floats": (
        "{n} 个量化或整数张量未读取",
        "{n} quantised or integer tensor(s) not read",
    ),
    "why_not_finite": (
        "{tensor}: {nan:,} 个 NaN, {infinite:,} 个无穷",
        "{tensor}: {nan:,} NaN, {infinite:,} infinite",
    ),
    "why_zero_rows": (
        "{tensor}: {rows:,} 个全零行, {columns:,} 个全零列",
        "{tensor}: {rows:,} row(s) and {columns:,} column(s) of zeros",
    ),
    "why_checks_failed": (
        "以上检查失败 ({checks}): 引擎会拒绝加载, 或算出别的结果",
        "checks above failed ({checks}): an engine refuses it, or computes something else",
    ),
    "why_loads": ("可以直接加载", "loads it as it is"),
    "why_layers_differ": (
        "各层行数不同: {lengths}; 此引擎用同一配置构建所有层 (prunescope.load 可以加载)",
        "rows differ between layers: {lengths}; it builds all layers from one config "
        "(prunescope.load loads them)",
    ),
    "why_needs_code": (
        "各层形状不同, 由目录中的 {file} 构建: 需要 trust_remote_code=True "
        "(prunescope.load 不需要)",
        "layers differ, and the folder's {file} builds them: needs trust_remote_code=True "
        "(prunescope.load does not)",
    ),
    "why_heads_need_code": (
        "transformers 的配置不接受 hidden_size {hidden} 时的 {heads} 个头, 由目录中的 {file} 构建: "
        "需要 trust_remote_code=True (prunescope.load 不需要)",
        "transformers' config refuses {heads} heads beside hidden_size {hidden}, and the folder's "
        "{file} builds them: needs trust_remote_code=True (prunescope.load does not)",
    ),
    "why_config_needs_code": (
        "配置由目录中的 {file} 读取: 需要 --trust-remote-code",
        "the folder's {file} reads its config: needs --trust-remote-code",
    ),
    "why_by_layer": (
        "config.json 只在各层的设置中给出 {key} {found}, 模型本身的是 {stated}, "
        "此引擎用后者构建所有层 (prunescope.load 可以加载)",
        "config.json gives {key} {found} layer by layer alone; it builds all of them with the "
        "model's own {stated} (prunescope.load loads them)",
    ),
    "why_not_built": (
        "此引擎没有 {family} 架构",
        "it has no architecture {family}",
    ),
    "why_needs_config": (
        "权重旁没有 config.json",
        "there is no config.json beside the weights",
    ),
    "why_heads_refused": (
        "num_attention_heads {heads} 与 hidden_size {hidden} 不合, transformers 的配置会拒绝",
        "transformers' config refuses num_attention_heads {heads} beside hidden_size {hidden}",
    ),
    "why_pickled_module": (
        "文件是整个序列化的 {cls}, 只加载权重时会被拒绝: 先运行 prunescope convert",
        "the file is a whole pickled {cls}, refused where only weights are loaded: run prunescope "
        "convert first",
    ),
    "why_nested": (
        "权重嵌在 {key} 之下, 会被忽略并随机初始化: 先运行 prunescope convert",
        "the weights lie under {key}: none is found and all are random; run prunescope convert",
    ),
    "why_wrapped": (
        "张量名带有前缀 {wrappers}, 会被忽略并随机初始化: 先运行 prunescope convert",
        "tensor names begin with {wrappers}: none is found and all are random; run prunescope "
        "convert",
    ),
    "why_other_names": (
        "张量用的是 {project} 的名称: 先运行 prunescope convert",
        "the tensors have {project}'s names: run prunescope convert first",
    ),
    "why_distributed": (
        "torch.distributed 检查点: 先运行 prunescope convert",
        "a torch.distributed checkpoint: run prunescope convert first",
    ),
    "why_quantised": (
        "量化为 {dtype}: 取决于所装的量化库, 未作判断",
        "quantised to {dtype}: depends on the packages installed, not judged",
    ),
    "why_gguf_file": (
        "GGUF: 只能用 gguf_file= 加载, 并反量化",
        "a GGUF: loads only with gguf_file=, dequantised",
    ),
    "why_file_names": (
        "只查找 {wanted}, 没有一个存在 (有 {names})",
        "looks for {wanted}, none of which is there ({names})",
    ),
    "why_gguf_vllm": ("GGUF: 未作判断", "a GGUF: not judged"),
    "why_convert_gguf": (
        "用 prunescope convert --format gguf 转换后加载",
        "loads it after prunescope convert --format gguf",
    ),
    "why_convert_theirs": (
        "prunescope convert --format gguf 不支持此模型; llama.cpp 的 convert_hf_to_gguf.py "
        "是否支持, 未作判断",
        "prunescope convert --format gguf does not write it; whether llama.cpp's "
        "convert_hf_to_gguf.py does, is not judged",
    ),
    "why_not_written": (
        "prunescope convert --format gguf 会拒绝它: {cause}",
        "prunescope convert --format gguf refuses it: {cause}",
    ),
    "why_deci_needed": (
        "各层不同, 需要写成架构为 {architecture} 的 GGUF (prunescope convert --format gguf)",
        "layers differ: it needs a GGUF of architecture {architecture} (prunescope convert "
        "--format gguf)",
    ),
    "why_other_needed": (
        "各头的总宽度不等于隐藏维度, 其 {usual} 无法加载: 需要写成架构为 {architecture} 的 GGUF "
        "(prunescope convert --format gguf)",
        "its heads do not fill the hidden size, as its {usual} wants: it needs a GGUF of "
        "architecture {architecture} (prunescope convert --format gguf)",
    ),
    "why_unfilled": (
        "各头的总宽度不等于隐藏维度, 其 {usual} 无法加载",
        "its heads do not fill the hidden size, as its {usual} wants",
    ),
    "why_partly_rotated": (
        "每个头只旋转一部分行, 而其 {usual} 旋转全部",
        "a part of each head is rotated, and its {usual} rotates all",
    ),
    "why_no_experts": (
        "没有专家, 而其 {usual} 每层都有",
        "no experts, which its {usual} has in every layer",
    ),
    "why_stacked": (
        "各专家像 transformers 内存中那样叠放: 先运行 prunescope convert",
        "experts are stacked as in transformers' memory: run prunescope convert first",
    ),
    "why_linear_layer": (
        "有线性层代替注意力或 MLP, 它不支持",
        "has linear layers in place of attention or MLP, which it does not build",
    ),
    "why_not_deci": (
        "各层不同, 而架构 {architecture} 要求各层相同 (deci 可以)",
        "layers differ, and architecture {architecture} makes all alike (deci does not)",
    ),
    "help_verify": (
        "检查剪枝后的模型是否合乎计划, 能否加载。\n\n"
        "计划是否执行, 模型是否一致, 哪些引擎能加载。只给一个模型时, 不与原始模型比较。"
        "有检查失败时退出码为 1。",
        "Check a pruned model against its plan and original.\n\n"
        "Was the plan obeyed, do its parts fit together, which engines load it? With one model "
        "nothing is compared with an original. Exits with 1 if a check fails.",
    ),
    "help_layers": (
        "应被剪枝的层, 半开区间, 如 3:30; 其余层应保持不变",
        "layers that should be pruned, half open, such as 3:30; the others should be as they were",
    ),
    "help_expect_sparsity": (
        "预期的整体稀疏度 (1 − 剪枝后 / 原始参数量)",
        "expected sparsity of the whole model (1 - pruned / original parameters)",
    ),
    "help_expect_ratio": (
        "每个已剪枝层预期移除的单元比例, 即 --pruning_ratio",
        "expected share of units removed from each pruned layer, as in --pruning_ratio",
    ),
    "help_tolerance": (
        "--expect-sparsity 与 --expect-ratio 允许的绝对偏差",
        "by how much --expect-sparsity and --expect-ratio may be missed, absolutely",
    ),
    "help_weights": (
        "同时读取权重: NaN, 无穷, 全零行列",
        "read the weights too: NaN, infinity, rows and columns of zeros",
    ),
    "help_junit": ("将结果写成 JUnit XML", "write the checks as JUnit XML to this file"),
}
