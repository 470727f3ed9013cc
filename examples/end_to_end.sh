#!/usr/bin/env bash
# Prune a model, recover it, measure it, export it to GGUF and have llama.cpp write with it.
# Run  examples/end_to_end.sh ; on two cores it takes some minutes. Set these for more:
set -euo pipefail
cd "$(dirname "$0")/.."
source examples/setup.sh

# --- by environment variables ----------------------------------------------------------------
ORIGINAL_MODEL="${ORIGINAL_MODEL:-$DEMO_MODEL}"
PRUNING_RATIO="${PRUNING_RATIO:-0.25}"
PRUNER_TYPE="${PRUNER_TYPE:-taylor}"
# Half-open layer range: LAYER_END is the first layer not pruned.
LAYER_START="${LAYER_START:-3}"
LAYER_END="${LAYER_END:-27}"
# Steps of 4 × 128 tokens; a real recovery takes hundreds.
RECOVERY_STEPS="${RECOVERY_STEPS:-20}"
EVAL_TOKENS="${EVAL_TOKENS:-4096}"
NEW_TOKENS="${NEW_TOKENS:-32}"
GGUF_TYPE="${GGUF_TYPE:-f16}"
# Where everything goes but the pruned model, which lies in prune_log/end_to_end.
OUT="${OUT:-end_to_end}"
# --- to here ---------------------------------------------------------------------------------

[[ "$ORIGINAL_MODEL" == "$DEMO_MODEL" || -e "$ORIGINAL_MODEL" ]] ||
    fail "ORIGINAL_MODEL=$ORIGINAL_MODEL: no such folder"
set_up demo,recover torch transformers gguf peft accelerate
prunescope="$VENV/bin/prunescope"
original_model "$ORIGINAL_MODEL"
pruned="prune_log/end_to_end" recovered="$OUT/recovered"
mkdir -p "$OUT"

step "1/5 剪枝" "1/5 Pruning"
"$prunescope" prune --base_model "$ORIGINAL_MODEL" --pruning_ratio "$PRUNING_RATIO" \
    --block_mlp_layer_start "$LAYER_START" --block_mlp_layer_end "$LAYER_END" \
    --block_attention_layer_start "$LAYER_START" --block_attention_layer_end "$LAYER_END" \
    --pruner_type "$PRUNER_TYPE" --save_ckpt_log_name "$(basename "$pruned")" --save_model

step "2/5 恢复 (LoRA)" "2/5 Recovery (LoRA)"
"$prunescope" recover "$pruned" --output "$recovered" --max-steps "$RECOVERY_STEPS" \
    --batch-size 4 --cutoff 128 --learning-rate 0.002

step "3/5 评测" "3/5 Evaluation"
measure=(--max-tokens "$EVAL_TOKENS" --window 512 --speed --context 128 --repeats 3
    --new-tokens "$NEW_TOKENS" --json)
"$prunescope" eval "$pruned" --original "$ORIGINAL_MODEL" "${measure[@]}" >"$OUT/eval.json"
"$prunescope" eval "$recovered" "${measure[@]}" >"$OUT/eval_recovered.json"
"$prunescope" size "$ORIGINAL_MODEL" "$pruned" --json >"$OUT/size.json"
"$prunescope" size "$recovered" --json >"$OUT/size_recovered.json"

step "4/5 导出 GGUF" "4/5 Export to GGUF"
ggufs=()
export_gguf() {
    "$prunescope" convert "$1" "$2" --format gguf --gguf_type "$GGUF_TYPE" --overwrite
    ggufs+=("$2")
}
export_gguf "$ORIGINAL_MODEL" "$OUT/original.gguf"
export_gguf "$pruned" "$OUT/pruned.gguf"
export_gguf "$recovered" "$OUT/recovered.gguf"

step "5/5 llama.cpp" "5/5 llama.cpp"
if has llama_cpp; then
    "$python" examples/llama_cpp_writes.py "$NEW_TOKENS" "${ggufs[@]}" >"$OUT/llama_cpp.json"
else
    rm -f "$OUT/llama_cpp.json"
    say "未安装 llama-cpp-python, 跳过; 安装: make test-interop" \
        "llama-cpp-python is not installed: left out; make test-interop installs it"
fi

step "结果" "The result"
"$python" examples/end_to_end_table.py "$OUT"
