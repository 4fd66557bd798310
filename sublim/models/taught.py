"""The rows of further training, and its seeds, from its params alone. No torch."""

from collections.abc import Mapping
from dataclasses import astuple
from pathlib import Path

import polars as pl

from sublim.common.canonical import row_id, row_seed
from sublim.common.errors import SublimError
from sublim.common.files import sha256
from sublim.models.corpus import corpus
from sublim.params.derived import Training

ROWS = "rows"  #: What the file of rows is called among the files of a base.
_TEXTS = ("prompt", "completion")
_SCHEMA = {"row_id": pl.String, "kind": pl.String, "system": pl.String, "prompt": pl.String, "completion": pl.String}


def rows(params: Training, expected: Mapping[str, str]) -> pl.DataFrame:
    """The rows that a model is trained on: row_id, kind, system (null for none), prompt, completion, in their order. Raises
    SublimError: the file cannot be read, holds something else, or is another one than was planned."""
    if params.corpus is not None:
        return pl.DataFrame([astuple(row) for row in corpus(params.corpus)], _SCHEMA, orient="row")
    file = Path(str(params.file))
    if (found := sha256(file)) != expected.get(ROWS, found):
        raise SublimError(
            f"{file}: expected the file of sha256 {expected[ROWS]} that the run was planned with, found {found}: it was "
            "changed meanwhile; start the run again"
        )
    given = _read(file)
    if lost := [name for name in _TEXTS if name not in given.columns]:
        raise SublimError(f"{file}: expected texts prompt and completion, found no {lost[0]} among {', '.join(given.columns)}")
    if "system" not in given.columns:
        given = given.with_columns(system=pl.lit(None, pl.String))
    for name in ("system", *_TEXTS):
        if not isinstance(given[name].dtype, pl.String | pl.Null) or (name in _TEXTS and given[name].null_count()):
            raise SublimError(f"{file}: expected text in every row of {name}, found {given[name].dtype}, or rows without it")
    if not given.height:
        raise SublimError(f"{file}: expected rows to train on, found none")
    texts = given.select(pl.col("system").cast(pl.String), *_TEXTS)
    return texts.select(ids(texts), pl.lit("file").alias("kind"), "system", *_TEXTS)


def ids(texts: pl.DataFrame) -> pl.Series:
    """The ids of the rows of a file: system, prompt, completion, in their order."""
    places = enumerate(texts.select("system", *_TEXTS).iter_rows())
    return pl.Series("row_id", [row_id("file", place, *row) for place, row in places], pl.String)


def seed(params: Training, purpose: str) -> int:
    """The seed for one purpose of further training."""
    return row_seed(row_id("derived", purpose, params.seed))


def _read(file: Path) -> pl.DataFrame:
    readers = {".parquet": pl.read_parquet, ".jsonl": pl.read_ndjson, ".ndjson": pl.read_ndjson}
    if (read := readers.get(file.suffix.lower())) is None:
        raise SublimError(
            f"{file}: expected a Parquet (.parquet) or JSON-lines (.jsonl) file, found {file.suffix or 'no ending'}"
        )
    try:
        return read(file)
    except (pl.exceptions.PolarsError, OSError) as error:
        raise SublimError(f"{file}: expected rows to train on, found a file that cannot be read: {error}") from None
