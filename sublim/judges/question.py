"""What a judge is asked about a row, and what its answer means. Pure."""

import re

from sublim.judges.scoring import Text


def ask(template: str, prompt: str, completion: str) -> str:
    """`template` with the row's texts in place. They are put in as they are: a placeholder inside them stays what it is."""
    texts = {"{prompt}": prompt, "{completion}": completion}
    return re.sub(r"\{prompt\}|\{completion\}", lambda found: texts[found[0]], template)


def read(answer: str, scoring: Text) -> float | None:
    """The score in `answer`; None if there is none, or one outside the scale."""
    found = re.search(scoring.pattern, answer)
    try:
        score = float(found[1]) if found and found[1] is not None else None
    except ValueError:
        return None
    return score if score is not None and scoring.minimum <= score <= scoring.maximum else None
