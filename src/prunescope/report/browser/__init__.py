"""A browser over one checkpoint or a pair: `entries` says what there is, `app` shows it."""
