"""The story that the tables tell: checks beyond bytes and plans."""
