"""The stage `student`."""
