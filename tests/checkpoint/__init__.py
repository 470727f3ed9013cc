"""Readers of files: what they understand, and what they refuse."""
