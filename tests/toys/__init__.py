"""A carrier, a stage and a measure in one file each, outside of the package: what docs/extending.md is about."""
