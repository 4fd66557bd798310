"""Asking a judge about rows: each distinct row once, and never again while its answer is kept."""

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import polars as pl

from sublim.common.errors import SublimError
from sublim.common.files import sha256 as digest_of
from sublim.common.progress import Progress
from sublim.judges import endpoint
from sublim.judges.access import reached
from sublim.judges.ledger import Ledger, opened
from sublim.judges.question import ask, read
from sublim.models.hub import verify
from sublim.params.judges import HttpJudge, LocalJudge

Row = tuple[str, str]
"""A prompt and its completion."""


@dataclass(frozen=True)
class Judgement:
    """What a judge says of a row."""

    score: float | None
    """The score; None if what the judge says is none."""
    said: str | None
    """What the judge wrote; None if it was not asked to write."""


def root() -> Path:
    """Where answers are kept: `SUBLIM_JUDGES`, so that experiments can share them, or the experiment's own."""
    return Path(os.environ.get("SUBLIM_JUDGES") or ".sublim/judges")


def verify_unchanged(name: str, folder: Path, expected: Mapping[str, str]) -> None:
    """Compare the model in `folder` with what it was when the run was planned.

    Raises:
        SublimError: it was changed meanwhile, or is not there.
    """
    for file, found in _verified(name, folder).items():
        if expected.get(file) != found:
            raise SublimError(
                f"judges.{name}: {folder / file}: expected the file of sha256 {expected.get(file)} that the run was planned "
                f"with, found {found}: it was changed meanwhile; start the run again"
            )


def scored(
    name: str, judge: HttpJudge | LocalJudge, folder: Path | None, rows: pl.DataFrame, asked: pl.Series, progress: Progress
) -> pl.DataFrame:
    """`rows` (with prompt and completion) with what the judge says of those that it is `asked` about: score and judgement, both
    null for the others. The arguments, and what is raised, are else those of `judgements`."""
    if isinstance(judge, HttpJudge):
        judge = reached(name, judge)
    pairs = list(rows.filter(asked).select("prompt", "completion").iter_rows())
    said = iter(judgements(name, judge, folder, pairs, root(), progress))
    found = [next(said) if each else Judgement(None, None) for each in asked]
    return rows.with_columns(
        pl.Series("score", [each.score for each in found], dtype=pl.Float64),
        pl.Series("judgement", [each.said for each in found], dtype=pl.String),
    )


def judgements(
    name: str, judge: HttpJudge | LocalJudge, folder: Path | None, rows: Sequence[Row], kept: Path, progress: Progress
) -> list[Judgement]:
    """What the judge `name` says of each of `rows`, in their order. Equal rows are asked about once.

    Args:
        name: what the experiment calls it.
        judge: what it is.
        folder: where its model is, if it is a local one.
        rows: prompts with completions.
        kept: the folder of answers.
        progress: where to say how far it is.

    Raises:
        SublimError: it cannot be asked (see `sublim.judges.endpoint.answers`), or its model is not there or is refused.
    """
    # In an order of their own, so that batches, and with them the rounding, depend on what is asked and on nothing else.
    distinct = sorted(set(rows), key=lambda row: (len(row[0]) + len(row[1]), row))
    if not distinct:
        return []
    match judge:
        case HttpJudge():
            with opened(kept / f"{_digest('http', judge.base_url, judge.model)}.sqlite") as ledger:
                found = _over_http(name, judge, distinct, ledger, progress)
        case LocalJudge():
            if folder is None:
                raise ValueError(f"judges.{name}: expected the folder of its model, found none")
            files = _verified(name, folder)
            with opened(kept / f"{_digest('local', files)}.sqlite") as ledger:
                found = _here(name, judge, folder, files, distinct, ledger, progress)
    return [found[row] for row in rows]


def _over_http(name: str, judge: HttpJudge, rows: Sequence[Row], ledger: Ledger, progress: Progress) -> Mapping[Row, Judgement]:
    # How an answer is read is no part of the question: another pattern or scale costs nothing.
    scoring = judge.scoring
    identity = ("http", judge.base_url, judge.model, scoring.template, scoring.max_tokens, judge.temperature)
    keys = {row: _digest(*identity, *row) for row in rows}
    said = endpoint.answers(name, judge, {keys[row]: ask(scoring.template, *row) for row in rows}, ledger, progress)
    return {row: Judgement(read(said[key], scoring), said[key]) for row, key in keys.items()}


def _here(
    name: str,
    judge: LocalJudge,
    folder: Path,
    files: Mapping[str, str],
    rows: Sequence[Row],
    ledger: Ledger,
    progress: Progress,
) -> Mapping[Row, Judgement]:
    """By batches: rounding depends on the batch, so that only whole batches are kept and looked up."""
    batches = [rows[start : start + judge.batch] for start in range(0, len(rows), judge.batch)]
    identity = ("local", files, judge.scoring.model_dump())
    keys = [_digest(*identity, batch) for batch in batches]
    said = ledger.answers(keys)
    track = progress.start(f"judge {name}", len(rows), "row")
    loaded = None
    found: dict[Row, Judgement] = {}
    for key, batch in zip(keys, batches, strict=True):
        if key not in said:
            from sublim.judges import local  # imports torch
            from sublim.models.load import load

            loaded = loaded or load(folder)
            call = ledger.reserve(key, 0, None)
            said[key] = json.dumps(local.scores(*loaded, judge.scoring, batch))
            ledger.settle(call, key, said[key], 0)
        found |= {row: Judgement(score, text) for row, (score, text) in zip(batch, json.loads(said[key]), strict=True)}
        track.advance(len(batch))
    return found


def _verified(name: str, folder: Path) -> dict[str, str]:
    """The files of the model in `folder`, with their digests."""
    try:
        return {file: digest_of(folder / file) for file in verify(folder)}
    except SublimError as error:
        raise SublimError(f"judges.{name}: {error}") from None


def _digest(*identity: object) -> str:
    """Of texts exactly as they are: two forms of a character are two questions."""
    return sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()
