"""Where do pruned models live? Reading and writing them where other people's engines do."""
