"""Adoption: artifacts that only other code made stale are kept, if some of each kind, made again by the new code, come out byte
for byte the same.

Evidence first: nothing is written before all that was made again is the same. Then every record is re-keyed in one go: what is
to be written is put down whole, so that after a crash the next command goes on with it."""

import json
import random
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace

from sublim.common.errors import SublimError
from sublim.engine import environment, layout, rekeying
from sublim.engine.digests import Digests
from sublim.engine.record import Adoption, Record, Witness, key, record_at
from sublim.engine.store import Store, root
from sublim.engine.verdict import Cell, Verdict, altered, differences
from sublim.evidence.finding import CORRUPTED, UNVERIFIABLE, Finding
from sublim.evidence.tree import Tree
from sublim.lineage.replay import Replayed, replay

SHOWN = 8


@dataclass(frozen=True)
class Group:
    """Artifacts of one stage that the same old code made, and that the same new code would make."""

    stage: str
    records: Mapping[str, Record]  #: Cell → its record.


@dataclass(frozen=True)
class Adopted:
    """What was adopted."""

    cells: tuple[str, ...]  #: Re-keyed on the evidence of others.
    witnesses: tuple[str, ...]  #: Made again.


def groups(verdicts: Mapping[str, Verdict], stages: Collection[str], digests: Digests) -> list[Group]:
    """What can be adopted: artifacts of `stages` that are whole, of the same params and inputs as planned, but of other code,
    and whose inputs are valid or can be adopted as well."""
    sound = {name for name, verdict in verdicts.items() if verdict.kind == "valid"}
    records = _records(verdicts)
    kinds: dict[tuple[str, ...], dict[str, Record]] = {}
    for name, verdict in verdicts.items():
        record, cell = records.get(name), verdict.cell
        if name in sound or record is None or not _same_but_code(record, cell) or altered(name, record, digests):
            continue
        if any(above not in sound or records[above].digest != record.given[role] for role, above in cell.inputs.items()):
            continue
        if record.plan.code == cell.plan.code:
            sound.add(name)  # it only follows
        elif cell.plan.stage in stages:
            sound.add(name)
            code = (json.dumps(plan.code, sort_keys=True) for plan in (record.plan, cell.plan))
            kinds.setdefault((cell.plan.stage, *code), {})[name] = record
    return [Group(stage, found) for (stage, *_), found in kinds.items()]


def adopt(groups: Sequence[Group], verdicts: Mapping[str, Verdict], again: int | None, tell: Callable[[str], None]) -> Adopted:
    """Make `again` artifacts of each group again (None: all), and adopt the others if all come out the same. Raises
    SublimError: a byte differs; nothing was adopted."""
    witnesses = [_drawn(group, again) for group in groups]
    cells = {cell: verdicts[cell].cell.online for drawn in witnesses for cell in drawn}
    done = list(replay(cells, tell))
    if differing := [made for made in done if made.differing]:
        raise SublimError(_refusal(differing))
    here, kept = environment.describe(environment.git_state()), Store(root(layout.STORE))
    new: dict[str, Record] = {}
    for group, drawn in zip(groups, witnesses, strict=True):
        made = {cell: Record(verdicts[cell].cell.plan, old.inputs, old.outputs, here) for cell, old in drawn.items()}
        seen = {cell: Witness(record.key, record.digest) for cell, record in made.items()}
        for cell, old in group.records.items():
            plan, adoption = verdicts[cell].cell.plan, Adoption(old.key, old.plan.code, seen, here)
            new[cell] = made.get(cell) or _computed(replace(old, plan=plan, adopted=(*old.adopted, adoption)), kept)
    written = rekeying.write(new)
    return Adopted(tuple(cell for cell in written if cell not in cells), tuple(cells))


