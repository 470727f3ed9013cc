"""What did pruning do? Pure functions of checkpoints, returning frozen dataclasses."""
