"""Which heads, channels and layers survived? Found in the weights (needs numpy)."""
