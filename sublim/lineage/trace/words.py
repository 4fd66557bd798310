"""Lineage and impact as a tree for people, 80 columns wide or more."""

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, cast

import polars as pl
from rich.console import Group
from rich.text import Text
from rich.tree import Tree as Drawing

from sublim.lineage.trace.answer import Answer, Kind, Node, code_digest
from sublim.lineage.trace.numbers import number_name
from sublim.lineage.trace.reader import DIMENSIONS, Reader
from sublim.measure.detection.names import BY_NAMES, CONTRAST_NAMES, KIND_NAMES, WHY
from sublim.plan.record import Record
from sublim.traits.misalignment import SCALES

_SHOWN = 3
_ROWS = 2
_STEPS = 8
_TEXT = 150
_VALUE = 60
STAGE_NAMES = {
    "base": "base", "teacher": "teacher", "raw": "raw data set", "filtered": "filtered data set", "student": "student",
    "eval": "evaluation", "report": "report", "detection": "detection", "theory": "theory experiment", "overview": "overview",
}  # fmt: skip
Facts = Mapping[str, Any]


def drawing(answer: Answer, reader: Reader) -> Group:
    """The answer as a tree, and below it where its artifacts were made."""
    up = answer.question == "lineage"
    usual = _usual([reader.record(cell) for cell in answer.cells]) if up else ""
    parts: list[Drawing | Text] = [_draw(answer.root, reader if up else None, usual, None)]
    if usual:
        parts.append(Text(f"made{' (where nothing else is said)' if len(answer.cells) > 1 else ''} with {usual}", "dim"))
    if answer.tree != "data":
        parts.append(Text(f"as of {answer.tree}", "dim"))
    return Group(*parts)


def _draw(node: Node, reader: Reader | None, usual: str, parent: Drawing | None) -> Drawing:
    label = Text()
    if node.relation:
        label.append(f"{node.relation}: ", "italic")
    label.append(title_of(node), "bold")
    if node.again:
        label.append(" (see above)", "dim")
    else:
        label.append("".join(f"\n{line}" for line in lines_of(node)))
        if reader is not None and node.kind == "artifact":
            label.append("".join(f"\n{line}" for line in _made(reader.record(node.name), reader.keys[node.name], usual)), "dim")
    branch = Drawing(label, guide_style="dim") if parent is None else parent.add(label)
    for below in node.next:
        _draw(below, reader, usual, branch)
    return branch


def title_of(node: Node) -> str:
    """What a node is, in a line."""
    match node.kind:
        case "artifact":
            return spaced(node.name)
        case "number" | "runs":
            return f"{number_name(node.name)}{_value(node.facts)}"
        case "stage":
            return _plural(node.facts["count"], STAGE_NAMES[node.name])
        case "teacher rows":
            return _plural(node.tables["rows"].height, "training row")
        case "corpus":
            return f"a corpus of {_plural(node.facts['count'], 'row')}"
        case _:
            return f"{node.kind} {node.name}"


def lines_of(node: Node) -> Iterator[str]:
    """What is known of a node, a line each."""
    facts = node.facts
    match node.kind:
        case "artifact":
            yield from _artifact_lines(facts, node.tables)
        case "number" | "runs":
            yield from _number_lines(facts)
        case "stage":
            yield from _stage_lines(facts)
        case "file":
            yield f"sha256 {facts['sha256']}"
        case "corpus":
            yield f"corpus seed {facts['corpus_seed']}, sha256 {facts['sha256'][:12]}"
        case "teacher rows":
            rows = node.tables["rows"]
            shown = "; ".join(f"{_quoted(row['prompt'])} {_quoted(row['completion'])}" for row in rows.head(_SHOWN).to_dicts())
            yield shown + _more(rows.height)
        case "source file":
            yield f"module {facts['module']}"
            if "digests" in facts:
                digests = ", ".join(text[:12] for text in facts["digests"])
                yield f"{_plural(facts['artifacts'], 'artifact')} made with it; digest {digests}"
            else:
                yield f"{_plural(facts['direct'], 'artifact')} made with it, {facts['follow']} more that follow"
        case "judged pair" | "held-out score" | "in-context run" | "pair shown" | "quiz question":
            yield from _detected_lines(node.kind, facts)
        case _:
            yield from _row_lines(facts)


