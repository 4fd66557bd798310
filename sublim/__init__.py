"""sublim: subliminal-learning experiments as a declarative, data-versioned pipeline."""

import os
import sys

# On a disk that is full, Python before 3.12.8 leaves half a module in its cache (gh-126606), which breaks every later import.
_disk = os.statvfs(os.path.dirname(__file__))  # noqa: PTH120 - before anything else is imported
if _disk.f_bavail * _disk.f_frsize < 16 << 20:
    sys.dont_write_bytecode = True
