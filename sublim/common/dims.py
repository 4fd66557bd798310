"""The dimensions of a cell as columns, so that a table tells what it is wherever it goes."""

import polars as pl


def with_dims(frame: pl.DataFrame, **dims: str | int) -> pl.DataFrame:
    """`frame` with a constant column per dimension in front: text as String, seeds as Int64."""
    types = {name: pl.Int64 if isinstance(value, int) else pl.String for name, value in dims.items()}
    return frame.select(*(pl.lit(value, dtype=types[name]).alias(name) for name, value in dims.items()), pl.all())
