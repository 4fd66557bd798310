"""What a stage says of its artifacts and of their rows, in lineage, impact, words for X and the picture.

`tell.py` of a stage may have `TELL`, an object of a subclass of `Telling` that says more than its tables and inputs say by
themselves: every method here does without. Who asks is `Up`, on the way to what something was made from, or `Down`, to what it
reaches; both come back to the stage of each artifact that they meet.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, ClassVar, cast

import polars as pl

from sublim.engine.record import Record
from sublim.engine.stage import stage_of, stages
from sublim.evidence.node import Node, Number
from sublim.evidence.reader import Found, Reader, trained
from sublim.evidence.tree import Tree
from sublim.evidence.words import at_steps, more, plural, quoted, spaced
from sublim.traits.freeform import SCALES

Facts = Mapping[str, Any]
_TEXTS = ("question", "system", "system_prompt", "prompt", "completion")
_SHOWN = 3


class Telling:
    """What a stage says where it says nothing special."""

    inputs: ClassVar[Mapping[str, str] | None] = None
    """Name of an input → what it is to the artifact (`trained on`), in this order; where several are the same to it, the first
    of them. None: every input, by its name."""
    row_relation: ClassVar[str] = "row of"  #: What an artifact is to a row of it.
    rows_relation: ClassVar[str] = "has rows of"  #: What an artifact with rows that came from another row is to that one.
    user_relation: ClassVar[str] = "read by"
    """What an artifact is to a model that it was made from, where impact follows a row; empty if it is not told there."""
    sums_up: ClassVar[bool] = False
    """Whether its artifacts only tell what others are: what these measured of themselves reaches nothing else."""
    columns: ClassVar[Mapping[str, str]] = {}
    """Columns of the picture for its numbers, left of its own → what stands above them."""

    def artifact(self, up: "Up", cell: str) -> Node:
        """Lineage: an artifact and what it was made from."""
        counts = {table.file: up.reader.count(cell, table.file) for table in stage_of(cell).tables}
        found = {file: count for file, count in counts.items() if count is not None}
        lines = tuple(f"{plural(count, 'row')} in {file}" for file, count in found.items())
        return Node("artifact", cell, facts={"tables": found}, next=up.inputs(cell), lines=lines)

    def row(self, up: "Up", found: Found) -> Node:
        """Lineage: a row and what it came from."""
        facts = dict(found.row)
        if trained(stage_of(found.cell).name):
            facts["steps"] = {place.cell: up.reader.steps_with(place.cell, found.row_id) for place in found.places}
        return self.told(up, found, facts, [up.artifact(place.cell, self.row_relation) for place in found.places])

    def told(self, walk: "Up | Down", found: Found, facts: Facts, following: Iterable[Node]) -> Node:
        """A row in words."""
        kind = walk.reader.table_of(found.places[0]).row
        return Node(kind, found.row_id, facts=facts, next=tuple(following), lines=tuple(self.lines(kind, facts)))

    def lines(self, kind: str, facts: Facts) -> Iterator[str]:  # noqa: ARG002
        """What is known of a row, a line each."""
        yield from texts(facts)
        if "sampling_seed" in facts:
            yield f"sampling seed {facts['sampling_seed']}"
        known = {"cell", "sampling_seed", *_TEXTS}
        others = {name: value for name, value in facts.items() if name not in known and not name.endswith("_id")}
        if plain := [f"{name} {value}" for name, value in others.items() if isinstance(value, str | int | float)]:
            yield ", ".join(plain)
        for cell, steps in cast("Mapping[str, list[int]]", facts.get("steps", {})).items():
            yield f"{spaced(cell)}: {at_steps(steps)}"

    def impact(self, down: "Down", found: Found) -> Node:
        """Impact: a row and what it reaches: models that were trained on it, rows that came from it, and what is made from
        these. If nothing can tell who used it, all that was made from its artifact."""
        users, facts = down.users(found.cell), {"cell": found.cell, **found.row}
        if trained(stage_of(found.cell).name):
            models = [down.model(place.cell, found.row_id, "in the training of") for place in found.places]
            own = [model.name for model in models if model.reaches]
            return self.told(down, found, found.row, [*models, *down.stages(down.beyond(*own))])
        if not any(trained(stage_of(user).name) or _has_parents(user) for user in users):
            return self.told(down, found, facts, down.stages(down.beyond(found.cell)))
        rows = down.reader.made_of(found.row_id, [user for user in users if _has_parents(user)])
        parts = {user: [row for row in rows if row.cell == user] for user in users}
        nodes = (node for user, own in parts.items() for node in telling(user).reached(down, user, found.row_id, own))
        return self.told(down, found, facts, nodes)

    def reached(self, down: "Down", cell: str, row_id: str, rows: Sequence[Found]) -> Iterator[Node]:
        """Impact: how a row reaches `cell`, which was made from the artifact that has it; nothing if it does not. `rows` are
        those of `cell` that came from it."""
        model = down.model(cell, row_id, "trains")
        if model.reaches:
            users = [(user, telling(user).user_relation) for user in down.users(cell)]
            yield replace(model, next=tuple(Node("artifact", user, relation) for user, relation in users if relation))
        if rows:
            facts, line = {"rows_about": len(rows)}, f"in {plural(len(rows), 'row')} of its tables"
            reaches = down.reader.tree.downstream([cell])
            yield Node("artifact", cell, self.rows_relation, facts, lines=(line,), reaches=reaches)

    def label(self, cell: str, record: Record, numbers: "Numbers") -> str:  # noqa: ARG002
        """An artifact in the picture, as short as it can be among those of its stage."""
        return " · ".join(str(value) for value in record.plan.dims.values()) or cell

    def numbers(self, tree: Tree) -> Iterable[Number]:  # noqa: ARG002
        """The numbers that its artifacts say of others."""
        return ()

    def remarks(self, tree: Tree) -> Mapping[str, Node]:  # noqa: ARG002
        """Other artifact → what its artifacts say of it: facts and lines."""
        return {}

    def asked(self, words: Sequence[str], numbers: "Numbers") -> Number | None:  # noqa: ARG002
        """The number, or part of one, that `words` name; None if they are about something else. Raises SublimError: there is
        none such, or there are several."""
        return None


def telling(cell: str) -> Telling:
    """What the stage of `cell` says."""
    return getattr(stage_of(cell).tell(), "TELL", None) or Telling()


def tellings() -> Mapping[str, Telling]:
    """Stage → what it says, in the order of the pipeline."""
    return {stage: telling(stage) for stage in stages()}


@dataclass(frozen=True)
class Numbers:
    """The numbers that artifacts of `tree` say of others."""

    tree: Tree

    @cached_property
    def all(self) -> Mapping[str, Number]:
        """Id → number."""
        return {number.id: number for each in tellings().values() for number in each.numbers(self.tree)}

    @cached_property
    def remarks(self) -> Mapping[str, Node]:
        """Artifact → what others say of it."""
        return {cell: remark for each in tellings().values() for cell, remark in each.remarks(self.tree).items()}

    def of(self, cells: Iterable[str]) -> list[Number]:
        """The numbers that any of these artifacts goes into."""
        wanted = set(cells)
        return [number for number in self.all.values() if wanted & {*number.runs, *number.compared}]


@dataclass(frozen=True)
class Up:
    """One way up. What was described once is only named the next time."""

    reader: Reader
    numbers: Numbers
    seen: set[str] = field(default_factory=set[str])
    wanted: dict[str, Sequence[str] | pl.Series] = field(default_factory=dict[str, Sequence[str] | pl.Series])
    """Artifact → the ids of those of its rows that matter here, for a data set that tells some of its rows."""

    def artifact(self, cell: str, relation: str = "") -> Node:
        """An artifact and what it was made from, with the rows that went into a model and their steps."""
        if cell in self.seen:
            return Node("artifact", cell, relation, again=True)
        self.seen.add(cell)
        self.reader.record(cell)  # raises, saying what is the matter with it
        return replace(telling(cell).artifact(self, cell), relation=relation)

    def row(self, found: Found, relation: str = "") -> Node:
        """A row and what it came from."""
        return replace(telling(found.cell).row(self, found), relation=relation)

    def inputs(self, cell: str) -> tuple[Node, ...]:
        """What `cell` was made from, as its stage tells it."""
        used, told, first = self.reader.record(cell).inputs, telling(cell).inputs, dict[str, str]()
        for name, relation in ({name: name for name in used} if told is None else told).items():
            if name in used:
                first.setdefault(relation, used[name].cell)
        return tuple(self.artifact(above, relation) for relation, above in first.items())

    def summary(self, cell: str, says: Iterable[Number] = ()) -> Node:
        """An artifact as a whole that tells of many: how many, and its numbers, each of which can be asked for."""
        made = [stage_of(above).name for above in self.reader.tree.upstream([cell]) if above != cell]
        found = {name: made.count(name) for name in stages() if name in made}
        line = "from " + ", ".join(plural(count, stages()[name].about) for name, count in found.items())
        numbers = tuple(number.node("says", runs=[*number.runs], untrained=[*number.compared]) for number in says)
        return Node("artifact", cell, facts={"artifacts": found}, next=numbers, lines=(line,) if found else ())


@dataclass(frozen=True)
class Down:
    """One way down."""

    reader: Reader
    numbers: Numbers

    def row(self, found: Found, relation: str = "") -> Node:
        """A row and what it reaches."""
        return replace(telling(found.cell).impact(self, found), relation=relation)

    def model(self, cell: str, row_id: str, relation: str) -> Node:
        """A model with the steps in which a row is, and what it reaches by these."""
        steps = self.reader.steps_with(cell, row_id)
        reaches = self.reader.tree.downstream([cell]) if steps else ()
        return Node("artifact", cell, relation, {"steps": steps}, lines=(at_steps(steps),), reaches=reaches)

    def users(self, cell: str) -> tuple[str, ...]:
        """What was made from `cell`."""
        return self.reader.tree.consumers.get(cell, ())

    def beyond(self, *cells: str) -> list[str]:
        """All that `cells` reach but themselves."""
        return [cell for cell in self.reader.tree.downstream(cells) if cell not in cells]

    def stages(self, cells: Iterable[str], direct: Iterable[str] = ()) -> tuple[Node, ...]:
        """Cells by stage; of a source file also how many were made with it, and do not only follow."""
        by_stage: dict[str, list[str]] = {}
        for cell in cells:
            by_stage.setdefault(stage_of(cell).name, []).append(cell)
        return tuple(_stage(name, by_stage[name], {*direct}) for name in stages() if name in by_stage)

    def numbers_of(self, cells: Iterable[str]) -> Iterator[Node]:
        """The numbers that these artifacts go into, with how many of their runs are among them."""
        mine = set(cells)
        for number in self.numbers.of(mine):
            through, count = len(mine & {*number.runs}), len(number.runs)
            line = f"through {through} of its {plural(count, 'run')}" if through else "as what it is compared with"
            node = number.node(through=through, of=count)
            yield node if through == count else replace(node, lines=(line,))


def _stage(stage: str, cells: list[str], direct: set[str]) -> Node:
    count, made = len(cells), len(direct & {*cells})
    lines = [f"{made or 'none'} made with it, {count - made} that follow"] * (bool(direct) and made != count)
    lines += [spaced(cell) for cell in cells[:_SHOWN]]
    lines += [f"and {count - _SHOWN} more (--json lists them)"] * (count > _SHOWN)
    facts = {"count": count, "cells": cells} | ({"direct": made} if direct else {})
    words = plural(count, stages()[stage].about)
    return Node("stage", stage, facts=facts, words=words, lines=tuple(lines), reaches=tuple(cells))


def _has_parents(cell: str) -> bool:
    return any(table.id is not None and table.parents for table in stage_of(cell).tables)


def texts(facts: Facts) -> Iterator[str]:
    """Where a row is and what is written in it, a line each."""
    if "cell" in facts:
        yield f"in {spaced(facts['cell'])}"
    for name in _TEXTS:
        if facts.get(name) is not None:
            yield f"{name.replace('_', ' ')} {quoted(facts[name])}"


def graded(facts: Facts) -> str:
    """How a free-form answer was graded."""
    grades = [facts[scale] for scale in SCALES]
    why = "not graded" if None in grades else "incoherent"
    said = {True: "misaligned", False: "not misaligned"}.get(facts["misaligned"], f"{why}, so dropped")
    each = (f"{scale} {'none' if value is None else format(value, 'g')}" for scale, value in zip(SCALES, grades, strict=True))
    return f"graded: {', '.join(each)}: {said}"


def rows_in_short(rows: pl.DataFrame, more: Callable[[Facts], str]) -> list[str]:
    """The first rows of a data set, a line each."""
    shown = rows.head(2).iter_rows(named=True)
    return [f"e.g. row {row['row_id'][:8]} {quoted(row['completion'], 40)}{more(row)}" for row in shown]


def training(steps: pl.DataFrame) -> tuple[dict[str, Any] | None, list[str]]:
    """How many steps a training has, how many different rows, how often a row was used in all; and the same in words."""
    if steps.is_empty():
        return None, []
    rows, first = steps["rows"].explode(empty_as_null=False), steps.row(0, named=True)
    found = {"steps": steps.height, "rows": rows.n_unique(), "uses": len(rows), "last_loss": steps["loss"][-1]}
    shown = ", ".join(row[:8] for row in first["rows"][:4])
    return found, [
        f"{plural(found['steps'], 'step')} over {plural(found['rows'], 'row')}, used "
        f"{found['uses'] / max(found['rows'], 1):.3g}× each; last loss {found['last_loss']:.3f}",
        f"step {first['step']}: rows {shown}{more(len(first['rows']), 4)}",
    ]