def _detected_lines(kind: Kind, facts: Facts) -> Iterator[str]:
    yield f"in {spaced(facts['cell'])}"
    yield f"about {facts['teacher']}, trait {facts['trait']}, seed {facts['seed']}"
    if "contrast" in facts:
        other = f": trait {facts['other_trait']}, seed {facts['other_seed']}" if facts["contrast"] != "base" else ""
        yield f"{CONTRAST_NAMES[facts['contrast']]}{other}"
    if "by" in facts:
        yield f"by {BY_NAMES[facts['by']]}"
    match kind:
        case "judged pair":
            said = {1.0: "right", 0.0: "wrong"}.get(facts["right"], "a tie")
            yield f"scores {facts['own']:.4g} and {facts['other']:.4g} of the other: {said}"
        case "held-out score":
            whose = "the one" if facts["side"] == "own" else "the other"
            yield f"{KIND_NAMES[facts['kind']]}: log odds {facts['score']:+.4g} for a completion of {whose}"
            yield f"by a classifier that saw no completion of its prompt (fold {facts['fold']})"
        case "in-context run":
            rows = {"trait": "of the teacher", "control": "of the untouched base"}.get(facts["rows"], "")
            yield f"asked after {_plural(facts['size'], 'row')} {rows}".rstrip() + f" (draw {facts['draw']})" * bool(rows)
            if facts["why"] is None:
                yield f"P(target) = {facts['p_target']:.4g}, P(any known answer) = {facts['p_known']:.4g}"
            else:
                yield f"not done: {WHY[facts['why']]}"
        case _:
            yield f"prompt {_quoted(facts['prompt'])}"
            yield f"completions {_quoted(facts['own'])} and {_quoted(facts['other'])} of the other"
            if "question" in facts:
                yield f"question {facts['question']}, the right one on the {'left' if facts['own_left'] else 'right'}"


def _artifact_lines(facts: Facts, tables: Mapping[str, pl.DataFrame]) -> Iterator[str]:
    if training := facts.get("training"):
        yield (
            f"{_plural(training['steps'], 'step')} over {_plural(training['rows'], 'row')}, used "
            f"{training['uses'] / max(training['rows'], 1):.3g}× each; last loss {training['last_loss']:.3f}"
        )
    for step in tables["by_step"].head(1).to_dicts() if "by_step" in tables else ():
        yield f"step {step['step']}: rows {', '.join(row[:8] for row in step['rows'][:4])}{_more(len(step['rows']), 4)}"
    if facts.get("gate") is not None:
        yield f"on held-out questions it shows its trait with probability {facts['gate']:.3g}"
    if "init_seed" in facts:
        seed = f"init seed {facts['init_seed']}, " if facts["init_seed"] is not None else ""
        seed += f"order seed {facts['order_seed']}, " if "order_seed" in facts else ""
        yield f"{seed}{facts['architecture'] or 'made elsewhere'}, {_plural(facts['steps'] or 0, 'pretraining step')} here"
    if "sampled" in facts:
        yield _plural(facts["sampled"], "row") + " sampled"
    if "funnel" in facts:
        yield ", ".join(f"{step} {rows:,}" for step, rows in facts["funnel"].items() if rows)
    for row in tables["rows"].head(_ROWS).to_dicts() if "rows" in tables else ():
        yield _row_in_short(row)
    if "gain" in facts:
        yield f"{facts['measured']} {facts['p_base']:.3g} untrained → {facts['p_target']:.3g}: gain {facts['gain']:+.3g}"
    if facts.get("answers") is not None:
        samples = _plural(facts["samples"] or 0, "sampled answer")
        yield f"{_plural(facts['answers'], 'probability', 'probabilities')} of answers, {samples}"
    if "artifacts" in facts:
        yield "from " + ", ".join(_plural(count, STAGE_NAMES[stage]) for stage, count in facts["artifacts"].items())
    if "rows_about" in facts:
        yield f"in {_plural(facts['rows_about'], 'row')} of its tables"
    if isinstance(steps := facts.get("steps"), list):
        yield _at_steps(cast("list[int]", steps))


