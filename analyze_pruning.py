"""Which layer lost what? Compares a pruned model with its original, from headers alone.

python analyze_pruning.py --original_model MODEL --pruned_model prune_log/llama_prune
"""

from prunescope.cli.analyze import main

if __name__ == "__main__":
    main()
