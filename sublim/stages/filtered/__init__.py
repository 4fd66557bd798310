"""The stage `filtered`."""
