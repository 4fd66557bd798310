"""Measures: ways to ask a student for its trait (paper, section 3.1 and appendix)."""
