"""How large what a stranger hands over may be, and may become when it is read: bounds that no bundle of ours comes near, asked
before anything is parsed. What they do not foresee ends in `apart`."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, cast

KIB, MIB = 1 << 10, 1 << 20
PARAMS = 256 * KIB  #: Bytes of params.yaml. The largest experiment here has 10 KB.
VALUES = 20_000  #: Values in it, aliases followed.
DEEPEST = 32  #: Levels of them.
SOURCE, SOURCES = 512 * KIB, 16 * MIB  #: Bytes of a file of source code, and of all.
TEXT = 64 * MIB  #: Bytes of any JSON.
ROWS, ROWS_PER_BYTE = 100_000, 16  #: Rows of a table: so many, and so many more for each of its bytes.
SWOLLEN, SWELLING = 64 * MIB, 500  #: Bytes of a table unpacked: the same.


def exceeded(members: Mapping[str, Path], params: str, code: str) -> Iterator[tuple[str, str]]:
    """Name of a file among `members`, why it is larger, or would become larger, than any can be. `params`: the name of the
    experiment file; `code`: the folder of source code."""
    sources = 0
    for name, path in members.items():
        size = path.stat().st_size
        if name.startswith(f"{code}/"):
            sources += size
        for applies, most in ((name == params, PARAMS), (name.startswith(f"{code}/"), SOURCE), (name.endswith(".json"), TEXT)):
            if applies and size > most:
                yield name, f"expected {most:,} bytes at most, found {size:,}"
        if name.endswith(".parquet"):
            yield from ((name, why) for why in _table(path, size))
    if sources > SOURCES:
        yield code, f"expected {SOURCES:,} bytes of source code at most, found {sources:,}"


def _table(path: Path, size: int) -> Iterator[str]:
    """A few bytes of Parquet can stand for any number of equal rows."""
    import pyarrow.parquet as pq  # pyright: ignore[reportMissingTypeStubs]

    try:
        about = cast("Any", pq).read_metadata(path)  # pyright: ignore[reportUnknownMemberType]
        groups = [about.row_group(n) for n in range(about.num_row_groups)]
        columns = [group.column(n) for group in groups for n in range(group.num_columns)]
        values, unpacked = [column.num_values for column in columns], sum(column.total_uncompressed_size for column in columns)
    except (OSError, ValueError, TypeError):
        return  # what is wrong with it is said where it is read
    rows, swollen = ROWS + ROWS_PER_BYTE * size, SWOLLEN + SWELLING * size
    most = max([about.num_rows, *(group.num_rows for group in groups), *values], default=0)
    if most > rows:
        yield f"expected {rows:,} rows at most in a table of {size:,} bytes, found {most:,}: it was made to swell"
    if unpacked > swollen or min([0, about.num_rows, *values]) < 0:
        yield f"expected {swollen:,} bytes at most in a table of {size:,} bytes, found {unpacked:,}: it was made to swell"
