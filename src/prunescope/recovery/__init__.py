"""How does a pruned model get better again? Trained a little, and written as it was."""
