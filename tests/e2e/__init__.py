"""The whole flow on the real SmolLM2, as a newcomer starts it."""
