"""The stage `eval`."""
