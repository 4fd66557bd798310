"""Scores, statistics, tables, figures."""
