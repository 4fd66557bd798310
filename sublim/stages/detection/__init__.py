"""The stage `detection`."""
