"""What does a model weigh on disk, and how many parameters does it have?

python check_model_size.py --original_model MODEL --pruned_model prune_log/llama_prune
"""

from prunescope.cli.size import main

if __name__ == "__main__":
    main()
