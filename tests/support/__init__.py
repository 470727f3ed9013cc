"""Files that tests read: sparse models with true headers, and tiny real ones."""
