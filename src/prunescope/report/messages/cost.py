"""What does the cost of running a model say?"""

MESSAGES: dict[str, tuple[str, str]] = {
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
    "help_cost": (
        "由形状估算推理开销: 计算量, 内存, 速度上限。\n\n"
        "FLOP, 权重与 KV 缓存, 服务所需内存, 计算强度; 指定设备时给出词元/秒上限。"
        "只读取文件头。",
        "Work out the cost of inference: FLOPs, memory, speed.\n\n"
        "From shapes alone: FLOPs, bytes of weights and KV cache, memory to serve, arithmetic "
        "intensity, and on a device the most tokens a second.",
    ),
    "help_context": (
        "提示的词元数, 也是解码时 KV 缓存中的词元数",
        "tokens of a prompt, and in the KV cache when decoding",
    ),
    "help_batch": ("同时处理的序列数", "sequences at a time"),
    "help_kv_dtype": ("KV 缓存的数据类型", "dtype of the KV cache"),
    "help_cost_device": (
        "设备 (数据手册的峰值): {names}",
        "device, by its data sheet's peaks: {names}",
    ),
    "help_bandwidth": ("内存带宽, GB/s (10^9)", "memory bandwidth, GB/s (10^9)"),
    "help_flops": ("峰值算力, TFLOP/s (10^12)", "peak arithmetic, TFLOP/s (10^12)"),
}
