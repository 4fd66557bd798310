"""The stage `overview`."""
