"""A stage: the one object that says all that others must know of it. The engine knows no stage by name; it asks these."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any

from sublim import lists
from sublim.common.errors import SublimError
from sublim.common.table import Table
from sublim.engine.digests import Digests
from sublim.params.experiment import Experiment
from sublim.params.slice import CellParams

Dims = Mapping[str, str | int]
Folders = Digests  #: What a stage asks for digests of files that an experiment names: of a model's folder, of an adapter.
Inputs = dict[str, str]  #: Name of an input → the cell that it is.


@dataclass(frozen=True)
class Wanted:
    """An artifact that an experiment needs."""

    params: CellParams  #: The slice of the experiment that it depends on.
    inputs: Inputs | None = None  #: What it is made from, where that does not follow from dims and params.


@dataclass(frozen=True)
class Figure:
    """A page or a picture of an artifact, as Snakemake's own report shows it."""

    caption: str  #: The file in workflow/report that says what it is, without its ending.
    category: str


@dataclass(frozen=True)
class Stage:
    """What a stage is. Its package has `make` (computes; the root of its code digest), `check` (the story that its tables must
    tell), `tell` and `card` (its words in lineage and on cards) and `rows` (params, tables), or is one module with all of
    them."""

    package: str
    about: str  #: What an artifact of it is, in a word or two: `raw data set`.
    params: type[CellParams]  #: The slice of the experiment that a cell depends on.
    cells: Callable[[Experiment, Folders], Iterable[Wanted]]
    """Every artifact of it that an experiment needs, each once, in order."""
    upstream: tuple[str, ...]  #: The stages that it reads.
    sections: tuple[str, ...]  #: The sections of the experiment file that its cells depend on.
    reads: Callable[[Dims, Any], Inputs] | None = None
    """Dims and params of a cell → what it is made from; None where that is what the experiment has."""
    tables: tuple[type[Table], ...] = ()
    files: tuple[str, ...] = ()
    """What else lies in its artifacts beside `tables`, `figures` and `metrics`: names, with `*` for any letters."""
    optional: tuple[str, ...] = ()  #: The sections without any of which an experiment has no artifact of it.
    after: tuple[str, ...] = ()
    """Stages all of whose artifacts must be made before any of it is, whether it reads them or not; but for those that are made
    of others of their own stage."""
    trains: bool = False  #: Whether it makes students: `sublim power` says what effects so many could show.
    is_here: Callable[[Experiment], None] | None = None
    """Looks whether what its cells need of this machine is there; raises ValueError with the key at fault."""
    memory_mb: int = 1000  #: How much memory a job of it takes at most.
    figures: Mapping[str, Figure] = field(default_factory=dict[str, Figure])
    """File → what Snakemake's report shows of it."""
    figures_of: Callable[[Experiment], Iterable[str]] | None = None
    """Which of `figures` the artifacts of an experiment have; None for all."""
    work: Callable[[Any, Mapping[str, Any], Any], Mapping[str, Any]] | None = None
    """Params, params of the inputs by name, rates → what each model does in a job, in tokens, by the name of the input."""
    probe: str | None = None  #: The file of what was found when an artifact of it was tried out, if it was.
    needs: Callable[[Any, str, Path], Iterable[str]] | None = None
    """Params, the name of an input that was tried out, and the file of what was found of it → what it lacks."""
    plots: Mapping[str, tuple[Any, ...]] = field(default_factory=dict[str, tuple[Any, ...]])
    """Section → what `dvc plots` draws if the experiment has it."""
    metrics: str | None = None  #: The file that `dvc metrics` reads.
    repeats: bool = False  #: Whether its numbers are those of what it was made from: it is checked after everything else.
    keeps_bytes: bool = False  #: Whether a bundle holds its bytes also where those of other artifacts are left out.

    @property
    def dims(self) -> tuple[str, ...]:
        """The dimensions of its cells, in the order of their path."""
        return self.params.DIMS

    @property
    def name(self) -> str:
        """The last part of its package's name: the first part of its cells' names, and its folder under data/."""
        return self.package.rpartition(".")[2]

    def declares(self, file: str) -> bool:
        """Whether a file of this name belongs into its artifacts."""
        own = [*(table.file for table in self.tables), *self.figures, *([Path(self.metrics).name] if self.metrics else [])]
        return file in own or any(fnmatchcase(file, pattern) for pattern in self.files)

    def cell(self, dims: Dims) -> str:
        """The cell that has `dims`, whatever else is in these: `raw/teacher=a/…`."""
        return "/".join([self.name, *(f"{name}={dims[name]}" for name in self.dims)])

    @property
    def makes(self) -> str:
        """The module that computes its artifacts."""
        return _part(self.package, "make")

    def make(self) -> ModuleType:
        """The module with `make(inputs, params, output, progress)`. Importing it may import torch."""
        return import_module(self.makes)

    def check(self) -> ModuleType:
        """The module with `check(source, cell)`."""
        return import_module(_part(self.package, "check"))

    def tell(self) -> ModuleType:
        """The module with its words."""
        return import_module(_part(self.package, "tell"))

    def card(self) -> ModuleType:
        """The module with what is special about its provenance cards, if anything is (`sublim.evidence.carding`)."""
        return import_module(_part(self.package, "card"))

    def power(self) -> ModuleType | None:
        """The module with what its artifacts could see, told before anything is made; None if they compare nothing."""
        return None if (part := _part(self.package, "power")) == self.package else import_module(part)


def _part(package: str, name: str) -> str:
    """The module `name` in the package of a stage; the stage itself, if it has none or is one module."""
    part = f"{package}.{name}"
    return part if hasattr(import_module(package), "__path__") and find_spec(part) else package


def pictures(*names: str) -> tuple[str, ...]:
    """The files of figures: each as SVG and as PNG."""
    return tuple(f"{name}.{ending}" for name in names for ending in ("svg", "png"))


@cache
def stages() -> Mapping[str, Stage]:
    """Name → stage, in the order of the pipeline."""
    found: dict[str, Stage] = {}
    for package in lists.STAGES:
        module = import_module(_part(package, "spec"))
        found[module.STAGE.name] = module.STAGE
    return found


def stage(name: str) -> Stage:
    """The stage `name`. Raises SublimError: no stage is called so."""
    try:
        return stages()[name]
    except KeyError:
        raise SublimError(f"{name}: no such stage; expected one of {', '.join(stages())}.") from None


def stage_of(cell: str) -> Stage:
    """The stage of a cell."""
    return stage(cell.partition("/")[0])
