"""What is printed is UTF-8, whatever the terminal calls itself: the same bytes for everybody."""

import io
import sys


def speak_utf8() -> None:
    """From now on print UTF-8; what is no text at all (half of a surrogate pair, from a file's name) as an escape."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(encoding="utf-8", errors="backslashreplace")
