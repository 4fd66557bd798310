"""Filters: declared steps, each of which has its own reasons against a row (paper, section 3)."""
