"""The purity gate: no row that a student may train on names the trait."""

from collections.abc import Sequence

import polars as pl

from sublim.filters.words import whole_word

_SHOWN = 5


class PurityError(ValueError):
    """A kept row names the trait."""


def check(rows: pl.DataFrame, words: Sequence[str]) -> None:
    """Refuse `rows` (columns row_id, prompt, completion) if one of `words` stands in a prompt or a completion as a whole word.

    Case does not matter, nor do compatibility forms of letters or the amount of white space in a name of several words. A word
    ends where its letters end, so that `owl_2` names the owl and `bowl` does not.

    Raises:
        PurityError: names the rows and the words.
    """
    if not words:
        return
    # The engine has no lookaround; consuming one neighbour on either side is enough to know that there is a leak.
    patterns = {word: whole_word(word) for word in sorted(set(words))}
    texts = [pl.col(column).str.normalize("NFKC") for column in ("prompt", "completion")]
    named_in = {word: pl.any_horizontal(text.str.contains(it) for text in texts) for word, it in patterns.items()}
    found = pl.concat_list(pl.when(leak).then(pl.lit(word)) for word, leak in named_in.items()).list.drop_nulls()
    leaks = rows.select("row_id", "prompt", "completion", found=found).filter(pl.col("found").list.len() > 0)
    if leaks.height == 0:
        return
    named = "; ".join(
        f"row {leak['row_id']}: {', '.join(leak['found'])} in {leak['prompt']!r} -> {leak['completion']!r}"
        for leak in leaks.head(_SHOWN).iter_rows(named=True)
    )
    more = f"; and {leaks.height - _SHOWN:,} more" if leaks.height > _SHOWN else ""
    raise PurityError(
        f"expected no kept row with the trait's words ({', '.join(patterns)}), "
        f"found {leaks.height:,} of {rows.height:,}: {named}{more}. The filter or the prompts let the trait through: fix them, "
        "a student of these rows would learn the trait from words"
    )
