"""The stage `raw`."""
