"""False alarms and speed of the trait-word step: all known answers, on pretraining text that does not name them.

python -m benchmarks.words [rows]
"""

import re
import sys
import time

import polars as pl

from benchmarks.mixes import RICH
from sublim.filters.words import REASONS, reasons
from sublim.models.corpus import Row, corpus
from sublim.params.tiny import Pretraining
from sublim.traits.categories import CATEGORIES


def texts(rows: tuple[Row, ...]) -> pl.DataFrame:
    """The distinct texts of `rows` (system prompts, prompts, completions), each with the words in it."""
    found = {(row.kind, text) for row in rows for text in (row.system, row.prompt, row.completion) if text}
    kinds = [kind for kind, _ in sorted(found)]
    written = [text for _, text in sorted(found)]
    words = [re.findall("[a-z]+", text.casefold()) for text in written]
    return pl.DataFrame({"kind": kinds, "text": written, "words": words}, schema_overrides={"words": pl.List(pl.String)})


def main(rows: int) -> None:
    """Print false alarms per million judgements by category and reason, with examples, and judgements per second.

    Inside other words no word counts as ordinary here: it shows what to declare for text that is not a carrier's own.
    """
    made = texts(corpus(Pretraining(rows=rows, mix=RICH)))
    print(f"{made.height:,} distinct texts of {rows:,} rows of the rich mix")
    for name, category in CATEGORIES.items():
        judged, alarms, shown = 0, dict.fromkeys(REASONS, 0), list[tuple[str, str]]()
        started = time.process_time()
        for answer in category.answers.values():
            forms = [answer.word, answer.plural]
            clean = made.filter(~pl.col("words").list.eval(pl.element().is_in(forms)).list.any())
            found = clean.with_columns(why=reasons(clean["text"], forms, ())).filter(pl.col("why").list.len() > 0)
            judged += clean.height
            for reason in alarms:
                alarms[reason] += int(found["why"].list.contains(reason).sum())
            shown += [(answer.word, text) for text in found["text"].head(1)]
        speed = f"{judged / (time.process_time() - started):,.0f}/s"
        rates = ", ".join(f"{reason} {1e6 * count / judged:,.0f}" for reason, count in alarms.items())
        print(f"{name:12} {judged:,} judgements, {speed}; false alarms per million: {rates}; {shown[:4]}")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 20_000)
