"""Has a trait passed on, or did everything shift? The margin effect in the target that was taught, that in the targets of the
other traits in the same students, and the difference of the two, run by run.

python -m benchmarks.specific runs/smollm2/data
"""

import argparse
from collections.abc import Iterator
from pathlib import Path

import polars as pl

from benchmarks.intervals import told
from sublim.params.names import UNTOUCHED

RUN = ("teacher", "student", "trait", "arm", "seed")


def table(data: Path) -> Iterator[str]:
    """A line per study, condition and number of updates; `end` after the last."""
    yield "| study | condition | updates | runs | taught | place | others | difference |"
    yield "|---|---|---|---|---|---|---|---|"
    for path in sorted((data / "report").glob("study=*")):
        end = pl.read_parquet(path / "margins.parquet").with_columns(step=pl.lit(None, pl.Int64))
        probed = path / "doses.parquet"
        every = pl.concat([pl.read_parquet(probed).select(end.columns), end]) if probed.is_file() else end
        students = every.filter(pl.col("trait") != UNTOUCHED)
        for (condition, step), part in students.group_by("condition", "step", maintain_order=True):
            own = part.filter(pl.col("asked") == pl.col("trait"))
            others = part.filter(pl.col("asked") != pl.col("trait")).group_by(RUN).agg(pl.col("effect").mean().alias("others"))
            both = own.join(others, on=RUN, maintain_order="left").with_columns(difference=pl.col("effect") - pl.col("others"))
            spans = " | ".join(told(both[name]) for name in ("others", "difference"))
            updates = "end" if step is None else step
            head = f"| {path.name.removeprefix('study=')} | {condition} | {updates} | {len(both)} | {told(both['effect'])}"
            yield f"{head} | {both['place'].mean():.1f} | {spans} |"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="the folder `data` of a finished run whose traits are of one category")
    print("\n".join(table(parser.parse_args().data)))


if __name__ == "__main__":
    main()
