"""Arms: what is done to a teacher's rows before a student learns from them (paper, section 3.1)."""
