"""Errors that are messages to the person who runs the experiment."""


class SublimError(Exception):
    """Something that the user can mend. The message says what was expected, what was found, where, and what to do; it is shown
    without a traceback."""
