"""Which options does a command have? Options in, one library call, one report out; no logic."""
