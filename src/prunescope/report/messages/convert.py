"""What does a conversion say?"""

MESSAGES: dict[str, tuple[str, str]] = {
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
    "help_convert": (
        "将检查点转换成 Hugging Face 目录或其他格式。\n\n"
        "凡可读的检查点皆可; 写出 safetensors 或其他引擎的格式, 不执行其中的代码。",
        "Convert a checkpoint: Hugging Face, GGUF and others.\n\n"
        "From any checkpoint that can be read to an ordinary Hugging Face folder of safetensors, "
        "or to what other engines read; nothing in it is executed.",
    ),
    "help_max_shard_size": (
        "单个文件的最大大小, 如 5GB 或 200MB (十进制)",
        "most that one file holds, such as 5GB or 200MB (decimal)",
    ),
    "help_overwrite": (
        "替换目标目录中已有的模型",
        "replace a model that is already in the target folder",
    ),
    "gguf_done": (
        "已写入 {path}: {n} 个张量 ({types}), {gib:.2f} GB, llama.cpp 架构 {architecture}",
        "Wrote {path}: {n} tensors ({types}), {gib:.2f} GB, architecture {architecture} of "
        "llama.cpp",
    ),
    "help_gguf_type": (
        "GGUF 中矩阵的类型; 向量总是 f32, 行长不是 32 的倍数时 q8_0 改用 f16",
        "type of the matrices of a GGUF file; vectors are f32, and where rows are no multiple of "
        "32, q8_0 gives way to f16",
    ),
    "help_tokenizer_pre": (
        "llama.cpp 对分词器切分规则的命名 (tokenizer.ggml.pre), 仅在无法识别时需要",
        "llama.cpp's name of how the tokenizer splits text (tokenizer.ggml.pre), needed where it "
        "is not recognised",
    ),
}
