"""All tables of a tree as views of one DuckDB connection, records included, read-only."""

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import polars as pl

from sublim.common.errors import SublimError
from sublim.common.reading import MEND, UnreadableError
from sublim.common.table import Table
from sublim.engine.environment import commit
from sublim.engine.record import Record
from sublim.engine.stage import stages
from sublim.evidence.node import code_digest
from sublim.evidence.reader import dimensions
from sublim.evidence.tree import Tree

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection, DuckDBPyRelation

ROWS, SECONDS = 100_000, 600.0  #: What an answer may have and a query may take, if nothing else is said.
_PARTS = r"^-- ([a-z]+)\n(.*?)(?=^-- [a-z]+\n|\Z)"
_SQL = dict(re.findall(_PARTS, Path(__file__).with_suffix(".sql").read_text("utf-8"), re.MULTILINE | re.DOTALL))
"""Name → statements."""
_READING = frozenset({"SELECT_NODE", "SET_OPERATION_NODE", "RECURSIVE_CTE_NODE", "CTE_NODE"})
_TABLE_FUNCTIONS = frozenset(
    {"unnest", "range", "generate_series", "json_each", "json_tree", "duckdb_tables", "duckdb_views", "duckdb_columns"}
)


def views() -> dict[str, tuple[str, type[Table]]]:
    """View → the stage and the table of which it has the rows of all cells."""
    return {table.view: (name, table) for name, stage in stages().items() for table in stage.tables if table.view is not None}


def front(stage: str, table: type[Table]) -> tuple[str, ...]:
    """What a view has in front of the columns of the file, to tell which artifact a row is of: its `cell`; if a table of the
    stage has a column of that name itself, the dimensions instead, as far as the file does not have them."""
    dims, tables = stages()[stage].dims, stages()[stage].tables
    if any("cell" in each.columns for each in tables):
        return () if table.dims else dims
    return ("cell",)


def connected(tree: Tree) -> "DuckDBPyConnection":
    """A connection in which every table of `tree` is a view, and records, inputs, outputs, code, params and environment are
    tables. It can read these files and nothing else, and write nothing."""
    import duckdb

    connection = duckdb.connect(":memory:")
    connection.execute(_SQL["begin"])
    read: set[str] = set()
    for view, (stage, table) in views().items():
        names = {cell: f"{cell}/{table.file}" for cell in tree.cells(stage)}
        cells = {str(tree.files[name].resolve()): cell for cell, name in names.items() if name in tree.files}
        if cells:
            read |= cells.keys()
            paths = _text([*cells])
            told = {name: [_told(tree, cell, name) for cell in cells.values()] for name in front(stage, table)}
            columns = "".join(f"map({paths}, {_text(values)})[filename] as {name}, " for name, values in told.items())
            try:
                # Else the columns are those of the first file; to look for them in every file takes time.
                union = any(column.optional for column in table.columns.values())
                connection.execute(_SQL["view"].format(view=view, front=columns, paths=paths, union=union))
            except duckdb.Error as error:
                raise UnreadableError(f"a {table.file} of {stage} cannot be read: {error}. {MEND}") from None
    for name, table in _from_records(tree):
        connection.register("new", table)
        connection.execute(_SQL["table"].format(name=name))
        connection.unregister("new")
    connection.execute(_SQL["end"].format(paths=_text(sorted(read))))
    return connection


def _told(tree: Tree, cell: str, name: str) -> str:
    return cell if name == "cell" else str(tree.records[cell].plan.dims[name])


def ask(connection: "DuckDBPyConnection", query: str, most: int = ROWS, seconds: float = SECONDS) -> "DuckDBPyRelation":
    """The answer to one query, its first `most` rows. Ctrl-C ends it. Raises SublimError: it is not one statement that only
    reads, or is wrong, or takes longer than `seconds` or more memory than there may be (views.sql)."""
    import duckdb

    try:
        _refuse_writing(connection, query)
        # DuckDB does not look for signals while it computes: another thread does that, and this one waits.
        with ThreadPoolExecutor(1) as pool:
            answer = pool.submit(lambda: connection.sql(query).limit(most).materialize())
            try:
                return answer.result(seconds)
            except BaseException:
                connection.interrupt()
                raise
    except TimeoutError:
        raise SublimError(
            f"the query took longer than {seconds:g} s and was ended: ask for less, or give it --timeout."
        ) from None
    except duckdb.OutOfMemoryException as error:
        said = str(error).splitlines()[0]
        raise SublimError(f"the query needs more memory than it may have ({said}): ask for fewer rows or columns.") from None
    except duckdb.Error as error:
        raise SublimError(f"{error}\n`sublim sql` lists the views and their columns.") from None