def check(tree: Tree, kept: Store | None) -> Iterator[Finding]:
    """Adoptions whose evidence does not hold: a witness that is no artifact of the new code, or came out otherwise. One that
    has been made otherwise since is looked for in the store; of an adoption before the last one it may be gone."""
    for cell, record in tree.records.items():
        afterwards = [*(each.code for each in record.adopted), record.plan.code][1:]
        mend = f"sublim audit --replay {layout.artifact(cell)}"
        for number, (adoption, code) in enumerate(zip(record.adopted, afterwards, strict=True), 1):
            for name, witness in adoption.witnesses.items():
                found = tree.records.get(name)
                if found is None or found.key != witness.key:
                    found = kept.find(witness.key) if kept else None
                if found is not None and (why := _unlike(record.plan.stage, code, found, adoption, witness, kept)):
                    text = f"expected that {name} was made by the code of this record and came out the same, found {why}"
                    yield Finding(cell, record.plan.stage, CORRUPTED, f"adoption: {text}", mend)
                elif found is None and number == len(record.adopted):
                    text = f"it was adopted since {name} {witness.key[:12]} came out the same, but that is not there any more"
                    yield Finding(cell, record.plan.stage, UNVERIFIABLE, f"adoption: {text}", mend)


def describe(adopted: Adopted) -> str:
    """What was adopted, for a person."""
    if not adopted.cells and not adopted.witnesses:
        return "nothing to adopt: no artifact of these stages is stale by code alone and made from what holds"
    return (
        f"adopted {len(adopted.cells)} artifacts: {len(adopted.witnesses)} others, made again by the code as it is now, "
        "came out with the same bytes. Their records say so."
    )


def _unlike(
    stage: str, code: dict[str, str], found: Record, adoption: Adoption, witness: Witness, kept: Store | None
) -> str | None:
    """What of a witness is not as it must be, to be one for an artifact of `stage` that counts as made by `code`."""
    if found.plan.stage != stage:
        return f"one of the stage {found.plan.stage}"
    if found.adopted:
        return "one that was adopted itself"
    if found.plan.code != code:
        return "one of other code"
    if found.digest != witness.digest:
        return f"other bytes: {witness.digest[:12]} → {found.digest[:12]}"
    before = kept.find(key(replace(found.plan, code=adoption.code), found.given)) if kept else None
    if before is not None and before.digest != found.digest:
        return f"other bytes than before: {before.digest[:12]} → {found.digest[:12]}"
    return None


def _computed(record: Record, kept: Store) -> Record:
    """`record`, or if the code of its plan has once computed it, as after a way back, the record of that."""
    known = kept.find(record.key)
    return known if known is not None and not known.adopted and known.outputs == record.outputs else record


def _records(verdicts: Mapping[str, Verdict]) -> dict[str, Record]:
    there = {cell: record_at(layout.record(cell)) for cell in verdicts}
    return {cell: record for cell, record in there.items() if record is not None}


def _same_but_code(record: Record, cell: Cell) -> bool:
    changes = differences(asdict(record.plan), asdict(cell.plan))  # 1 is not 1.0, as in the verdict
    inputs = {name: used.cell for name, used in record.inputs.items()}
    return all(change.startswith("code.") for change in changes) and inputs == cell.inputs


def _drawn(group: Group, again: int | None) -> dict[str, Record]:
    """Nobody, not even the author of the code, can know which: no seed."""
    number = len(group.records) if again is None else min(again, len(group.records))
    return dict(random.SystemRandom().sample([*group.records.items()], number))


def _refusal(differing: Sequence[Replayed]) -> str:
    lines = [f"  {made.cell}: {'; '.join(made.differing)}" for made in differing[:SHOWN]]
    more = [f"  and {len(differing) - SHOWN} more"] if len(differing) > SHOWN else []
    elsewhere = next((made.elsewhere for made in differing if made.elsewhere), None)
    why = f"\nIt may be no fault of the code: {elsewhere}. Adopt on the machine that made them." if elsewhere else ""
    stages = ", ".join(dict.fromkeys(made.cell.partition("/")[0] for made in differing))
    return (
        f"{len(differing)} artifacts, made again, come out different, so nothing was adopted:\n"
        + "\n".join([*lines, *more])
        + why
        + f"\nOthers can be adopted by their stages: name all but {stages}; `snakemake -j8` computes the rest."
    )
