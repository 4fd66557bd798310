"""Ways to learn: what a student is trained towards."""
