"""The stage `base`."""
