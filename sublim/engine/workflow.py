"""What the Snakefile asks: the verdict on every cell while it is parsed, and each rule's inputs."""

import errno
import fcntl
import json
import os
import shutil
import sys
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from itertools import takewhile
from pathlib import Path
from shlex import quote
from typing import IO, Any

from sublim.common.errors import SublimError
from sublim.common.files import write_text
from sublim.common.foreign import told
from sublim.common.reading import reading
from sublim.engine import apart, code, environment, launcher, layout, needs, planning, rekeying, remote
from sublim.engine.digests import Digests
from sublim.engine.job import preserve, scratch
from sublim.engine.record import record_at
from sublim.engine.stage import Figure, Stage, stages
from sublim.engine.store import Store, root
from sublim.engine.surroundings import check_permissions, unwritable
from sublim.engine.verdict import Cell, Verdict, judge, publish, strays, youngest
from sublim.judges import access
from sublim.params.experiment import Experiment

LOCK_SECONDS = 5.0
PARAMS = Path("params.yaml")


class Workflow:
    """The experiment of the working directory, as Snakemake's rules see it."""

    def __init__(self, params: Path, *, main: bool) -> None:
        """Read `params`; in the main process (not in jobs on cluster nodes, which parse the Snakefile too) judge and publish.
        Raises SublimError: the file says something that cannot be meant, or another run is under way in this directory."""
        code.recall(layout.CODE)
        digests = Digests(layout.DIGESTS)
        self.experiment = planning.experiment(params, digests)  #: What the params file says.
        self.params = params
        self.verdicts: Mapping[str, Verdict] = {}  #: Cell → verdict; in the main process.
        self.advice = ""  #: What else a person should know before a run.
        self._cells = planning.cells(self.experiment, digests)
        self._stale: Mapping[str, str | None]
        if main:
            remote.remote()  # a URL that is none is said here, and not by every job
            self._lock = lock()
            rekeying.finish()
            self.verdicts = judge(self._cells, digests)
            digests.save()
            needs.check(self.verdicts)
            _check_keys(self.experiment, self.verdicts.values())
            publish(self.verdicts)
            access.publish(self.experiment.judges)
            _write_state(params)
            git = environment.git_state()
            write_text(layout.GIT, json.dumps(git))
            self.advice = environment.advice(git)
            self._stale = {name: verdict.reason for name, verdict in self.verdicts.items()}
        else:
            self._stale = {cell.id: _planned(layout.plan(cell.id)) for cell in self._cells}
        self._by_id = {cell.id: cell for cell in self._cells}

    def stages(self) -> Iterable[Stage]:
        """The stages, in the order of the pipeline."""
        return stages().values()

    def records(self, stage: str) -> list[str]:
        """The records of all cells of a stage."""
        return [os.fspath(layout.record(cell.id)) for cell in self._cells if cell.plan.stage == stage]

    def last(self) -> list[str]:
        """The records from which nothing is made: every other artifact is upstream of one of these."""
        used = {name for cell in self._cells for name in cell.inputs.values()}
        return [os.fspath(layout.record(cell.id)) for cell in self._cells if cell.id not in used]

    def path(self, stage: Stage) -> str:
        """The cell of a stage with wildcards for its dimensions: `raw/teacher={teacher}/…`."""
        return stage.cell({name: f"{{{name}}}" for name in stage.dims})

    def figures(self, stage: Stage) -> dict[str, Figure]:
        """The pages and pictures of a stage that Snakemake's report shows: which there are depends on the experiment."""
        names = stage.figures if stage.figures_of is None else stage.figures_of(self.experiment)
        return {name: stage.figures[name] for name in names}

    def inputs(self, stage: str, ancient: Callable[[str], Any]) -> Callable[[Any], dict[str, Any]]:
        """The input function of a stage's rule: the verdict on the cell, and the records of what it is made from.

        The record of a valid cell is `ancient`: no artifact's modification time ever counts. That of a stale one is plain, so
        that what follows it runs after it and because of it.
        """

        def needed(wildcards: Mapping[str, str]) -> dict[str, Any]:
            cell = self._cell(stage, wildcards)
            upstream = [self._reference(name, ancient) for name in cell.inputs.values() if not self._from_the_future(name)]
            needs: dict[str, Any] = {"plan": os.fspath(layout.plan(cell.id)), "upstream": upstream}
            # Nothing is trained on anybody's rows before every teacher has passed its gate. These inputs are not `ancient`,
            # though not all of them are read: Snakemake leaves out jobs that follow a running one by `ancient` inputs alone.
            # What is valid has no such input.
            if self._stale[cell.id] is not None and (gates := self._unfinished(stages()[stage].after)):
                needs["gates"] = gates
            return needs

        return needed

    def reason(self, stage: str) -> Callable[[Any], str]:
        """Why the job runs, in a sentence, for Snakemake to show."""
        return lambda wildcards: self._stale[self._cell(stage, wildcards).id] or "it is up to date, but its job was asked for"

    def launched(self, _: Any, resources: Any) -> str:
        """What stands before a job's command: the resources `launcher` and `apart`, which a profile sets, for
        `sublim.engine.launcher`."""
        given = dict(resources.items())
        command, shares_nothing = given.pop("launcher", ""), given.pop("apart", 0)
        if not command:
            return ""
        if shares_nothing:
            apart.meeting()
        said = f"{launcher.COMMAND}={quote(launcher.filled(command, given))} "
        return said + f"{launcher.APART}=1 " * bool(shares_nothing)

    def clear(self) -> None:
        """Remove artifacts that the experiment does not have (any more), and what Snakemake would wait for without end."""
        clear(cell.id for cell in self._cells)
        # It copies the pages and figures of an artifact before the artifact is made again.
        for cell in self._cells:
            for name in self.figures(stages()[cell.plan.stage]) if self._stale[cell.id] is not None else ():
                path = layout.artifact(cell.id) / name
                if path.exists() and not path.is_file() and not path.is_dir():
                    path.unlink()

    def _unfinished(self, names: Collection[str]) -> list[str]:
        """The records of the stale cells of these stages, but for those that are made of others of their own stage: what is
        made here from a base that was found sound, such as a base that is trained further, only its readers need wait for."""
        return [
            os.fspath(layout.record(cell.id))
            for cell in self._cells
            if cell.plan.stage in names and self._stale[cell.id] is not None
            if not any(self._by_id[name].plan.stage == cell.plan.stage for name in cell.inputs.values())
        ]

    def _cell(self, stage: str, wildcards: Mapping[str, str]) -> Cell:
        return self._by_id[stages()[stage].cell(dict(wildcards.items()))]

    def _from_the_future(self, cell: str) -> bool:
        """Whether an artifact is valid and has a time to come, as in a clone with odd times.

        Snakemake takes no input that is younger than what is made from it, `ancient` or not. There is nothing to wait for, so
        such an input is left out.
        """
        return self._stale[cell] is None and youngest(layout.record(cell)) > time.time()

    def _reference(self, cell: str, ancient: Callable[[str], Any]) -> Any:
        path = os.fspath(layout.record(cell))
        return ancient(path) if self._stale[cell] is None else path


