"""The stage `teacher`."""
