"""The most frequent numbers of a teacher, for people to look at."""

import polars as pl


def numbers(completions: pl.Series, most: int) -> pl.DataFrame:
    """The most frequent numbers in `completions`, and the most frequent first ones: place (any, first), rank, number, count,
    share (of all numbers, or of all completions that have one).

    A number is a run of ASCII digits as it is written (`007` is not `7`). Where counts are the same, by text.
    """
    found = completions.rename("number").to_frame().select(pl.col("number").str.extract_all("[0-9]+"))
    places = {"any": found.explode("number").drop_nulls(), "first": found.select(pl.col("number").list.first()).drop_nulls()}
    parts = [
        each.group_by("number")
        .agg(pl.len().cast(pl.Int64).alias("count"))
        .with_columns(share=pl.col("count") / each.height)
        .sort(["count", "number"], descending=[True, False])
        .head(most)
        .with_row_index("rank", offset=1)
        .select(pl.lit(place).alias("place"), pl.col("rank").cast(pl.Int64), "number", "count", "share")
        for place, each in places.items()
    ]
    return pl.concat(parts)