def _planned(path: Path) -> str | None:
    """Why a cell is stale, as the main process has found."""
    with reading(path, "Start snakemake again, which writes it.", shape=True):
        return json.loads(path.read_bytes())["reason"]


def params_file(given: Sequence[Path], config: Mapping[str, Any]) -> Path:
    """The experiment file of a run: the one of `--configfile`, or params.yaml in the working directory. Raises SublimError:
    several files, or `--config`: an experiment is one file, so that what was run can be read in one place."""
    if config:
        raise SublimError(
            f"--config {' '.join(config)}: an experiment is its params file alone; edit it, or copy it and edit the copy."
        )
    if len(given) > 1:
        raise SublimError(
            f"--configfile: expected one file, found {len(given)}: an experiment is one file, they are not merged."
        )
    return Path(os.path.relpath(given[0])) if given else PARAMS


def remembered_params() -> Path:
    """The experiment file of the last run in this directory, or params.yaml."""
    try:
        return Path(json.loads((layout.PLANS / "experiment.json").read_text(encoding="utf-8"))["params"])
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return PARAMS


def _write_state(params: Path) -> None:
    write_text(layout.PLANS / "experiment.json", json.dumps({"params": os.fspath(params), "stages": [*stages()]}))


def _check_keys(experiment: Experiment, verdicts: Iterable[Verdict]) -> None:
    """Look for the keys of the endpoints that stale artifacts may need, before anything runs."""
    asked = {name for verdict in verdicts if verdict.reason is not None for name in verdict.cell.asks}
    for name in sorted(asked):
        if (reached := access.access_of(experiment.judges[name])) is not None:
            access.api_key(name, reached)


def lock() -> IO[str]:
    """Hold this directory until the process ends, however it ends. Snakemake's own lock would survive a SIGKILL. Raises
    UnwritableError: nothing can be written here. SublimError: another process holds it, or files that this one writes would be
    closed to itself."""
    check_permissions()
    try:
        layout.PLANS.mkdir(parents=True, exist_ok=True)
        held = layout.RUN_LOCK.open("a+")
    except OSError as error:
        raise unwritable(error) from None
    deadline = time.monotonic() + LOCK_SECONDS  # a dry run holds it for a moment
    while True:
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline:
                held.seek(0)
                raise SublimError(
                    f"{Path.cwd()}: process {held.read().strip() or '?'} is running this experiment. Wait until it ends; "
                    "nothing was changed."
                ) from None
            time.sleep(0.1)
        else:
            held.truncate(0)
            held.write(str(os.getpid()))
            held.flush()
            return held


def stop(error: SublimError) -> None:
    """End the program with the message of `error` alone: a traceback through Snakemake would bury it."""
    print(f"sublim: {told(error)}", file=sys.stderr, flush=True)
    raise SystemExit(1)


def clear(cells: Iterable[str]) -> None:
    """Remove artifacts that are not of `cells`, so that a stage's directory holds the experiment and nothing else.

    Whole ones go to the store, from which a return to the earlier params brings them back.
    """
    kept = Store(root(layout.STORE))
    for path in strays(list(cells)):
        record = record_at(path / layout.RECORD)
        # What this program has not made stays: the audit names it. So does a record that was put where it would take other
        # artifacts with it.
        inside = [*path.rglob(layout.RECORD)]
        if record is None or layout.artifact(record.plan.cell) != path or inside != [path / layout.RECORD]:
            continue
        with kept.in_use():
            preserve(record, path, kept)
        # Renamed first: of a folder that is half removed, nobody could tell what its files are.
        with scratch(path.relative_to(layout.DATA).as_posix()) as gone:
            _move(path, gone / "artifact")
        for parent in takewhile(lambda folder: not any(folder.iterdir()), path.parents):
            parent.rmdir()


def _move(artifact: Path, gone: Path) -> None:
    try:
        artifact.replace(gone)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        # On another disk: the record, which says what the files are, is the last to go.
        for path in artifact.iterdir():
            if path.name != layout.RECORD:
                shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
        (artifact / layout.RECORD).unlink()
        artifact.rmdir()
