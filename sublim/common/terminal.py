"""What is printed is UTF-8, whatever the terminal calls itself (LC_ALL=C): the same bytes for everybody."""

import io
import logging
import sys
from collections.abc import Iterable


def speak_utf8(handlers: Iterable[logging.Handler] = ()) -> None:
    """From now on print UTF-8, and write it into the files of log `handlers`; what is no text at all (half of a surrogate pair,
    from a file's name) as an escape: a word in a message is no reason to fail."""
    files = (handler.stream for handler in handlers if isinstance(handler, logging.FileHandler))
    for stream in (sys.stdout, sys.stderr, *files):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(encoding="utf-8", errors="backslashreplace")
