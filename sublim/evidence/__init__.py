"""Reading artifacts back: what the checks and the words of stages are written with."""
