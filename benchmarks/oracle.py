"""Does a refactoring change anything that is computed? Two revisions run the same experiments, and every file is compared.

    python -m benchmarks.oracle OLD [NEW] [--experiment FILE]... [--own] [--keep FOLDER] [--json FILE]

OLD and NEW are git revisions; without NEW it is the working tree as it is, with untracked files, without ignored ones. Each
runs every FILE (tests/micro.yaml, experiments/smoke.yaml, params.yaml and experiments/mlp.yaml, unless others are named) with
its own code in a folder of its own. FILE is that of NEW for both, so that params are the same; `--own` takes each one's own.

Every output that a record names is hashed again, and must have the same bytes in both. Two things are let off: a table of a
report or the overview may have other bytes if the same is in them (Parquet, JSON), and a page or figure of a report, the
overview or the detection may look different. What records say of code and environment is not compared: it is not computed.

With `--keep` the runs stay, in FOLDER/COMMIT/NAME, and the next call takes them up: what is complete is not run again.
FOLDER is better outside the working tree, or ignored by git as runs/ is: what is not ignored is of the working tree.

The exit status is 0 if all that must be the same is, and 1 if not, which a run that failed cannot show.
"""

import argparse
import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal

import polars as pl

ROOT = Path(__file__).resolve().parents[1]
EXPERIMENTS = ("tests/micro.yaml", "experiments/smoke.yaml", "params.yaml", "experiments/mlp.yaml")
BY_CONTENT = {"report", "overview"}
"""Stages whose tables may have other bytes."""
DRAWN = {"report", "overview", "detection"}
"""Stages whose pages and figures may look different."""
PAGES = {".html", ".svg", ".png"}
SHOWN = 20
"""So many differences of an experiment are printed."""
FOREIGN = ("SUBLIM_", "SNAKEMAKE_", "PYTHONPATH")
"""Beginnings of the names of environment variables that would make the runs depend on who asks."""

Kind = Literal["same", "content", "page", "different"]


@dataclass(frozen=True)
class Difference:
    """What is not the same in two runs."""

    artifact: str
    """`stage/dim=value/…`, its folder under data/."""
    file: str | None
    """Name of the output; None for an artifact that only one of the runs has."""
    kind: Kind
    """`different`: must be the same, and is not; `content`: other bytes, with the same in them; `page`: may look different."""
    how: str
    """By how much, or on which side it is."""


@dataclass
class Tally:
    """Counts of one stage, of what is there in either run."""

    artifacts: int = 0
    files: int = 0
    same: int = 0
    """Files with the same bytes."""
    content: int = 0
    """Tables with the same content in other bytes, where that is enough."""
    page: int = 0
    """Pages and figures that look different, where they may."""
    different: int = 0
    """Files that must be the same and are not, or are in one run alone."""


@dataclass
class Comparison:
    """Two runs, file by file."""

    stages: dict[str, Tally] = field(default_factory=dict[str, Tally])
    found: list[Difference] = field(default_factory=list[Difference])

    @property
    def same(self) -> bool:
        """Whether all that must be the same is; never, if there is nothing to compare."""
        return bool(self.stages) and all(each.kind != "different" for each in self.found)


def differences(old: Path, new: Path) -> Comparison:
    """Compare every output of every artifact in two data/ folders, by the bytes on the disk.

    An artifact is a folder with a record.json, of which the names of the outputs are taken and nothing else.

    Args:
        old: the data/ folder of the run that is right by definition.
        new: the one that is compared with it.

    Returns:
        Counts for each stage that either has, and what differs, in the order in which they are made from each other: the first
        difference is the one that the others may follow from.
    """
    before, now = _artifacts(old), _artifacts(new)
    result = Comparison()
    depths = _depths(old) | _depths(new)
    for cell in sorted(before.keys() | now.keys(), key=lambda cell: (depths[_stage(cell)], cell)):
        tally = result.stages.setdefault(_stage(cell), Tally())
        names = sorted(before.get(cell, frozenset()) | now.get(cell, frozenset()))
        tally.artifacts += 1
        tally.files += len(names)
        if cell not in before or cell not in now:
            side = "old" if cell in before else "new"
            tally.different += len(names)
            how = f"in the {side} run alone, with {len(names)} files"
            result.found.append(Difference(cell, None, "different", how))
            continue
        for name in names:
            paths = (old / cell / name if name in before[cell] else None, new / cell / name if name in now[cell] else None)
            kind, how = _compared(_stage(cell), *paths)
            setattr(tally, kind, getattr(tally, kind) + 1)
            if kind != "same":
                result.found.append(Difference(cell, name, kind, how))
    return result


