"""All tables of a tree as views of one DuckDB connection, records included, read-only."""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

import polars as pl

from sublim.common.errors import SublimError
from sublim.lineage.trace.answer import code_digest
from sublim.lineage.trace.numbers import REPORT
from sublim.lineage.tree import Tree
from sublim.plan.record import Record

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection, DuckDBPyRelation

VIEWS: dict[str, tuple[str, str]] = {
    "corpus": ("base", "corpus.parquet"),
    "base_steps": ("base", "steps.parquet"),
    "base_tensors": ("base", "tensors.parquet"),
    "teacher_rows": ("teacher", "rows.parquet"),
    "teacher_steps": ("teacher", "steps.parquet"),
    "teacher_tensors": ("teacher", "tensors.parquet"),
    "gates": ("teacher", "gate.parquet"),
    "gate_answers": ("teacher", "freeform.parquet"),
    "raw": ("raw", "rows.parquet"),
    "filtered": ("filtered", "rows.parquet"),
    "funnel": ("filtered", "funnel.parquet"),
    "student_steps": ("student", "steps.parquet"),
    "student_tensors": ("student", "tensors.parquet"),
    "answers": ("eval", "answers.parquet"),
    "samples": ("eval", "samples.parquet"),
    "texts": ("eval", "texts.parquet"),
    "tasks": ("eval", "tasks.parquet"),
    "capability": ("eval", "capability.parquet"),
    "freeform": ("eval", "freeform.parquet"),
    "runs": ("report", "runs.parquet"),
    "matrix": ("report", "matrix.parquet"),
    "traits": ("report", "traits.parquet"),
    "measures": ("report", "measures.parquet"),
    "abilities": ("report", "capability.parquet"),
    "power": ("report", "power.parquet"),
    "misaligned": ("report", "freeform.parquet"),
    "detected": ("detection", "runs.parquet"),
    "judged_pairs": ("detection", "pairs.parquet"),
    "held_out_scores": ("detection", "scores.parquet"),
    "ngrams": ("detection", "ngrams.parquet"),
    "in_context": ("detection", "context.parquet"),
    "seen_and_transmitted": ("detection", "transmission.parquet"),
    "shown_pairs": ("detection", "shown.parquet"),
    "quiz": ("detection", "quiz.parquet"),
    "top_numbers": ("detection", "numbers.parquet"),
    "nets": ("theory", "nets.parquet"),
    "net_steps": ("theory", "steps.parquet"),
    "theorem": ("theory", "theorem.parquet"),
    "studies": ("overview", "studies.parquet"),
}
"""View → the stage and the file whose tables it has, of all cells of the stage, which stand in front."""


_READING = frozenset({"SELECT_NODE", "SET_OPERATION_NODE", "RECURSIVE_CTE_NODE", "CTE_NODE"})
_TABLE_FUNCTIONS = frozenset(
    {"unnest", "range", "generate_series", "json_each", "json_tree", "duckdb_tables", "duckdb_views", "duckdb_columns"}
)


def connected(tree: Tree) -> "DuckDBPyConnection":
    """A connection in which every table of `tree` is a view, and records, inputs, outputs, code, params and environment are
    tables. It can read these files and nothing else, and write nothing."""
    import duckdb

    connection = duckdb.connect(":memory:")
    connection.execute("set autoinstall_known_extensions = false")
    connection.execute("set autoload_known_extensions = false")
    read: list[str] = []
    for view, (stage, file) in VIEWS.items():
        names = {cell: f"{cell}/{file}" for cell in tree.cells(stage)}
        cells = {str(tree.files[name].resolve()): cell for cell, name in names.items() if name in tree.files}
        if cells:
            read += cells
            scan = f"read_parquet({_text(list(cells))}, hive_partitioning = false, filename = true)"
            # Objects of a cache do not have the names of their cells: the view knows which is whose.
            of = f"map({_text(list(cells))}, {_text(list(cells.values()))})[filename]"
            # The table of runs has a column `cell` of its own: the evaluation. A report is known by its study.
            study = f"regexp_extract({of}, 'study=(.*)', 1) as study"
            columns = f"{study if stage == REPORT else f'{of} as cell'}, * exclude (filename)"
            connection.execute(f"create view {view} as select {columns} from {scan}")  # noqa: S608
    for name, (schema, rows) in _from_records(tree).items():
        connection.register("new", pl.DataFrame(rows, schema=schema, orient="row"))
        connection.execute(f"create table {name} as from new")
        connection.unregister("new")
    connection.execute(f"set allowed_paths = {_text(sorted(set(read)))}")
    connection.execute("set enable_external_access = false")
    connection.execute("set lock_configuration = true")
    return connection


