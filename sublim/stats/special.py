"""Special functions of scipy, imported when they are first needed: half a second, which who only plans does without."""

import importlib
from functools import cache
from typing import Any


@cache
def special() -> Any:
    """The module `scipy.special`."""
    return importlib.import_module("scipy.special")