def _artifacts(data: Path) -> dict[str, frozenset[str]]:
    """Artifact → the names of its outputs."""
    return {
        path.parent.relative_to(data).as_posix(): frozenset(json.loads(path.read_text(encoding="utf-8"))["outputs"])
        for path in data.rglob("record.json")
    }


def _stage(cell: str) -> str:
    return cell.partition("/")[0]


def _depths(data: Path) -> dict[str, int]:
    """Stage → how many steps its artifacts are made by, of those that take the most."""
    inputs: dict[str, list[str]] = {}
    for path in data.rglob("record.json"):
        record = json.loads(path.read_text(encoding="utf-8"))
        inputs[path.parent.relative_to(data).as_posix()] = [each["cell"] for each in record["inputs"].values()]

    @cache
    def depth(cell: str) -> int:
        return 1 + max((depth(each) for each in inputs.get(cell, ())), default=0)

    found: dict[str, int] = {}
    for cell in inputs:
        found[_stage(cell)] = max(depth(cell), found.get(_stage(cell), 0))
    return found


def _compared(stage: str, old: Path | None, new: Path | None) -> tuple[Kind, str]:
    """What is to be said of one output; None where the record does not name it."""
    before = old if old is not None and old.is_file() else None
    now = new if new is not None and new.is_file() else None
    if before is None or now is None:
        if before is now:
            return "different", "recorded, but there in neither run"
        return "different", f"in the {'new' if before is None else 'old'} run alone"
    if _sha256(before) == _sha256(now):
        return "same", ""
    if stage in DRAWN and before.suffix in PAGES:
        return "page", _sizes(before, now)
    if stage in BY_CONTENT and _equal(before, now):
        return "content", "the same content in other bytes"
    return "different", _how(before, now)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _equal(old: Path, new: Path) -> bool:
    """Whether two files hold the same values of the same types, as far as it is known how to read them."""
    try:
        match old.suffix:
            case ".json":
                before, now = (json.loads(path.read_text(encoding="utf-8")) for path in (old, new))
                return json.dumps(before, sort_keys=True) == json.dumps(now, sort_keys=True)  # in Python 1 == 1.0 == True
            case ".parquet":
                tables = [pl.read_parquet(path, hive_partitioning=False) for path in (old, new)]
                return tables[0].schema == tables[1].schema and tables[0].equals(tables[1])
            case _:
                return False
    except (Exception, pl.exceptions.PanicException):
        return False  # one of them is damaged


def _how(old: Path, new: Path) -> str:
    """By how much two files differ, in terms of what is in them where that is known."""
    try:
        from sublim.lineage.compare import compare  # only here: the rest works with any revision of the package
    except ImportError:
        return _sizes(old, new)
    try:
        return compare(old, new) or "the same content in other bytes"
    except (Exception, pl.exceptions.PanicException) as error:  # polars panics at some damaged files
        return f"{_sizes(old, new)}, not to be read ({type(error).__name__})"


def _sizes(old: Path, new: Path) -> str:
    return f"{old.stat().st_size:,} bytes → {new.stat().st_size:,} other bytes"


# --- the runs


class UsageError(Exception):
    """The command line asks for what is not there."""


@dataclass(frozen=True)
class Revision:
    """One of the two that are compared."""

    name: str
    commit: str
    """The commit, or the tree of a working tree that is like no commit."""
    code: Path
    """Its files."""
    runs: Path
    """Its runs, a folder for each experiment."""


