"""Traits: how a teacher gets one, how it is asked for, how an answer is scored."""
