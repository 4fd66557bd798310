"""What a person sees of an answer about lineage."""

import io

from rich.console import Console

from sublim.lineage.trace.trace import Trace
from sublim.lineage.trace.words import drawing


def shown(trace: Trace, *words: str, question: str = "lineage", width: int = 80) -> str:
    """What a person sees in a terminal."""
    out = io.StringIO()
    console = Console(file=out, width=width, highlight=False, emoji=False, markup=False)
    console.print(drawing(trace.lineage(words) if question == "lineage" else trace.impact(words), trace.reader))
    return out.getvalue()
