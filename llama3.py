"""Structured pruning of a Llama model with LLM-Pruner's options.

python llama3.py --base_model MODEL --pruning_ratio 0.25 --pruner_type taylor --save_model
"""

from prunescope.cli.prune import main

if __name__ == "__main__":
    main()
