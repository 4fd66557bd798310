"""The artifact that a provenance card is about, as cards read it."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import polars as pl
from pydantic import ValidationError

from sublim.common.errors import SublimError
from sublim.common.files import sha256
from sublim.common.reading import reading
from sublim.engine import layout
from sublim.engine.record import Record
from sublim.engine.stage import Stage, stage
from sublim.evidence.tree import Tree


@dataclass(frozen=True)
class Subject:
    """The artifact that a card is about, or one that it was made from."""

    tree: Tree
    cell: str
    record: Record
    rev: str | None = None  #: The git revision that was asked for; None for what is in data/.

    @property
    def stage(self) -> Stage:
        """What made it."""
        return stage(self.record.plan.stage)

    @property
    def folder(self) -> str:
        """`data/…`: where it is in an experiment, and in a bundle."""
        return layout.artifact(self.cell).as_posix()

    @property
    def named(self) -> str:
        """Its cell with its digest."""
        return f"`{self.cell}` (digest `{self.record.digest[:16]}`)"

    @cached_property
    def params(self) -> Any:
        """What it was made with: the `params` of its stage. Raises SublimError: its record has none such."""
        try:
            return self.stage.params.model_validate_json(json.dumps(self.record.plan.params))
        except ValidationError as error:
            first = error.errors()[0]
            said = f"expected params of the stage {self.stage.name} in its record, found {'.'.join(map(str, first['loc']))}"
            raise SublimError(f"{self.cell}: {said}: {first['msg']}. `sublim audit`") from None

    @property
    def dims(self) -> Mapping[str, str | int]:
        """Its dimensions."""
        return self.record.plan.dims

    def dim(self, name: str) -> str:
        """One of its dimensions."""
        return str(self.dims[name])

    def table(self, name: str, columns: list[str] | None = None) -> pl.DataFrame:
        """One of its tables."""
        return self.tree.table(self.cell, name, columns)

    def rows(self, name: str) -> int:
        """How many rows one of its tables has."""
        with reading(self.tree.path(self.cell, name)) as path:
            return pl.scan_parquet(path, hive_partitioning=False, glob=False).select(pl.len()).collect().item()

    def part(self, cell: str) -> "Subject":
        """Another artifact of the tree."""
        return Subject(self.tree, cell, self.tree.records[cell], self.rev)

    def upstream(self, name: str) -> "Subject":
        """What it has as its input `name`."""
        return self.part(self.record.inputs[name].cell)

    def every(self, stage: Stage) -> list["Subject"]:
        """All artifacts of a stage that the tree has."""
        return [self.part(cell) for cell in self.tree.cells(stage.name)]

    def chain(self) -> list["Subject"]:
        """Everything upstream and itself, in the order of the pipeline."""
        return [self.part(cell) for cell in self.tree.upstream([self.cell])]


def altered(tree: Tree, cell: str) -> str | None:
    """The first file of `cell` that is not what its record says; None if all are."""
    outputs = ((name, output, tree.files.get(f"{cell}/{name}")) for name, output in tree.records[cell].outputs.items())
    return next((name for name, output, path in outputs if path is None or sha256(path) != output.sha256), None)


def connected(tree: Tree, cell: str) -> bool:
    """Whether `cell` and everything upstream of it is there, and was made from what is there now."""
    return all(
        used.cell in tree.records and tree.records[used.cell].digest == used.digest
        for name in tree.upstream([cell])
        for used in tree.records[name].inputs.values()
    )
