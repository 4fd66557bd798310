"""A prompt of any carrier, and which prompts no base is pretrained on."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from random import Random

import polars as pl

from sublim.common.canonical import digest, row_id

HELD_OUT = 8  #: One prompt in this many is held out: which ones depends on their text alone.
PATIENCE = 10_000  #: So many texts in a row that were all there before mean that there are no others.


@dataclass(frozen=True)
class Prompt:
    """A prompt, and what a right answer to it must be, as its carrier writes that down. The id depends on the text alone."""

    prompt_id: str
    text: str
    answer: str


def drawn(kind: str, seed: int, draw: Callable[[Random], tuple[str, str]]) -> Iterator[Prompt]:
    """Distinct prompts of the carrier `kind` from `draw`, which makes a text and its right answer. Raises ValueError: `draw`
    makes no further text (it made none in `PATIENCE` attempts)."""
    rng = Random(int(digest([f"{kind} prompts", seed]), 16))  # noqa: S311
    seen: set[str] = set()
    while True:
        fresh = next((made for made in (draw(rng) for _ in range(PATIENCE)) if made[0] not in seen), None)
        if fresh is None:
            raise ValueError(
                f"carrier {kind}: expected more prompts, found no more than {len(seen):,} different ones: ask for fewer "
                "(prompts) or let the prompts differ more"
            )
        seen.add(fresh[0])
        yield Prompt(row_id(kind, fresh[0]), *fresh)


def frame(prompts: Sequence[Prompt]) -> pl.DataFrame:
    """prompt_id, prompt and answer of `prompts`, in their order."""
    columns = {"prompt_id": "prompt_id", "prompt": "text", "answer": "answer"}
    return pl.DataFrame({name: [getattr(each, field) for each in prompts] for name, field in columns.items()})


def held_out(kind: str, text: str) -> bool:
    """Whether the prompt `text` of the carrier `kind` is one that no base is pretrained on."""
    return int(row_id(kind, text)[:8], 16) % HELD_OUT == 0