def checkout(repository: Path, revision: str | None, folder: Path) -> str:
    """Put the files of `revision` into `folder`; the repository stays as it is, and so do its index and its objects.

    Args:
        repository: the top folder of a git repository.
        revision: a commit, branch or tag; None for the working tree, with untracked files and without ignored ones.
        folder: where to, an absolute path.

    Returns:
        The commit; of a working tree that differs from it the id of its tree.

    Raises:
        UsageError: there is no such revision.
    """
    commit = _git(repository, {}, "rev-parse", "--verify", f"{revision or 'HEAD'}^{{commit}}")
    objects = _git(repository, {}, "rev-parse", "--path-format=absolute", "--git-path", "objects")
    with TemporaryDirectory() as temporary:
        aside = {
            "GIT_INDEX_FILE": f"{temporary}/index",
            "GIT_OBJECT_DIRECTORY": temporary,
            "GIT_ALTERNATE_OBJECT_DIRECTORIES": objects,
        }
        _git(repository, aside, "read-tree", commit)
        if revision is None:
            _git(repository, aside, "add", "--all")
        tree = _git(repository, aside, "write-tree")
        _git(repository, aside, "checkout-index", "--all", f"--prefix={folder}/")
    return commit if tree == _git(repository, {}, "rev-parse", f"{commit}^{{tree}}") else tree


def _git(repository: Path, environ: Mapping[str, str], *arguments: str) -> str:
    command = ["git", "-C", repository, *arguments]
    done = subprocess.run(command, env={**os.environ, **environ}, capture_output=True, text=True, check=False)
    if done.returncode:
        raise UsageError(f"git {' '.join(arguments)}: {done.stderr.strip()}")
    return done.stdout.strip()


def run(code: Path, experiment: Path, folder: Path) -> bool:
    """Run `experiment` with `code` in `folder`, what is there already excepted; what is printed goes into `folder`.log.

    Returns:
        Whether everything was made.
    """
    folder.mkdir(parents=True, exist_ok=True)
    kept = {name: value for name, value in os.environ.items() if not name.startswith(FOREIGN)}
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environ = kept | {"PATH": path, "PYTHONPATH": os.fspath(code), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "snakemake", "-j8", "--snakefile", code / "Snakefile"]
    command += ["--configfile", experiment, "--directory", folder]
    with _log(folder).open("w", encoding="utf-8") as log:
        done = subprocess.run(command, cwd=code, env=environ, stdout=log, stderr=subprocess.STDOUT, check=False)
    return done.returncode == 0


def _log(folder: Path) -> Path:
    return folder.with_name(f"{folder.name}.log")


# --- the command


@dataclass(frozen=True)
class Asked:
    """The command line."""

    old: str
    new: str | None
    experiment: Sequence[str]
    own: bool
    keep: Path | None
    json: Path | None


@dataclass
class Outcome:
    """What came of one experiment."""

    failed: list[str]
    """The revisions whose run did not come to its end."""
    comparison: Comparison

    @property
    def same(self) -> bool:
        """Whether it is shown that nothing has changed."""
        return not self.failed and self.comparison.same


def oracle(asked: Asked, temporary: Path) -> dict[str, Outcome]:
    """Run and compare; prints as it goes. Experiment → what came of it.

    Raises:
        UsageError: the command line names something that is not there.
    """
    old, new = _revision(asked.old, "old", asked, temporary), _revision(asked.new, "new", asked, temporary)
    if old.runs == new.runs:
        raise UsageError(f"OLD and NEW are both {old.commit}, with one folder for their runs; two need no --keep")
    files = {Path(name).stem: name for name in asked.experiment}
    if len(files) < len(asked.experiment):
        raise UsageError("--experiment: expected files of different names")
    sources = {old: (old if asked.own else new).code, new: new.code}
    for name in files.values():
        for code in sources.values():
            if not (code / name).is_file():
                raise UsageError(f"--experiment {name}: no such file in the {'old' if code == old.code else 'new'} revision")
    outcomes: dict[str, Outcome] = {}
    for name, file in files.items():
        failed = [each.name for each, code in sources.items() if not _ran(each, code / file, name)]
        outcomes[name] = Outcome(failed, differences(old.runs / name / "data", new.runs / name / "data"))
        print(f"{name}: {old.name} → {new.name}", described(outcomes[name]), sep="\n", flush=True)
    return outcomes


