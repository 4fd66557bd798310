"""`sublim adopt`: what other code alone made stale is kept where some of each kind, made again, come out byte for byte the
same; else nothing is touched. What a record says of its adoption can be checked, and a forged one is found."""

import json
import re
from collections.abc import Callable, Iterator
from contextlib import chdir
from dataclasses import replace
from itertools import count
from pathlib import Path

import pytest

from sublim.common.errors import SublimError
from sublim.common.files import sha256
from sublim.engine import layout
from sublim.engine.digests import Digests
from sublim.engine.planning import cells, experiment
from sublim.engine.record import Adoption, Plan, Record, RecordError, Witness, read
from sublim.engine.store import Store
from sublim.engine.verdict import judge
from sublim.evidence.finding import CORRUPTED, UNVERIFIABLE
from sublim.lineage import adopt
from sublim.lineage.replay import Replayed
from tests.shared import interruptions
from tests.shared.forge import tree
from tests.shared.interruptions import Done, killed, linked
from tests.shared.project import Project, once

RAW = "raw/teacher=a/trait=fox/carrier=numbers/seed=1"
MAKE = "sublim/stages/raw/make.py"
HARMLESS = (MAKE, "encoded", "asked_in_tokens")
"""A local variable gets another name."""
HARMLESS_FILTER = ("sublim/stages/filtered/make.py", "_SHOWN", "_AT_MOST")
OTHER_SEED = (MAKE, "int(seed) for seed", "int(seed) ^ 1 for seed")
ADOPTED = re.compile(r"adopted 3 artifacts: 1 others, made again by the code as it is now, came out with the same bytes")


def _records(project: Project) -> dict[str, str]:
    """Cell → sha256 of its record."""
    data = project.path / "data"
    return {path.parent.relative_to(data).as_posix(): sha256(path) for path in sorted(data.rglob(layout.RECORD))}


def _read(project: Project, stage: str = "raw") -> dict[str, Record]:
    paths = (project.path / "data" / stage).rglob(layout.RECORD)
    return {record.plan.cell: record for path in sorted(paths) for record in [read(path)]}


def _nothing_to_compute(project: Project) -> None:
    start = len(project.events())
    assert "Nothing to be done" in project.snakemake("-n").output
    project.snakemake()
    project.dvc("repro")
    assert project.events()[start:] == []
    assert "up to date" in project.dvc("status").output


