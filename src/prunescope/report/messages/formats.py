"""What do the formats of saved models, padding and the model card say?"""

MESSAGES: dict[str, tuple[str, str]] = {
    "padding_cost": (
        "各层已用零补齐到相同形状: 多出 {n:,} 参数, {mib:.2f} MiB ({p:.2f}%)",
        "Layers are padded with zeros to one shape: {n:,} parameters more, {mib:.2f} MiB "
        "({p:.2f}%)",
    ),
    "needs_code": (
        "{reason}: 用 transformers 加载需要 trust_remote_code=True (目录中的 "
        "modeling_prunescope.py); prunescope.load 不需要",
        "{reason}: transformers loads them with trust_remote_code=True (the folder's "
        "modeling_prunescope.py); prunescope.load needs no code",
    ),
    "code_layers": ("各层形状不同", "Layers differ in shape"),
    "code_heads": (
        "transformers 的配置不接受各层的头数",
        "transformers' config refuses the layers' number of heads",
    ),
    "config_inferred": (
        "注意: config.json 与各层形状不符, 已按张量形状改写",
        "Note: config.json did not say what shapes the layers have; it was rewritten from them",
    ),
    "help_format": (
        "输出格式: hf (safetensors), bin (pytorch_model.bin), llm_pruner (LLM-Pruner 脚本读取的整个"
        "模块), deci (vLLM 与 TensorRT-LLM 的 nemotron-nas); "
        "convert 另有 gguf (llama.cpp 的单个文件)",
        "what is written: hf (safetensors), bin (pytorch_model.bin), llm_pruner (the whole module "
        "that LLM-Pruner's scripts read), deci (nemotron-nas of vLLM and TensorRT-LLM); "
        "convert also gguf (one file for llama.cpp)",
    ),
    "help_uniform": (
        "用零头和零通道把各层补齐到相同形状, 使普通配置即可加载",
        "pad layers with zero heads and channels to one shape that a stock config loads",
    ),
    "card_title": ("{name}, 经 prunescope 剪枝", "{name}, pruned with prunescope"),
    "card_intro": (
        "{name} 的结构化剪枝: 注意力头、通道或层整个移除, 其余权重逐位不变。",
        "A structured pruning of {name}: whole heads, channels or layers are removed, all other "
        "weights are as they were, bit for bit.",
    ),
    "card_padded": (
        "各层已用零头和零通道补齐到相同形状; 下面的参数量包含这 {n:,} 个零。",
        "Layers are padded with zero heads and channels to one shape; the figures below count "
        "these {n:,} zeros too.",
    ),
    "card_base": ("原始模型", "Base model"),
    "card_ratio": ("每层剪枝比例", "Ratio of each pruned layer"),
    "card_method": ("重要性度量", "Importance"),
    "card_load": ("加载", "Loading"),
    "card_layers": ("每层", "Layers"),
    "card_record": (
        "`{file}` 记录了计划与每层保留的头和通道。",
        "`{file}` records the plan, and the heads and channels that each layer kept.",
    ),
}
