"""How is a result shown? One module per medium; every sentence comes from `messages`."""