@pytest.fixture(scope="session")
def adopted(committed: Project, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """The committed experiment after an edit that changes no byte, adopted. Copy it, do not touch it."""

    def make(path: Path) -> None:
        project = committed.copy(path)
        project.edit(*HARMLESS)
        assert ADOPTED.search(project.sublim("adopt").output)

    return once(tmp_path_factory, "adopted", make)


@pytest.fixture
def kept(adopted: Project, tmp_path: Path) -> Project:
    """A copy of the adopted experiment to play with."""
    return adopted.copy(tmp_path / "project")


def test_what_code_alone_made_stale_is_told_with_its_cost_and_the_way_out(project: Project) -> None:
    project.edit(*HARMLESS)
    told = "4 are stale by code alone: `sublim adopt` makes some of each stage again"
    for done in (project.sublim("status"), project.snakemake("-n")):
        assert told in done.output
        assert "`sublim cost` says what all of it costs" in done.output
    assert f"{RAW} is not up to date" in project.sublim("why", f"data/{RAW}").output
    assert re.search(r"^  raw +4 ", project.sublim("cost").output, re.MULTILINE)


def test_after_an_adoption_neither_engine_has_anything_to_compute(adopted: Project, committed: Project, kept: Project) -> None:
    before, after = _read(committed), _read(kept)
    made = {cell for cell, record in after.items() if not record.adopted}
    assert (len(after), len(made)) == (4, 1)
    (witness,) = made
    for cell, record in after.items():
        assert record.outputs == before[cell].outputs
        assert record.inputs == before[cell].inputs
        assert record.key != before[cell].key
        assert record.plan.code != before[cell].plan.code
        if cell != witness:
            (evidence,) = record.adopted
            assert (evidence.key, evidence.code) == (before[cell].key, before[cell].plan.code)
            assert evidence.witnesses == {witness: Witness(after[witness].key, after[witness].digest)}
            assert evidence.environment["python"]
            assert '"adopted"' in (kept.path / "data" / cell / layout.RECORD).read_text(encoding="utf-8")
    others = {cell: digest for cell, digest in _records(committed).items() if cell not in after}
    assert {cell: digest for cell, digest in _records(kept).items() if cell not in after} == others
    assert kept.events() == adopted.events()
    _nothing_to_compute(kept)
    assert "proven: " in kept.sublim("audit", "--full").output
    assert re.fullmatch(r"all \d+ artifacts are up to date\n", kept.sublim("status").output)


def test_it_goes_back_to_the_old_code_and_forth_without_computing(kept: Project) -> None:
    whole, start = _records(kept), len(kept.events())
    _, old, new = HARMLESS
    kept.edit(MAKE, new, old)
    kept.snakemake()
    assert not kept.since(start)["computed"]
    assert kept.sublim("audit").status == 0
    kept.edit(*HARMLESS)
    kept.snakemake()
    assert not kept.since(start)["computed"]
    assert _records(kept) == whole


def test_what_the_code_has_computed_before_is_not_called_adopted(kept: Project) -> None:
    _, old, new = HARMLESS
    kept.edit(MAKE, new, old)
    assert "adopted 3 artifacts" in kept.sublim("adopt").output
    assert not any(record.adopted for record in _read(kept).values())


def test_all_of_them_may_be_made_again(project: Project) -> None:
    project.edit(*HARMLESS)
    assert "adopted 0 artifacts: 4 others, made again" in project.sublim("adopt", "--all").output
    assert not any(record.adopted for record in _read(project).values())
    assert "Nothing to be done" in project.snakemake("-n").output
    assert project.sublim("audit").status == 0


def test_if_one_byte_differs_nothing_is_adopted(project: Project) -> None:
    project.edit(*OTHER_SEED)
    project.edit(*HARMLESS_FILTER)
    before, start = project.digests(), len(project.events())
    done = project.sublim("adopt", "--replay", "2", check=False)
    assert done.status == 1
    assert "Traceback" not in done.output
    assert "2 artifacts, made again, come out different, so nothing was adopted:" in done.output
    named = re.findall(r"^  (raw/\S+): rows\.parquet: (.+)", done.output, re.MULTILINE)
    assert len(named) == 2
    assert {cell for cell, _ in named} <= _read(project).keys()
    assert all("sampling_seed" in how for _, how in named)
    assert "name all but raw" in done.output
    assert project.digests() == before
    assert project.events()[start:] == []
    assert not (project.path / layout.REKEYING).exists()


def test_stages_that_are_named_are_adopted_alone(project: Project) -> None:
    before = _records(project)
    project.edit(*HARMLESS)
    assert "nothing to adopt" in project.sublim("adopt", "teacher").output
    assert "no such stage; expected one of base," in project.sublim("adopt", "teachers", check=False).output
    # What is made from something stale cannot be adopted before that.
    project.edit(*HARMLESS_FILTER)
    assert "nothing to adopt" in project.sublim("adopt", "filtered").output
    assert _records(project) == before
    assert ADOPTED.search(project.sublim("adopt", "raw").output)
    assert {cell.split("/")[0] for cell, digest in _records(project).items() if before[cell] != digest} == {"raw"}
    assert "adopted 4 artifacts: 4 others" in project.sublim("adopt", "filtered").output  # by arm
    assert "Nothing to be done" in project.snakemake("-n").output
    assert project.sublim("audit").status == 0


def test_what_other_params_made_stale_is_not_adopted(project: Project) -> None:
    project.edit(*HARMLESS)
    project.edit("params.yaml", "max_tokens: 24", "max_tokens: 25")
    before = _records(project)
    assert "stale by code alone" not in project.sublim("status").output
    assert "nothing to adopt" in project.sublim("adopt").output
    assert _records(project) == before


def test_what_is_altered_is_neither_adopted_nor_evidence(project: Project) -> None:
    rows = project.path / "data" / RAW / "rows.parquet"
    content = bytearray(rows.read_bytes())
    content[len(content) // 2] ^= 16
    rows.write_bytes(content)
    project.edit(*HARMLESS)
    before = _records(project)
    assert "adopted 2 artifacts: 1 others" in project.sublim("adopt").output
    assert RAW not in {cell for cell, digest in _records(project).items() if before[cell] != digest}
    assert project.sublim("audit", check=False).status != 0


# Forging


def _forge(project: Project, change: Callable[[Adoption], Adoption]) -> str:
    """Change what an adopted record says of its adoption; its own digests fit. Returns its cell."""
    cell, record = next((cell, record) for cell, record in _read(project).items() if record.adopted)
    forged = replace(record, adopted=(*record.adopted[:-1], change(record.adopted[-1])))
    forged.write(project.path / "data" / cell / layout.RECORD)
    return cell


def _witness(change: Callable[[Witness], Witness]) -> Callable[[Adoption], Adoption]:
    return lambda found: replace(found, witnesses={cell: change(each) for cell, each in found.witnesses.items()})


def test_a_forged_digest_of_a_witness_is_found(kept: Project) -> None:
    cell = _forge(kept, _witness(lambda found: replace(found, digest="ab" * 32)))
    audit = kept.sublim("audit", check=False)
    assert audit.status == CORRUPTED
    assert f"data/{cell}: corrupted: adoption: expected that raw/" in audit.output
    assert "found other bytes: abababababab → " in audit.output


def test_the_evidence_of_every_adoption_is_looked_at(kept: Project) -> None:
    kept.edit(MAKE, "asked_in_tokens", "asked_as_tokens")
    assert ADOPTED.search(kept.sublim("adopt").output)
    cell, record = next((cell, record) for cell, record in _read(kept).items() if len(record.adopted) == 2)
    assert kept.sublim("audit").status == 0
    forged = _witness(lambda found: replace(found, digest="ab" * 32))(record.adopted[0])
    replace(record, adopted=(forged, record.adopted[1])).write(kept.path / "data" / cell / layout.RECORD)
    audit = kept.sublim("audit", check=False)
    assert audit.status == CORRUPTED
    assert f"data/{cell}: corrupted: adoption: expected that raw/" in audit.output


def test_a_witness_that_came_out_otherwise_than_before_is_found(kept: Project, committed: Project) -> None:
    """Then the code is another one in what it does, and nothing should have been adopted."""
    (witness,) = (cell for cell, record in _read(kept).items() if not record.adopted)
    before = _read(committed)[witness]
    others = [record for cell, record in _read(committed).items() if cell != witness]
    other = next(output.sha256 for record in others for output in record.outputs.values())
    outputs = {name: replace(output, sha256=other) for name, output in before.outputs.items()}
    forged = replace(before, outputs=outputs, environment=before.environment | {"python": "3.99"})
    forged.write(kept.path / layout.STORE / "keys" / before.key[:2] / f"{before.key}.json")
    audit = kept.sublim("audit", check=False)
    assert audit.status == CORRUPTED
    assert (
        f"expected that {witness} was made by the code of this record and came out the same, found other bytes than"
        in audit.output
    )


def test_a_forged_key_of_a_witness_is_found(kept: Project) -> None:
    cell = _forge(kept, _witness(lambda found: replace(found, key="ab" * 32)))
    audit = kept.sublim("audit", check=False)
    assert audit.status == UNVERIFIABLE
    assert f"data/{cell}: " in audit.output
    assert "abababababab came out the same, but that is not there any more" in audit.output


@pytest.mark.parametrize("stage", ["teacher", "raw"])
def test_evidence_that_is_of_something_else_is_found(kept: Project, adopted: Project, stage: str) -> None:
    """A witness of another stage, or one that was adopted itself: all of it is there, but proves nothing."""
    named, other = next((cell, record) for cell, record in _read(adopted, stage).items() if record.adopted or stage != "raw")
    cell = _forge(kept, lambda found: replace(found, witnesses={named: Witness(other.key, other.digest)}))
    audit = kept.sublim("audit", check=False)
    assert audit.status == CORRUPTED
    assert f"data/{cell}: corrupted: adoption: expected that {named} was made by the code of this record" in audit.output
    assert ("one of the stage teacher" if stage == "teacher" else "one that was adopted itself") in audit.output


BROKEN: dict[str, Callable[[Adoption], Adoption]] = {
    "no witness": lambda found: replace(found, witnesses={}),
    "another key before": lambda found: replace(found, key="ab" * 32),
    "another code before": lambda found: replace(found, code={}),
    "no key": _witness(lambda found: replace(found, key="../../x")),
    "no digest": _witness(lambda found: replace(found, digest="..")),
    "no cell": lambda found: replace(found, witnesses={"../x": Witness("ab" * 32, "ab" * 32)}),
}


@pytest.mark.parametrize("change", BROKEN.values(), ids=BROKEN)
def test_an_adoption_that_does_not_hold_together_is_an_altered_record(
    adopted: Project, tmp_path: Path, change: Callable[[Adoption], Adoption]
) -> None:
    record = next(record for record in _read(adopted).values() if record.adopted)
    replace(record, adopted=(change(record.adopted[-1]),)).write(tmp_path / layout.RECORD)
    with pytest.raises(RecordError, match="was altered: "):
        read(tmp_path / layout.RECORD)


def test_an_altered_record_of_an_adopted_artifact_is_found(kept: Project) -> None:
    cell = _forge(kept, BROKEN["no witness"])
    audit = kept.sublim("audit", check=False)
    assert audit.status == CORRUPTED
    assert f"data/{cell}: corrupted: its record was altered: " in audit.output


def test_everybody_says_what_was_adopted(kept: Project, tmp_path: Path) -> None:
    """In the audit, lineage, a card and a bundle."""
    cell = next(cell for cell, record in _read(kept).items() if record.adopted)
    assert "3 of these were adopted" in kept.sublim("audit").output
    assert re.search(r"adopted: code \w+ made it, key \w+", kept.sublim("lineage", cell).output)
    assert "adopted" in json.loads(kept.sublim("lineage", cell, "--json").output)["artifacts"][cell]
    assert "Adopted: " in kept.sublim("card", cell).output
    bundle = tmp_path / "all.zip"
    kept.sublim("export", "all", "--to", str(bundle))
    assert "note: adopted: 3 artifacts that older code computed" in kept.sublim("verify", str(bundle)).output


def test_on_another_machine_it_says_so_and_adopts_nothing(
    adopted: Project, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    group = adopt.Group("raw", {RAW: _read(adopted)[RAW]})
    with chdir(adopted.path):
        plans = cells(experiment(Path("params.yaml")), Digests(layout.DIGESTS))
        verdicts = judge(plans, Digests(layout.DIGESTS))
        before = _records(adopted)
        other = Replayed(RAW, "ab" * 32, ("rows.parquet: 1 of 300 rows differ",), "platform: Linux-riscv64 → Linux-x86_64")

        def replayed(*_: object) -> Iterator[Replayed]:
            yield other

        monkeypatch.setattr(adopt, "replay", replayed)
        with pytest.raises(
            SublimError, match=r"(?s)nothing was adopted.*Linux-riscv64 → .*Adopt on the machine that made them"
        ):
            adopt.adopt([group], verdicts, 1, print)
        assert _records(adopted) == before
    assert not capsys.readouterr().out


def test_a_witness_that_was_made_otherwise_since_is_found_in_the_store(kept: Project) -> None:
    """Its new record is not the evidence, but the old one is kept."""
    (witness,) = (cell for cell, record in _read(kept).items() if not record.adopted)
    folder = kept.path / "data" / witness
    record = read(folder / layout.RECORD)
    replace(record, environment=record.environment | {"python": "3.99"}).write(folder / layout.RECORD)
    assert not list(adopt.check(tree(kept.path / "data"), None)), "same key, same bytes"
    other = replace(record, plan=replace(record.plan, params=record.plan.params | {"more": 1}))
    other.write(folder / layout.RECORD)
    found = list(adopt.check(tree(kept.path / "data"), None))
    assert {finding.status for finding in found} == {UNVERIFIABLE}
    assert not list(adopt.check(tree(kept.path / "data"), Store(kept.path / layout.STORE)))


def _remove_record(folder: Path) -> None:
    (folder / layout.RECORD).unlink()


def _change_rows(folder: Path) -> None:
    rows = (folder / "rows.parquet").read_bytes()
    (folder / "rows.parquet").unlink()  # it may be a link to the original
    (folder / "rows.parquet").write_bytes(rows + b" ")


@pytest.mark.parametrize("change", [_remove_record, _change_rows])
def test_what_somebody_changes_meanwhile_keeps_the_record_that_it_has(
    stale: Path, monkeypatch: pytest.MonkeyPatch, change: Callable[[Path], None]
) -> None:
    with chdir(stale):
        verdicts = judge(cells(experiment(Path("params.yaml")), Digests(layout.DIGESTS)), Digests(layout.DIGESTS))
        groups = adopt.groups(verdicts, ["filtered"], Digests(layout.DIGESTS))
        stale_cells = {cell for group in groups for cell in group.records}

        def replayed(chosen: dict[str, bool], tell: Callable[[str], None]) -> Iterator[Replayed]:  # noqa: ARG001
            change(layout.artifact(min(stale_cells - chosen.keys())))
            for cell in chosen:
                yield Replayed(cell, "ab" * 32, (), None)

        before = _records(Project(stale))
        monkeypatch.setattr(adopt, "replay", replayed)
        done = adopt.adopt(groups, verdicts, 1, print)
        assert (len(done.cells), len(done.witnesses)) == (1, 2)
        (kept,) = stale_cells - {*done.cells, *done.witnesses}
        assert _records(Project(stale)).get(kept) in (None, before[kept])


# Crashes


def _by_other_code(plan: Plan) -> Plan:
    once = plan.stage == "filtered" and plan.dims["arm"] in ("trait", "control")
    return replace(plan, code=plan.code | {"sublim.filters.chain": "ab" * 32}) if once else plan


@pytest.fixture
def stale(finished: Project, tmp_path: Path) -> Path:
    """The finished experiment, as if other code of the filters had made four of its artifacts, of two kinds."""
    project = linked(finished.path, tmp_path / "stale")
    for cell, record in tree(project / "data").records.items():
        replace(record, plan=_by_other_code(record.plan)).write(project / "data" / cell / layout.RECORD)
    return project


@pytest.mark.timeout(600)
@pytest.mark.parametrize("only", [".sublim/rekeying", "data/", ".sublim/store/keys"])
def test_a_crash_leaves_all_re_keyed_or_none(stale: Path, tmp_path: Path, only: str) -> None:
    old = {
        cell: record.key for cell, record in _read(Project(stale), "filtered").items() if "ab" * 32 in record.plan.code.values()
    }
    assert len(old) == 4
    none, every = 0, 0
    for step in count():
        project = Project(linked(stale, tmp_path / "project"))
        try:
            killed(project.path, interruptions.adopt, step, only=only)
        except Done:
            break
        with chdir(project.path):
            interruptions.replan()
        found = {cell: record.key for cell, record in _read(project, "filtered").items()}
        again = {cell for cell in old if found[cell] == old[cell]}
        assert again in (set(), old.keys()), f"killed before step {step}"
        none, every = none + bool(again), every + (not again)
        assert not (project.path / layout.REKEYING).exists()
        assert not list(adopt.check(tree(project.path / "data"), None))
    assert every > 0
    assert none == (1 if only == ".sublim/rekeying" else 0)
