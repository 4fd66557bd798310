"""What X was made from and what it reaches; how two revisions differ; all tables as views."""
