"""What did pruning cost? Perplexity and text of a model that runs."""
