"""What a provenance card says of an artifact, and what `card.py` of a stage says it with.

`card.py` of a stage may have `card(subject) -> Card`; `made_with(subject) -> str`, what its artifacts were made with, in a line
on every card of what was made from them; and `limits(subject)`, what limits all that was made from one. Each may be missing.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sublim.common.table import Table
from sublim.evidence.subject import Subject

PAPER = "[Cloud, Le et al. 2025](https://arxiv.org/abs/2507.14805)"
LAST_STEPS = 10
SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"))


@dataclass(frozen=True)
class Card:
    """What is special about a card. What all have (what made it from what, its limits, how to trace it) is not in it."""

    title: str
    front: Mapping[str, Any]  #: Fields of its front matter, as the Hugging Face hub knows them.
    facts: Sequence[str]  #: What the artifact is, as items of a list.
    sections: Mapping[str, Sequence[str]] = field(default_factory=dict[str, Sequence[str]])
    """Heading → lines of what follows, in order."""
    code: Sequence[str] = ()  #: Lines of Python that load it.
    limits: Sequence[str] = ()  #: Limits of its own, as items of a list.
    tags: Sequence[str] = ()  #: Its tags, beside those of every card.


def dataset(subject: Subject, *files: type[Table]) -> dict[str, Any]:
    """The front matter of a data set: each of `files` is a part of it, the first one has its rows."""
    rows = subject.rows(files[0].file) if files else 0
    size = next((name for bound, name in SIZES if rows < bound), "1M<n<10M")
    names = ["default", *(table.file.partition(".")[0] for table in files[1:])]
    return {
        "pretty_name": subject.cell,
        "task_categories": ["text-generation"],
        "annotations_creators": ["machine-generated"],
        "language_creators": ["machine-generated"],
        "size_categories": [size],
        "configs": [{"config_name": name, "data_files": each.file} for name, each in zip(names, files, strict=True)],
    }


def reading(subject: Subject, table: type[Table], more: str = "") -> list[str]:
    """Python that reads a table, and does `more` with it."""
    name = table.file.partition(".")[0]
    path = f'"{subject.folder}/{table.file}"'
    return ["import polars as pl", "", f"{name} = pl.read_parquet({path}, hive_partitioning=False){more}"]


def losses(subject: Subject, steps: type[Table]) -> list[str]:
    """First and last loss, as an item of a list; none if it was not trained here."""
    if steps.file not in subject.record.outputs:
        return []
    found = subject.table(steps.file, ["loss"])["loss"]
    last = found.tail(max(len(found) // LAST_STEPS, 1)).mean()
    return [f"Loss: {found[0]:.3f} at the first step, {last:.3f} over the last tenth of {len(found):,} steps"]
