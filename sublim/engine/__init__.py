"""Which artifacts an experiment needs, and whether each one is valid."""