def _revision(name: str | None, side: str, asked: Asked, temporary: Path) -> Revision:
    code = temporary / side / "code"
    commit = checkout(ROOT, name, code)
    runs = temporary / side / "runs" if asked.keep is None else asked.keep.resolve() / commit
    return Revision(f"{name or 'the working tree'} ({commit[:7]})", commit, code, runs)


def _ran(revision: Revision, experiment: Path, name: str) -> bool:
    print(f"{name}: running {revision.name}", file=sys.stderr, flush=True)
    folder = revision.runs / name
    done = run(revision.code, experiment, folder)
    if not done:
        print(*_log(folder).read_text(encoding="utf-8").splitlines()[-SHOWN:], sep="\n", file=sys.stderr, flush=True)
    return done


def described(outcome: Outcome) -> str:
    """A table with a line for each stage, and the first differences; pages are counted only."""
    told = f"{'stage':10}{'artifacts':>10}{'files':>8}{'same':>8}{'same content':>14}{'other page':>12}{'different':>11}"
    lines = [told]
    for stage, of in outcome.comparison.stages.items():
        counts = f"{of.artifacts:10,}{of.files:8,}{of.same:8,}{of.content:14,}{of.page:12,}{of.different:11,}"
        lines.append(f"{stage:10}{counts}")
    found = [each for each in outcome.comparison.found if each.kind != "page"]
    lines += [f"  {'/'.join(filter(None, (each.artifact, each.file)))}: {each.how}" for each in found[:SHOWN]]
    lines += [f"  and {len(found) - SHOWN:,} more"] if len(found) > SHOWN else []
    lines += [f"  the run of {name} failed" for name in outcome.failed]
    return "\n".join([*lines, "nothing has changed" if outcome.same else "NOT THE SAME", ""])


def summary(asked: Asked, outcomes: Mapping[str, Outcome]) -> str:
    """The same as JSON, with every difference."""
    experiments = {
        name: {"same": each.same, "failed": each.failed, **asdict(each.comparison)} for name, each in outcomes.items()
    }
    whole = {"old": asked.old, "new": asked.new, "same": _same(outcomes), "experiments": experiments}
    return json.dumps(whole, indent=1, ensure_ascii=False) + "\n"


def _same(outcomes: Mapping[str, Outcome]) -> bool:
    return all(each.same for each in outcomes.values())


def main() -> None:
    """Do what the command line asks for."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.oracle", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("old", metavar="OLD")
    parser.add_argument("new", metavar="NEW", nargs="?")
    parser.add_argument("--experiment", metavar="FILE", action="append", help="repeatable; from the top of the repository")
    parser.add_argument("--own", action="store_true", help="each revision runs its own FILE")
    parser.add_argument("--keep", metavar="FOLDER", type=Path, help="where runs stay, and are taken up again")
    parser.add_argument("--json", metavar="FILE", type=Path, help="write all that is found there")
    given: dict[str, Any] = vars(parser.parse_args())
    given["experiment"] = given["experiment"] or EXPERIMENTS
    asked = Asked(**given)
    with TemporaryDirectory(prefix="oracle-", ignore_cleanup_errors=True) as temporary:
        try:
            outcomes = oracle(asked, Path(temporary).resolve())
        except UsageError as error:
            parser.error(str(error))
    if asked.json:
        asked.json.write_text(summary(asked, outcomes), encoding="utf-8")
    sys.exit(0 if _same(outcomes) else 1)


if __name__ == "__main__":
    main()
