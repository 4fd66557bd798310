"""Records read back: audit and why."""
