"""Flipped bits, swapped files, edits with size and time put back: each is found, and the artifact and the file are named."""

import os
import random
import shutil
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import chdir, contextmanager
from pathlib import Path

import pytest

from sublim.engine import layout
from sublim.engine.digests import SETTLED_NS, Digests
from sublim.engine.planning import cells, experiment
from sublim.engine.record import read
from sublim.engine.verdict import Cell, Verdict, altered, judge
from sublim.evidence.finding import CORRUPTED
from tests.shared.project import Project

POSITIONS = 64
NOWHERE = Path("no-such-cache")


@pytest.fixture(scope="module")
def data(finished: Project, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A copy of params and data; tests put back what they alter."""
    project = tmp_path_factory.mktemp("bits") / "project"
    project.mkdir()
    shutil.copy(finished.path / "params.yaml", project)
    shutil.copytree(finished.path / "data", project / "data")
    with chdir(project):
        yield project


@pytest.fixture(scope="module")
def known(data: Path) -> tuple[Cell, ...]:
    return cells(experiment(data / "params.yaml"), Digests(NOWHERE))


def _kinds(known: tuple[Cell, ...]) -> dict[tuple[str, str], str]:
    """(Stage, file name) → the first cell that has such a file."""
    found: dict[tuple[str, str], str] = {}
    for cell in known:
        for name in (*read(layout.record(cell.id)).outputs, layout.RECORD):
            found.setdefault((cell.plan.stage, name), cell.id)
    return found


def _warm(paths: list[Path]) -> Digests:
    """A cache that knows all of `paths`."""
    time.sleep(2 * SETTLED_NS / 1e9)
    digests = Digests(NOWHERE)
    for path in paths:
        digests(path)
    return digests


@contextmanager
def _edited(path: Path, edit: Callable[[bytearray], None]) -> Generator[None]:
    """Edit the file in place and put its times back; at the end put the bytes and times back."""
    stat, whole = path.stat(), path.read_bytes()
    damaged = bytearray(whole)
    edit(damaged)
    assert damaged != whole
    assert len(damaged) == len(whole)
    for content in (damaged, whole):
        with path.open("r+b") as file:
            file.write(content)
        os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
        if content is damaged:
            assert (path.stat().st_mtime_ns, path.stat().st_size) == (stat.st_mtime_ns, stat.st_size)
            yield


def _flip(position: int, bit: int) -> Callable[[bytearray], None]:
    def flip(content: bytearray) -> None:
        content[position] ^= 1 << bit

    return flip


def _places(size: int, order: random.Random) -> list[tuple[int, int]]:
    """Positions in a file of `size` bytes: both ends, and all parts of it."""
    parts = POSITIONS - 4
    inner = [size * n // parts + order.randrange(max(1, size // parts)) for n in range(parts)]
    return [(position, order.randrange(8)) for position in (0, 1 % size, size - 1, (size - 2) % size, *inner)]


@pytest.mark.timeout(300)
def test_every_flipped_bit_in_every_kind_of_file_is_found_and_named(known: tuple[Cell, ...]) -> None:
    kinds, order = _kinds(known), random.Random(6)
    formats = {".safetensors", ".parquet", ".json", ".html", ".svg", ".png", ".csv", ".jinja"}
    assert {Path(name).suffix for _, name in kinds} == formats
    assert {stage for stage, _ in kinds} == {cell.plan.stage for cell in known}
    by_name = {cell.id: cell for cell in known}
    flips = 0
    for (_, name), cell in kinds.items():
        path = layout.artifact(cell) / name
        record = None if name == layout.RECORD else read(layout.record(cell))
        warm = _warm([layout.artifact(cell) / file for file in read(layout.record(cell)).outputs])
        for position, bit in _places(path.stat().st_size, order):
            with _edited(path, _flip(position, bit)):
                if record is None:
                    (verdict,) = judge([_alone(by_name[cell])], warm).values()
                    assert verdict.kind == "altered", f"{path}: bit {bit} of byte {position}"
                    assert "its record" in str(verdict.reason)
                else:
                    for digests in (warm, Digests(NOWHERE)):
                        (named,) = altered(cell, record, digests)
                        assert named.startswith(f"{name}: "), f"{path}: bit {bit} of byte {position}"
            flips += 1
    assert flips == POSITIONS * len(kinds)


def _alone(cell: Cell) -> Cell:
    """The cell without what is upstream: its own bytes and record are asked for first."""
    return Cell(cell.plan, {})


def test_a_float_that_is_written_in_another_way_is_an_altered_record(tmp_path: Path) -> None:
    """`e` and `E` differ in one bit, and 1e-05 is 1E-05."""
    from sublim.engine.record import Plan, Record, RecordError

    path = tmp_path / "record.json"
    Record(Plan("student", {}, {"eps": 1e-05}, {}), {}, {}, {}).write(path)
    text = path.read_text()
    assert text.count("1e-05") == 1
    path.write_text(text.replace("1e-05", "1E-05"))
    with pytest.raises(RecordError, match="was altered"):
        read(path)


def _verdicts(known: tuple[Cell, ...], digests: Digests) -> dict[str, Verdict]:
    return {name: verdict for name, verdict in judge(known, digests).items() if verdict.kind not in ("valid", "follows")}


def _students(known: tuple[Cell, ...]) -> tuple[Path, Path]:
    """The adapters of two students of the same base: equal size, other bytes."""
    one, other = (
        layout.artifact(cell.id) / "adapter_model.safetensors"
        for cell in known
        if cell.plan.stage == "student" and cell.plan.dims["student"] == "a" and cell.plan.dims["arm"] == "trait"
    )
    assert one.stat().st_size == other.stat().st_size
    assert one.read_bytes() != other.read_bytes()
    return one, other


def _same_times(one: Path, other: Path) -> None:
    stat = one.stat()
    os.utime(other, ns=(stat.st_atime_ns, stat.st_mtime_ns))


def _names(found: dict[str, Verdict]) -> set[tuple[str, str]]:
    """(Cell, file) of all that is named."""
    return {(name, change.split(":")[0]) for name, verdict in found.items() for change in verdict.changes}


def _all_files() -> list[Path]:
    return sorted(path for path in Path("data").rglob("*") if path.is_file())


def test_two_files_of_one_size_and_time_that_are_swapped_are_both_named(known: tuple[Cell, ...]) -> None:
    one, other = _students(known)
    _same_times(one, other)
    warm = _warm(_all_files())
    assert not _verdicts(known, warm)
    aside = one.with_name("aside")

    def swap() -> None:
        one.rename(aside)
        other.rename(one)
        aside.rename(other)

    swap()
    expected = {(path.parent.relative_to("data").as_posix(), path.name) for path in (one, other)}
    assert _names(_verdicts(known, warm)) == _names(_verdicts(known, Digests(NOWHERE))) == expected
    swap()
    assert not _verdicts(known, warm)


def test_a_file_that_another_of_its_size_and_time_was_renamed_over_is_named(known: tuple[Cell, ...]) -> None:
    one, other = _students(known)
    warm = _warm(_all_files())
    kept = one.with_name("kept")
    os.link(one, kept)
    forged = one.with_name("forged")
    shutil.copyfile(other, forged)
    _same_times(one, forged)
    forged.rename(one)
    expected = {(one.parent.relative_to("data").as_posix(), one.name)}
    assert _names(_verdicts(known, warm)) == _names(_verdicts(known, Digests(NOWHERE))) == expected
    kept.rename(one)
    assert not _verdicts(known, warm)


def test_the_audit_names_artifact_file_and_command(finished: Project, tmp_path: Path) -> None:
    project = finished.copy(tmp_path / "project")
    assert project.sublim("audit").status == 0
    for name in (
        "report/study=numbers/gains.svg",
        "student/teacher=a/trait=fox/carrier=numbers/filter=strict/arm=trait/method=hard/student=b/seed=1/adapter_model.safetensors",
    ):
        path = project.path / "data" / name
        with _edited(path, _flip(path.stat().st_size // 3, 5)):
            for arguments in (("audit",), ("audit", "--full")):
                done = project.sublim(*arguments, check=False)
                assert done.status == CORRUPTED
                assert f"data/{Path(name).parent}: corrupted" in done.output
                assert f"{Path(name).name}: " in done.output
                assert f"snakemake -j8 data/{Path(name).parent}/record.json" in done.output
