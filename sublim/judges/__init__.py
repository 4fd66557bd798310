"""Judges: models that score completions, here or at an endpoint, and what they have said, kept."""
