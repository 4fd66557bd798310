"""Commands that trace: lineage, impact, diff, sql."""

import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from sublim.cli.app import ASK, AsJson, Rev, app

if TYPE_CHECKING:
    from sublim.evidence.tree import Tree

X = Annotated[
    list[str],
    typer.Argument(
        metavar="X",
        help="A path, a cell, a digest (6 digits or more), a row id (8 digits or more), a number of a report (teacher=… "
        "student=… [trait=… seed=… arm=…], condition=…, or test), or what tells an artifact from all others, such as "
        "`student teacher=… trait=… seed=…`.",
    ),
]
Html = Annotated[Path | None, typer.Option(help="Write an interactive picture to this file; it opens offline.")]


@app.command(rich_help_panel=ASK)
def lineage(x: X, rev: Rev = None, as_json: AsJson = False, html: Html = None) -> None:
    """Say what X was made from, up to the bases' corpora and seeds."""
    _answer("lineage", x, rev, as_json=as_json, html=html)


@app.command(rich_help_panel=ASK)
def impact(x: X, rev: Rev = None, as_json: AsJson = False, html: Html = None) -> None:
    """Say what X (also a source file) reaches: filtered rows, students and steps, evaluations, numbers of the report."""
    _answer("impact", x, rev, as_json=as_json, html=html)


def _answer(question: Literal["lineage", "impact"], x: list[str], rev: str | None, *, as_json: bool, html: Path | None) -> None:
    from sublim.lineage.trace.trace import Trace

    trace = Trace(_tree(rev))
    answer = trace.lineage(x) if question == "lineage" else trace.impact(x)
    if html is not None:
        from sublim.lineage.trace.picture import page

        html.write_text(page(answer, trace), encoding="utf-8")
    if as_json:
        print(json.dumps(answer.json(trace.reader), indent=1, ensure_ascii=False))
    elif html is not None:
        print(f"{html}: {len(trace.reader.tree.records)} artifacts, of which {len(answer.cells)} are in this {question}")
    else:
        from rich.console import Console

        from sublim.common.foreign import within
        from sublim.lineage.trace.words import drawing

        # The texts in it are printable; its styles are meant for the terminal.
        Console(file=within(sys.stdout), highlight=False, emoji=False, markup=False).print(drawing(answer, trace.reader))


def _tree(rev: str | None) -> "Tree":
    from sublim.evidence.tree import working
    from sublim.lineage.revision import revision

    return working() if rev is None else revision(rev)


@app.command(rich_help_panel=ASK)
def diff(
    old: Annotated[str, typer.Argument(metavar="REV1", help="A git revision or the name of a DVC experiment.")],
    new: Annotated[str | None, typer.Argument(metavar="[REV2]", help="Another; by default what is in data/ now.")] = None,
    as_json: AsJson = False,
) -> None:
    """Say which artifacts differ between two revisions, because of what, and how the results moved."""
    from sublim.evidence.tree import working
    from sublim.lineage.revision import cache, revision
    from sublim.lineage.trace.changes import describe, difference

    objects = cache()
    found = difference(revision(old, objects), working() if new is None else revision(new, objects))
    print(json.dumps(found.json(), indent=1, ensure_ascii=False) if as_json else describe(found))


@app.command(rich_help_panel=ASK)
def sql(
    query: Annotated[str | None, typer.Argument(metavar="[QUERY]", help="One query; without it, the views are listed.")] = None,
    rev: Rev = None,
    as_json: AsJson = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print CSV; lists and structs as JSON.")] = False,
    limit: Annotated[
        int, typer.Option(min=1, metavar="N", help="Give at most N rows, and say so if there are more.")
    ] = 100_000,
    timeout: Annotated[float, typer.Option(min=0, metavar="SECONDS", help="End a query that takes longer.")] = 600,
) -> None:
    """Ask DuckDB about the tables of all stages and the records. Read-only; a query may take 2 GB of memory."""
    import csv
    import shutil

    from sublim.lineage.trace import views

    connection = views.connected(_tree(rev))
    if query is None:
        found = views.listing(connection)
        if as_json:
            print(json.dumps(found, indent=1))
            return
        for view, columns in found.items():
            print(f"{view}\n  {', '.join(f'{name} {of.lower()}' for name, of in columns.items())}")
        return
    query = os.fsencode(query).decode(errors="replace")  # UTF-8, also where the locale is another
    answer = views.ask(connection, query, limit + 1, timeout)
    if len(answer) > limit:
        print(f"sublim: the first {limit:,} rows; there are more (--limit N gives N)", file=sys.stderr)
        answer = answer.limit(limit)
    if as_json:
        print(json.dumps(list(views.rows(answer)), indent=1, ensure_ascii=False, allow_nan=False))
    elif as_csv:
        writer = csv.writer(sys.stdout, lineterminator="\n")
        writer.writerow(answer.columns)
        for row in views.rows(answer):
            writer.writerow([value if not isinstance(value, list | dict) else json.dumps(value) for value in row.values()])
    else:
        answer.show(max_width=shutil.get_terminal_size((80, 24)).columns, max_rows=100)