def ask(connection: "DuckDBPyConnection", query: str) -> "DuckDBPyRelation":
    """The answer to one query.

    Raises:
        SublimError: it is not one statement that only reads, or it is wrong.
    """
    import duckdb

    try:
        _refuse_writing(connection, query)
        return connection.sql(query).materialize()
    except duckdb.Error as error:
        raise SublimError(f"{error}\n`sublim sql` lists the views and their columns.") from None


def _refuse_writing(connection: "DuckDBPyConnection", query: str) -> None:
    kinds = [statement.type.name for statement in connection.extract_statements(query)]
    if kinds != ["SELECT"]:
        found = ", ".join(kind.lower() for kind in kinds) or "nothing"
        raise SublimError(f"expected one query that only reads, such as select …, found: {found}. Nothing was run.")
    # A select can hold a copy or a delete (`with x as (copy … to …)`), or run text as SQL: its syntax tree shows it.
    (text,) = connection.execute("select json_serialize_sql(?::varchar)", [query]).fetchall()[0]
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
    columns = connection.execute(
        "select table_name, column_name, data_type from duckdb_columns() where not internal order by table_oid, column_index"
    ).fetchall()
    found: dict[str, dict[str, str]] = {view: {} for view in VIEWS}
    for view, column, of in columns:
        found.setdefault(view, {})[column] = of
    return {view: known for view, known in found.items() if known}


def rows(answer: "DuckDBPyRelation") -> Iterator[dict[str, Any]]:
    """The rows of an answer as JSON values: what JSON lacks is text."""
    for row in answer.fetchall():
        values: list[Any] = [json.loads(json.dumps(value, default=str)) for value in row]
        yield dict(zip(answer.columns, values, strict=True))


def _from_records(tree: Tree) -> dict[str, tuple[dict[str, Any], list[tuple[Any, ...]]]]:
    """What the records say, as tables: name → (schema, rows)."""
    every = list(tree.records.items())
    dims = ("model", "teacher", "trait", "carrier", "filter", "arm", "method", "student", "seed", "study")
    text = pl.String
    return {
        "records": (
            {"cell": text, "stage": text, **dict.fromkeys(dims, text), "seed": pl.Int64, "key": text, "digest": text,
             "code_digest": text, "commit": text, "dirty": pl.Boolean},
            [
                (cell, record.plan.stage, *(record.plan.dims.get(name) for name in dims), record.key, record.digest,
                 code_digest(record), _git(record).get("commit"), _git(record).get("dirty"))
                for cell, record in every
            ],
        ),
        "inputs": (
            {"cell": text, "name": text, "input": text, "digest": text},
            [(cell, name, used.cell, used.digest) for cell, record in every for name, used in record.inputs.items()],
        ),
        "outputs": (
            {"cell": text, "file": text, "sha256": text, "size": pl.Int64},
            [(cell, name, file.sha256, file.size) for cell, record in every for name, file in record.outputs.items()],
        ),
        "code": (
            {"cell": text, "module": text, "digest": text},
            [(cell, module, digest) for cell, record in every for module, digest in record.plan.code.items()],
        ),
        "params": (
            {"cell": text, "field": text, "value": text},
            [(cell, field, value) for cell, record in every for field, value in _fields(record.plan.params, "")],
        ),
        "environment": (
            {"cell": text, "package": text, "version": text},
            [(cell, package, version) for cell, record in every for package, version in _versions(record)],
        ),
    }  # fmt: skip


def _git(record: Record) -> Mapping[str, Any]:
    return record.environment.get("git") or {}


def _versions(record: Record) -> Iterator[tuple[str, str]]:
    of = record.environment
    packages: Mapping[str, str] = of.get("packages") or {}
    yield from {"python": of.get("python", ""), "platform": of.get("platform", ""), **packages}.items()


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
