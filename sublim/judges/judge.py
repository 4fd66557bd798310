"""What every judge is, and asking it about rows: each distinct row once, and never again while its answer is kept."""

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, Self

from sublim.common.progress import Progress
from sublim.params.section import Section

Row = tuple[str, str]  #: A prompt and its completion.


@dataclass(frozen=True)
class Judgement:
    """What a judge says of a row."""

    score: float | None  #: The score; None if what the judge says is none.
    said: str | None  #: What the judge wrote; None if it was not asked to write.


class Judge(Section):
    """A model that scores completions."""

    kind: Any
    """Where it runs."""
    scoring: Any
    """How it is asked and how its score is read."""

    @property
    def base(self) -> str | None:
        """The base model of the experiment that it is, by name; None for another."""
        return None

    @property
    def place(self) -> Path | None:
        """The folder of this machine that its model lies in; None for another."""
        return None

    def without_access(self) -> Self:
        """It without how it is reached, which changes no answer."""
        return self

    def reached(self, name: str) -> Self:  # noqa: ARG002
        """It, which the experiment calls `name`, with how the main process says that it is reached."""
        return self

    def judgements(
        self, name: str, folder: Path | None, rows: Sequence[Row], kept: Path, progress: Progress
    ) -> Mapping[Row, Judgement]:
        """What it, which the experiment calls `name`, says of each of `rows` (all different, in the order in which they are to
        be asked about). `folder`: where its model is, if it is on this machine; `kept`: the folder of answers. Raises
        SublimError: it cannot be asked, may not spend more, or its model is not there or is refused."""
        raise NotImplementedError


def root() -> Path:
    """Where answers are kept: `SUBLIM_JUDGES`, so that experiments can share them, or the experiment's own."""
    return Path(os.environ.get("SUBLIM_JUDGES") or ".sublim/judges")


def judgements(
    name: str, judge: Judge, folder: Path | None, rows: Sequence[Row], kept: Path, progress: Progress
) -> list[Judgement]:
    """What the judge `name` says of each of `rows`, in their order. Equal rows are asked about once. The other arguments, and
    what is raised, are those of `Judge.judgements`."""
    # In an order of their own, so that batches, and with them the rounding, depend on what is asked and on nothing else.
    distinct = sorted(set(rows), key=lambda row: (len(row[0]) + len(row[1]), row))
    found: Mapping[Row, Judgement] = judge.judgements(name, folder, distinct, kept, progress) if distinct else {}
    return [found[row] for row in rows]


def key_of(*identity: object) -> str:
    """Of texts exactly as they are: two forms of a character are two questions."""
    return sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()
