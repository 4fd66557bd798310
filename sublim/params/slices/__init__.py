"""Slices: what exactly the cells of each stage depend on. The plan builds them, the stages read them."""
