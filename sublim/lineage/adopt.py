"""Adoption: artifacts that only other code made stale are kept, if some of each kind, made again by the new code, come out byte
for byte the same.

Evidence first: nothing is written before all that was made again is the same. Then every record is re-keyed in one go: what is
to be written is put down whole, so that after a crash the next command goes on with it."""

import json
import random
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from sublim.common.errors import SublimError
from sublim.engine import environment, layout, rekeying
from sublim.engine.digests import Digests
from sublim.engine.record import Adoption, Plan, Record, RecordError, Witness, read
from sublim.engine.store import Store
from sublim.engine.verdict import Cell, Verdict, altered
from sublim.evidence.finding import CORRUPTED, UNVERIFIABLE, Finding
from sublim.evidence.tree import Tree
from sublim.lineage.replay import Replayed, replay

SHOWN = 8


@dataclass(frozen=True)
class Group:
    """Artifacts of one stage that the same old code made, and that the same new code would make."""

    stage: str
    cells: tuple[str, ...]


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
    kinds: dict[tuple[str, str, str], list[str]] = {}
    for name, verdict in verdicts.items():
        record, cell = records.get(name), verdict.cell
        if name in sound or record is None or not _same_but_code(record, cell) or altered(name, record, digests):
            continue
        fed = all(above in sound and records[above].digest == record.inputs[role].digest for role, above in cell.inputs.items())
        if not fed:
            continue
        if record.plan.code == cell.plan.code:
            sound.add(name)  # it only follows
        elif cell.plan.stage in stages:
            sound.add(name)
            code = (json.dumps(plan.code, sort_keys=True) for plan in (record.plan, cell.plan))
            kinds.setdefault((cell.plan.stage, *code), []).append(name)  # pyright: ignore[reportArgumentType]
    return [Group(stage, tuple(cells)) for (stage, _, _), cells in kinds.items()]


def adopt(groups: Sequence[Group], verdicts: Mapping[str, Verdict], again: int | None, tell: Callable[[str], None]) -> Adopted:
    """Make `again` artifacts of each group again (None: all), and adopt the others if all come out the same. Raises
    SublimError: a byte differs; nothing was adopted."""
    witnesses = {group: _drawn(group, again) for group in groups}
    done: dict[str, Replayed] = {}
    differing: list[Replayed] = []
    cells = {cell: verdicts[cell].cell.online for chosen in witnesses.values() for cell in chosen}
    for made in replay(cells, tell):
        done[made.cell] = made
        differing += [made] if made.differing else []
    if differing:
        raise SublimError(_refusal(differing))
    records, here = _records(verdicts), environment.describe(environment.git_state())
    new: dict[str, Record] = {}
    for group, chosen in witnesses.items():
        new |= {cell: _made(records[cell], verdicts[cell].cell.plan, here) for cell in chosen}
        seen = {cell: Witness(new[cell].key, done[cell].digest) for cell in chosen}
        for cell in group.cells:
            if cell not in seen:
                old = records[cell]
                adoption = Adoption(old.key, old.plan.code, seen, here)
                new[cell] = replace(old, plan=verdicts[cell].cell.plan, adopted=(*old.adopted, adoption))
    rekeying.write(new)
    return Adopted(tuple(cell for cell in new if cell not in cells), tuple(cells))


def check(tree: Tree, kept: Store | None) -> Iterator[Finding]:
    """Adoptions whose evidence does not hold: a witness that is no artifact of the new code, or came out otherwise. One that
    has been made otherwise since is looked for in the store."""
    for cell, record in tree.records.items():
        for name, witness in record.adopted[-1].witnesses.items() if record.adopted else ():
            found = tree.records.get(name)
            if found is None or found.key != witness.key:
                found = kept.find(witness.key) if kept else None
            mend = f"sublim audit --replay {layout.artifact(cell)}"
            if found is None:
                text = f"it was adopted since {name} {witness.key[:12]} came out the same, but that is not there any more"
                yield Finding(cell, record.plan.stage, UNVERIFIABLE, f"adoption: {text}", mend)
            elif why := _unlike(record, found, witness):
                text = f"expected that {name} was made by the code of this record and came out the same, found {why}"
                yield Finding(cell, record.plan.stage, CORRUPTED, f"adoption: {text}", mend)


def describe(adopted: Adopted) -> str:
    """What was adopted, for a person."""
    if not adopted.cells and not adopted.witnesses:
        return "nothing to adopt: no artifact of these stages is stale by code alone and made from what holds"
    return (
        f"adopted {len(adopted.cells)} artifacts: {len(adopted.witnesses)} others, made again by the code as it is now, "
        "came out with the same bytes. Their records say so."
    )


def _unlike(record: Record, found: Record, witness: Witness) -> str | None:
    if found.plan.stage != record.plan.stage:
        return f"one of the stage {found.plan.stage}"
    if found.adopted:
        return "one that was adopted itself"
    if found.plan.code != record.plan.code:
        return "one of other code"
    return None if found.digest == witness.digest else f"other bytes: {witness.digest[:12]} → {found.digest[:12]}"


def _made(old: Record, plan: Plan, here: dict[str, Any]) -> Record:
    """The record of what was made again."""
    return Record(plan, old.inputs, old.outputs, here)


def _records(verdicts: Mapping[str, Verdict]) -> dict[str, Record]:
    found: dict[str, Record] = {}
    for cell in verdicts:
        try:
            found[cell] = read(layout.record(cell))
        except (FileNotFoundError, RecordError):
            continue
    return found


def _same_but_code(record: Record, cell: Cell) -> bool:
    inputs = {name: used.cell for name, used in record.inputs.items()}
    same: Plan = replace(record.plan, code=cell.plan.code)
    return same == cell.plan and inputs == cell.inputs


def _drawn(group: Group, again: int | None) -> list[str]:
    """Nobody, not even the author of the code, can know which: no seed."""
    number = len(group.cells) if again is None else min(again, len(group.cells))
    return random.SystemRandom().sample(group.cells, number)


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
