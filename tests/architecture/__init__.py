"""Names and shapes of tensors, against transformers' own models."""