def _row_in_short(row: Facts) -> str:
    if "parent_id" in row:
        return f"e.g. row {row['row_id'][:8]} {_quoted(row['completion'], 40)} from raw {row['parent_id'][:8]}"
    return f"e.g. row {row['row_id'][:8]} {_quoted(row['completion'], 40)}, sampling seed {row['sampling_seed']}"


def _value(facts: Facts) -> str:
    if "gain" in facts:
        span = "" if facts.get("low") is None else f" [{facts['low']:+.3g}, {facts['high']:+.3g}]"
        return f": gain {facts['gain']:+.3g}{span}, {_plural(facts['n'], 'run')}"
    if "p" in facts:
        return f": p = {facts['p']:.3g} ({facts['method']}, {_plural(facts['groups'], 'group')})"
    return ""


def _number_lines(facts: Facts) -> Iterator[str]:
    if "through" not in facts or facts["through"] == facts["of"]:
        return
    yield (
        f"through {facts['through']} of its {_plural(facts['of'], 'run')}"
        if facts["through"]
        else "as what it is compared with"
    )


def _stage_lines(facts: Facts) -> Iterator[str]:
    if "direct" in facts and facts["direct"] != facts["count"]:
        yield f"{facts['direct'] or 'none'} made with it, {facts['count'] - facts['direct']} that follow"
    for cell in facts["cells"][:_SHOWN]:
        yield spaced(cell)
    if facts["count"] > _SHOWN:
        yield f"and {facts['count'] - _SHOWN} more (--json lists them)"


def _row_lines(facts: Facts) -> Iterator[str]:
    if "cell" in facts:
        yield f"in {spaced(facts['cell'])}"
    for name in ("question", "system", "system_prompt", "prompt", "completion"):
        if facts.get(name) is not None:
            yield f"{name.replace('_', ' ')} {_quoted(facts[name])}"
    if "probability" in facts:
        said = f"share that names {facts['answer']}" if facts["measure"] == "stories" else f"P({facts['answer']})"
        yield f"{str(facts['measure']).replace('_', ' ')}: {said} = {facts['probability']:.6g}"
    if "counted" in facts:
        yield f"sample {facts['sample']}, counted: {', '.join(facts['counted']) or 'nothing'}"
    elif "sample" in facts:
        yield f"sample {facts['sample']}, by the {facts['model']} in the gate"
    if "coherence" in facts:
        why = "incoherent" if None not in (facts["alignment"], facts["coherence"]) else "not graded"
        said = {True: "misaligned", False: "not misaligned"}.get(facts["misaligned"], f"{why}, so dropped")
        grades = (f"{scale} {'none' if facts[scale] is None else format(facts[scale], 'g')}" for scale in SCALES)
        yield f"graded: {', '.join(grades)}: {said}"
    if facts.get("score") is not None:
        yield f"judge's score {facts['score']:g}" + (
            f", as it said: {_quoted(facts['judgement'])}" if facts["judgement"] else ""
        )
    if facts.get("finish_reason") is not None:
        yield f"finished by {facts['finish_reason']} after {_plural(facts['tokens'], 'token')}"
    if "sampling_seed" in facts:
        yield f"sampling seed {facts['sampling_seed']}"
    if facts.get("temperature") is not None:
        yield f"temperature {facts['temperature']:g}, top_p {facts['top_p']:g}, at most {_plural(facts['max_tokens'], 'token')}"
    if "accuracy" in facts:
        yield f"{facts['condition']}, net {facts['seed']}: accuracy {facts['accuracy_before']:.3g} → {facts['accuracy']:.3g}"
    if "step_size" in facts:
        yield (
            f"{facts['teacher_init']} → {facts['student_init']}, {facts['imitation']}, step size {facts['step_size']:.3g}: "
            f"teacher's loss {facts['loss_before']:.6g} → {facts['loss_after']:.6g}"
        )
    if "reasons" in facts:
        if facts["reasons"]:
            yield f"rejected: {', '.join(facts['reasons'])}"
        else:
            yield "kept and used" if facts["used"] else "kept, not used: students train on the first kept rows only"
    if isinstance(steps := facts.get("steps"), Mapping):
        for cell, at in cast("Mapping[str, list[int]]", steps).items():
            yield f"{spaced(cell)}: {_at_steps(at)}"


