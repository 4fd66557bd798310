"""The stage `theory`."""
