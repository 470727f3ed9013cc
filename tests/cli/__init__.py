"""The scripts and commands as a user starts them."""