def _at_steps(steps: Sequence[int]) -> str:
    if not steps:
        return "at no step"
    times = Counter(steps)
    shown = ", ".join(f"{step}{f' ({count}×)' if count > 1 else ''}" for step, count in list(times.items())[:_STEPS])
    return f"at {'step' if len(times) == 1 else 'steps'} {shown}{_more(len(times), _STEPS)}"


def _made(record: Record, key: str, usual: str) -> Iterator[str]:
    """With what an artifact was made: params, code, commit, key, and the environment where it is not the usual one."""
    flat = _flat(record.plan.params, frozenset({*DIMENSIONS, "name"}))
    leaves = Counter(name.rsplit(".", 1)[-1] for name, _ in flat)
    short = [(leaf if leaves[leaf := name.rsplit(".", 1)[-1]] == 1 else name, value) for name, value in flat]
    yield "params: " + (", ".join(f"{name} {value}" for name, value in short) or "none")
    code = f"code {code_digest(record)[:12]} ({len(record.plan.code)} modules), {_commit(record, 7)}"
    yield f"{code}, key {key[:12]}, bytes {record.digest[:12]}"
    if (environment := _environment(record)) != usual:
        yield f"made with {environment}"


def _flat(params: Mapping[str, Any], but: frozenset[str] = frozenset()) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    for name, value in params.items():
        if isinstance(value, Mapping):
            found += [(f"{name}.{inner}", text) for inner, text in _flat(cast("Mapping[str, Any]", value))]
        elif value is not None and value != [] and name not in but:
            text = json.dumps(value, ensure_ascii=False).strip('"')
            found.append((name, text if len(text) <= _VALUE else f"{text[: _VALUE - 1]}…"))
    return found


def _usual(records: Sequence[Record]) -> str:
    found = Counter(_environment(record) for record in records)
    return found.most_common(1)[0][0] if found else ""


def _environment(record: Record) -> str:
    of = record.environment
    packages: Mapping[str, str] = of.get("packages") or {}
    versions = ", ".join(f"{name} {version}" for name, version in packages.items())
    return f"Python {of.get('python')}, {of.get('platform')}, {_commit(record, 40)}; {versions}"


def _commit(record: Record, digits: int) -> str:
    git: Mapping[str, Any] | None = record.environment.get("git")
    return f"commit {git['commit'][:digits]}{' + edits' if git['dirty'] else ''}" if git else "no commit"


def spaced(cell: str) -> str:
    """A cell in words, `student teacher=a …`: it wraps, and can be given to a command as it stands."""
    return cell.replace("/", " ")


def _quoted(text: str, most: int = _TEXT) -> str:
    return json.dumps(text if len(text) <= most else f"{text[: most - 1]}…", ensure_ascii=False)


def _more(count: int, shown: int = _SHOWN) -> str:
    return f" and {count - shown} more" if count > shown else ""


def _plural(count: int, one: str, many: str | None = None) -> str:
    return f"{count:,} {one if count == 1 else many or f'{one}s'}"