def _refuse_writing(connection: "DuckDBPyConnection", query: str) -> None:
    kinds = [statement.type.name for statement in connection.extract_statements(query)]
    if kinds != ["SELECT"]:
        found = ", ".join(kind.lower() for kind in kinds) or "nothing"
        raise SublimError(f"expected one query that only reads, such as select …, found: {found}. Nothing was run.")
    # A select can hold a copy or a delete (`with x as (copy … to …)`), or run text as SQL: its syntax tree shows it.
    (text,) = connection.execute(_SQL["syntax"], [query]).fetchall()[0]
    tree = json.loads(text)
    if tree["error"]:
        raise SublimError(f"expected one query that only reads, found: {tree['error_message']} Nothing was run.")
    if refused := sorted(_refused(tree)):
        raise SublimError(f"expected one query that only reads, found in it: {', '.join(refused).lower()}. Nothing was run.")


def _refused(tree: object) -> set[str]:
    """What in a syntax tree is not known to only read: nodes of other kinds than queries, other table functions."""
    found: set[str] = set()
    if isinstance(tree, dict):
        node = cast("dict[str, Any]", tree)
        kind = node.get("type")
        if isinstance(kind, str) and kind.endswith("_NODE") and kind not in _READING:
            found.add(kind)
        if kind == "TABLE_FUNCTION" and (name := str(node["function"].get("function_name")).lower()) not in _TABLE_FUNCTIONS:
            found.add(name)
        return found.union(*map(_refused, node.values()))
    return found.union(*map(_refused, cast("list[object]", tree))) if isinstance(tree, list) else found


def listing(connection: "DuckDBPyConnection") -> dict[str, dict[str, str]]:
    """View → column → type."""
    found: dict[str, dict[str, str]] = {view: {} for view in views()}
    for view, column, of in connection.execute(_SQL["listing"]).fetchall():
        found.setdefault(view, {})[column] = of
    return {view: known for view, known in found.items() if known}


def rows(answer: "DuckDBPyRelation") -> Iterator[dict[str, Any]]:
    """The rows of an answer as JSON values: what JSON lacks is text, and numbers that are none (NaN, infinity) are null."""
    for row in answer.fetchall():
        values: list[Any] = [json.loads(json.dumps(value, default=str), parse_constant=lambda _: None) for value in row]
        yield dict(zip(answer.columns, values, strict=True))


def _from_records(tree: Tree) -> Iterator[tuple[str, pl.DataFrame]]:
    """What the records say, as tables, by name."""
    every, dims = list(tree.records.items()), dimensions()
    fields = {name: field.annotation for stage in stages().values() for name, field in stage.params.model_fields.items()}
    whole = [name for name in dims if fields.get(name) is int]
    types = {**dict.fromkeys((*whole, "size"), pl.Int64), "dirty": pl.Boolean}
    tables: dict[str, tuple[Sequence[str], Iterable[tuple[Any, ...]]]] = {
        "records": (
            ("cell", "stage", *dims, "key", "digest", "code_digest", "commit", "dirty"),
            (
                (cell, record.plan.stage, *(record.plan.dims.get(name) for name in dims), record.key, record.digest,
                 code_digest(record), *((commit(record.environment) or {}).get(name) for name in ("commit", "dirty")))
                for cell, record in every
            ),
        ),
        "inputs": (("cell", "name", "input", "digest"), (
            (cell, name, used.cell, used.digest) for cell, record in every for name, used in record.inputs.items()
        )),
        "outputs": (("cell", "file", "sha256", "size"), (
            (cell, name, file.sha256, file.size) for cell, record in every for name, file in record.outputs.items()
        )),
        "code": (("cell", "module", "digest"), (
            (cell, module, digest) for cell, record in every for module, digest in record.plan.code.items()
        )),
        "params": (("cell", "field", "value"), (
            (cell, field, value) for cell, record in every for field, value in _fields(record.plan.params, "")
        )),
        "environment": (("cell", "package", "version"), (
            (cell, package, version) for cell, record in every for package, version in _versions(record)
        )),
    }  # fmt: skip
    for name, (columns, rows) in tables.items():
        schema = {column: types.get(column, pl.String) for column in columns}
        yield name, pl.DataFrame(list(rows), schema=schema, orient="row")


def _versions(record: Record) -> Iterator[tuple[str, str]]:
    known = record.environment
    packages: Mapping[str, str] = known.get("packages") or {}
    yield from {"python": known.get("python", ""), "platform": known.get("platform", ""), **packages}.items()


def _fields(value: Any, where: str) -> Iterator[tuple[str, str]]:
    """The leaves of a slice: `finetune.learning_rate` and its value as JSON."""
    if isinstance(value, dict):
        for name, inner in value.items():  # pyright: ignore[reportUnknownVariableType]
            yield from _fields(inner, f"{where}.{name}" if where else str(name))  # pyright: ignore[reportUnknownArgumentType]
    else:
        yield where, json.dumps(value, ensure_ascii=False)


def _text(paths: Sequence[str]) -> str:
    """A list of strings as SQL."""
    return "[" + ", ".join("'" + path.replace("'", "''") + "'" for path in paths) + "]"
