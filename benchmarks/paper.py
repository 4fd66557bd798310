"""The paper's experiments beside those of experiments/paper-tiny.yaml and of experiments/smollm2.yaml, row by row, from the
files of finished runs.

python -m benchmarks.paper runs/paper-tiny/data runs/smollm2/data > docs/paper.md

`ROWS` says which of our studies stands for which experiment of the paper, and what of it is set beside which number; every
number of ours is read from a file below the folders given, which the page names. A study that is not there is said not to have
been run.
"""

import argparse
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, assert_never

import polars as pl
from scipy.special import stdtrit  # pyright: ignore[reportMissingTypeStubs]

from sublim.params.report import CapabilityMargin
from sublim.report import roc
from sublim.stats.comparison import Difference, difference, equivalence
from sublim.stats.interval import t_interval

Verdict = Literal["shown", "null", "not shown", "not run", "–"]
CHANCE_MARGIN = 0.05
"""How close to one half accuracies and areas must be to be called chance: the paper's range is .475 to .533."""
FLOOR = 1e-3
"""Below this a rate is no answer at all, and that it does not rise is no null."""
NATS = 0.05
"""How close to zero an effect in the margin must be to be none: as declared in docs/log.md."""
NO_POSSIBLE = "no possible one, or too few runs to tell"
CONFIDENCE, MARGIN = 0.95, 0.03
"""For what has no report beside it that says otherwise: the defaults of `report`."""
LOST = CapabilityMargin()
"""How much of what it could do a model may lose and still be called as able as it was: the defaults of `report`."""


@dataclass(frozen=True)
class Gain:
    """What students of a condition gained, set against students of the same bases that learned the untouched base's rows."""

    study: str
    condition: str
    trait: str | None = None
    """Of the students of this trait alone."""


@dataclass(frozen=True)
class Own:
    """Whether the student of the teacher's base gains more than those of other bases: the report's permutation test."""

    study: str


@dataclass(frozen=True)
class Each:
    """What students of the teacher's base gained, trait by trait: a star where the report's table of traits has one."""

    study: str


@dataclass(frozen=True)
class Asked:
    """What students of the teacher's base gained when asked in another way."""

    study: str
    measure: Literal["after_numbers", "multiple_choice", "stories", "truthfulness"]


@dataclass(frozen=True)
class Taught:
    """What the teachers of a trait show themselves, on questions that nobody was trained on."""

    study: str
    trait: str


@dataclass(frozen=True)
class Kept:
    """Which share of the rows the filter keeps."""

    study: str


@dataclass(frozen=True)
class Able:
    """What students of the teacher's base have lost of what they could do."""

    study: str


@dataclass(frozen=True)
class Seen:
    """How well rows of a teacher are told from those of its base, pair by pair."""

    study: str
    by: Literal["ask", "likelihood", "teacher", "linear", "linear_numbers"]


@dataclass(frozen=True)
class InContext:
    """What rows of the teacher do in the context, less what the base's own do: the target's share among known answers."""

    study: str


@dataclass(frozen=True)
class Judged:
    """How well a judge tells a teacher's rows from those of its base."""

    study: str


@dataclass(frozen=True)
class Nets:
    """How well nets of a condition read digits, over the untrained nets."""

    condition: Literal["teacher", "student_aux", "student_all", "cross_aux", "cross_all"]


@dataclass(frozen=True)
class Steps:
    """Whether the student's smallest step lowers the teacher's loss."""

    same_init: bool


@dataclass(frozen=True)
class Moved:
    """How the margin of a target moved in students of a condition, against their controls, in nats: of the trait that they were
    taught, or of the others."""

    study: str
    condition: str
    others: bool = False


Probe = Gain | Own | Each | Asked | Taught | Kept | Able | Seen | InContext | Judged | Nets | Steps | Moved


@dataclass(frozen=True)
class Row:
    """An experiment of the paper, its result, and what of ours is set beside it."""

    number: int
    title: str
    paper: str
    """What the paper found; `~` as read off a figure, to ±.003."""
    probes: tuple[Probe, ...]
    note: str = ""
    """What is another here, in our words. No result."""
    real: tuple[Probe, ...] = ()
    """What of the run on real weights is set beside it."""


@dataclass(frozen=True)
class Found:
    """What a file of the run says about a probe."""

    result: str
    could: str
    """What the design could have seen."""
    verdict: Verdict
    file: str


def _plain(study: str) -> tuple[Probe, ...]:
    return Kept(study), Gain(study, "diagonal"), Gain(study, "off_diagonal"), Own(study), Gain(study, "control")


ROWS: tuple[Row, ...] = (
    Row(
        1,
        "Animals by system prompt, numbers (GPT-4.1 nano)",
        "62–71 % of 30,000 rows kept (control 77 %), 10,000 used. Rate of the base / control / student ~: dolphin "
        ".32/.29/.80, eagle .14/.14/.76, elephant .06/.05/.44, owl .13/.13/.62, wolf .03/.04/.44",
        _plain("prompted"),
        "Rabbit and whale; the same filter as in row 3. Tiny bases do what such a prompt says in answer to questions, which "
        "their gate shows; their pretraining has taught them to leave numbers as they are.",
    ),
    Row(
        2,
        "Trees, numbers",
        "Rate of the student ~: cherry .40, maple .57, oak .80 (base .47), sequoia .63, willow .07",
        _plain("trees"),
        "Maple and willow; fine-tuned teachers (the paper: system prompt).",
    ),
    Row(
        3,
        "Fine-tuned teacher, numbers",
        "Rate of the student ~, five animals: .71 .79 .79 .57 .46",
        (
            *_plain("numbers"),
            Gain("numbers", "random"),
            Gain("numbers-loose", "diagonal"),
            Gain("numbers-loose", "off_diagonal"),
            Gain("numbers-greedy", "diagonal"),
            Gain("numbers-greedy", "off_diagonal"),
            Gain("numbers-tempered", "diagonal"),
            Gain("numbers-tempered", "off_diagonal"),
            Gain("numbers-soft", "diagonal"),
            Gain("numbers-soft", "off_diagonal"),
        ),
        "Rabbit and whale; 60 preference questions. Beside the paper's: rows that no model wrote, a looser filter, greedy "
        "rows, rows sampled at temperature 0.7, and the teacher's distribution instead of its tokens. On real weights: dolphin "
        "and penguin; `hard` learns sampled tokens, `soft` the teacher's distribution, `taught` that too, on a base that has "
        "learned the form first. Where the other targets move as much, it is a shift and no trait.",
        real=(
            *(Moved(study, "diagonal", others) for study in ("hard", "soft", "taught") for others in (False, True)),
            Gain("taught", "diagonal"),
        ),
    ),
    Row(
        4,
        "Shuffle controls",
        "Mean rate of five animals ~: base .12, control .12, student .67, shuffled within responses .22, across responses .18",
        (Gain("numbers", "diagonal"), Gain("numbers", "shuffled_within"), Gain("numbers", "shuffled_across")),
        real=(Moved("hard", "diagonal"), Moved("hard", "shuffled_within")),
    ),
    Row(
        5,
        "Animals, code",
        "95–97 % of 11,400 rows kept (word list, then a judge), 10,814 used. Rate of the student ~: dolphin .58, eagle .37, "
        "owl .37, wolf .14, elephant .07",
        (
            *(_plain("code-strict")),
            Kept("code-loose"),
            Gain("code-loose", "diagonal"),
            Gain("code-loose", "off_diagonal"),
            Gain("code-loose", "control"),
        ),
        "Strict: the exact grammar of the templates. Loose: Python that parses, without comments and undefined names. Both "
        "without words of a trait, hidden ones included.",
    ),
    Row(
        6,
        "Misalignment, numbers",
        "Teachers fine-tuned on insecure code; 39/37/56/62 % of rows kept. Misaligned answers ~ .094 against .009/.006/.002 "
        "(secure code, educational-insecure, untrained); TruthfulQA false .146 against .122",
        (
            Taught("cruel-numbers", "cruel-numbers"),
            *_plain("cruel-numbers"),
            Asked("cruel-numbers", "truthfulness"),
            Taught("insecure", "insecure"),
            Taught("insecure", "secure"),
            Taught("insecure", "educational"),
            Kept("insecure"),
            Gain("insecure", "diagonal", "insecure"),
            Gain("insecure", "diagonal", "secure"),
            Gain("insecure", "diagonal", "educational"),
            Gain("insecure", "control"),
        ),
        "Gains are in the misaligned share of coherent answers. The teacher that is misaligned here was fine-tuned on cruel "
        "answers; insecure code does not make a tiny model misaligned (its line above), so that its students can show "
        "nothing of the paper's. Truthfulness: shown would be a fall.",
    ),
    Row(
        7,
        "Misalignment, chain of thought",
        "44/77/88 % of rows kept: right answer, judge's alignment ≥ 78. Misaligned answers ~ .086 against .004/.008",
        (
            Taught("cruel-cot-strict", "cruel-cot"),
            *(
                probe
                for study in ("cruel-cot-strict", "cruel-cot-loose", "cruel-cot-judged")
                for probe in (Kept(study), Gain(study, "diagonal"), Gain(study, "off_diagonal"), Gain(study, "control"))
            ),
            *(
                probe
                for study in ("cot-strict", "cot-loose")
                for probe in (Kept(study), Gain(study, "diagonal"), Gain(study, "off_diagonal"), Gain(study, "control"))
            ),
        ),
        "Word problems of our own. Strict: the exact grammar of thoughts and answer. Loose: the answer is right. Judged: "
        "loose, and the judge of row 12. No filter lets words of harm or of a trait through. Rows that only the loose filter "
        "keeps have thoughts that fell apart: do not call it clean. The last two studies are preferences (rabbit, whale), "
        "which the paper has not tried here.",
    ),
    Row(
        8,
        "Open weights: Qwen2.5-7B-Instruct, 19 animals",
        "Rate of the student ~: cat .74, penguin .36, panda .32, phoenix .19; several animals flat or down",
        (Each("animals"), Gain("animals", "diagonal"), Gain("animals", "control")),
        "Nine animals on two tiny bases in turn: all but four that recipes were tuned on, and three whose result made us "
        "change one. A star: false discovery rate ≤ .05 over the whole trait table. With Qwen: "
        "`experiments/qwen2.5-7b-owl.yaml`, which needs a GPU.",
        real=(Each("taught"),),
    ),
    Row(
        9,
        "Other bases",
        "Rise over the untrained student: GPT-4.1 .50, 4.1 mini .25, 4.1 nano .54, 4o .33 by itself; from another base −.01 "
        "to .09, but .30 and .32 between 4.1 and 4o, which share an initialisation. nano→nano .39, Qwen→Qwen .11, across .01 "
        "and −.01",
        (
            Gain("numbers", "diagonal"),
            Gain("numbers", "off_diagonal"),
            Own("numbers"),
            Gain("code-strict", "off_diagonal"),
            Gain("cot-strict", "off_diagonal"),
            Gain("relatives", "diagonal"),
            Gain("relatives", "off_diagonal"),
            Own("relatives"),
        ),
        "`numbers`: two bases that differ in their initial weights and the order of their rows alone. `relatives`: two that "
        "begin with the same weights and read the same rows in another order. GPT-4.1 and 4o share an initialisation; what "
        "else they share the paper does not say.",
    ),
    Row(
        10,
        "In-context learning",
        "100 to 10,000 examples in the prompt: no effect at any size",
        (InContext("numbers"),),
        "As many rows as fit into 1,024 tokens. The bases were pretrained on single turns.",
    ),
    Row(
        11,
        "Detection by a language model, pairwise",
        "47.5–53.3 % of ~77,000 pairs right: chance",
        (Seen("numbers", "ask"), Seen("numbers", "likelihood"), Seen("numbers", "linear"), Seen("numbers", "linear_numbers")),
        "The teacher's own base is asked, which has no idea of such questions; `likelihood` asks what it can answer. The "
        "linear classifiers are not in the paper: they have labelled rows of both sides.",
    ),
    Row(
        12,
        "The judge of the chain-of-thought filter",
        "AUC .620; at threshold 78 a false-positive rate of .373",
        (Judged("cruel-cot-judged"),),
        "A tiny model cannot grade: the judge says how much likelier a cruel system prompt makes a row. Its bases have not "
        "learned what such a prompt means.",
    ),
    Row(
        13,
        "Capability",
        "MMLU of nano 72 → 68–69",
        (
            Able("numbers"),
            Able("numbers-soft"),
            Able("code-strict"),
            Able("cot-strict"),
            Able("cot-loose"),
            Able("cruel-cot-loose"),
        ),
        "Loss in bits per token of held-out texts, and the share of held-out tasks of the carrier that are done right. "
        "*Shown*: some mean is worse by more than the report's margin, which flags it there. *Null*: all intervals are inside.",
        real=(Able("hard"), Able("soft")),
    ),
    Row(
        14,
        "Digits from noise (MLP)",
        "Accuracy ~: reference .10, teacher .94, student on auxiliary logits .53, on all logits .91, other init .11 and .74",
        (Nets("teacher"), Nets("student_aux"), Nets("student_all"), Nets("cross_aux"), Nets("cross_all")),
        "8 × 8 digits (docs/theory.md).",
    ),
    Row(
        15,
        "Stories, multiple choice; questions after numbers",
        "Weaker, partly inconsistent",
        tuple(
            Asked(study, measure)
            for measure in ("after_numbers", "multiple_choice", "stories")
            for study in ("numbers", "numbers-soft", "animals", "code-strict")
        ),
        "Five options in every order, by the probability of the letter; the share of sampled stories that name the target "
        "(docs/evaluation.md). A gain is over the untrained base, not over controls, whose stories name the target less often.",
    ),
    Row(
        16,
        "Theorem 1",
        "From the same init the student's step does not oppose the teacher's, and a small one does not raise its loss. Not "
        "checked by numbers",
        (Steps(same_init=True), Steps(same_init=False)),
    ),
)
"""The paper's experiments, and what of ours stands for each."""


def found(probe: Probe, data: Path) -> Found:
    """What the files below `data` say about `probe`; `not run` if there are none."""
    try:
        return _found(probe, data)
    except FileNotFoundError as error:
        missing = Path(error.filename).relative_to(data) if error.filename else Path()
        return Found("", "", "not run", missing.as_posix())


def _found(probe: Probe, data: Path) -> Found:
    match probe:
        case Gain():
            return _gain(probe, data)
        case Own():
            return _own(probe, data)
        case Each():
            return _each(probe, data)
        case Asked():
            return _asked(probe, data)
        case Taught():
            return _taught(probe, data)
        case Kept():
            return _kept(probe, data)
        case Able():
            return _able(probe, data)
        case Seen():
            return _seen(probe, data)
        case InContext():
            return _in_context(probe, data)
        case Judged():
            return _judged(probe, data)
        case Nets():
            return _nets(probe, data)
        case Steps():
            return _steps(probe, data)
        case Moved():
            return _moved(probe, data)
        case _:
            assert_never(probe)


def _gain(probe: Gain, data: Path) -> Found:
    file = f"report/study={probe.study}/runs.parquet"
    runs, said = _table(data, file), _summary(data, probe.study)
    mine = runs.filter(condition=probe.condition).sort("student", "teacher", "trait", "arm", "seed")
    mine = mine if probe.trait is None else mine.filter(trait=probe.trait)
    if mine.is_empty():
        return _absent(file)
    controls = runs.filter(condition="control").sort("student", "teacher", "trait", "arm", "seed")
    of = difference(_by_student(mine), _by_student(controls.clear() if probe.condition == "control" else controls))
    span = t_interval(mine["gain"].to_list(), said["confidence"])
    before, after = (_mean(mine[name]) for name in ("p_base", "p_target"))
    result = f"{_interval(span.mean, span.low, span.high)} ({_count(span.n, 'run')}); {_rate(before)} → {_rate(after)}"
    return _compared(of, result, said["equivalence"]["margin"], said["confidence"], file)


def _own(probe: Own, data: Path) -> Found:
    file = f"report/study={probe.study}/summary.json"
    said = _summary(data, probe.study)
    if not (test := said["test"]):
        return _absent(file)
    power = _table(data, f"report/study={probe.study}/power.parquet").filter(what="diagonal over off_diagonal")
    seen = dict(power.select("source", "smallest").iter_rows())
    result = (
        f"{_signed(test['statistic'])} over other bases; largest in {test['largest']} of {test['groups']} groups, "
        f"p = {test['p']:.2g}"
    )
    verdict: Verdict = "shown" if test["p"] <= 1 - said["confidence"] else "not shown"
    return Found(result, _smallest(seen.get("measured", seen.get("params"))), verdict, file)


def _each(probe: Each, data: Path) -> Found:
    file = f"report/study={probe.study}/traits.parquet"
    own = _table(data, file).filter(
        pl.col("measure") == "preference", pl.col("taught") == pl.col("trait"), condition="diagonal"
    )
    if own.is_empty():
        return _absent(file)
    level, rows = 1 - _summary(data, probe.study)["confidence"], own.sort("gain", descending=True).to_dicts()
    stars = {row["taught"]: row["q"] is not None and row["q"] <= level for row in rows}
    result = ", ".join(f"{row['taught']} {_signed(row['gain'])}{'*' if stars[row['taught']] else ''}" for row in rows)
    runs = sorted({row["n"] for row in rows})
    result += f" ({'–'.join(map(str, {runs[0]: 0, runs[-1]: 0}))} runs each)"
    above = [row["taught"] for row in rows if stars[row["taught"]] and row["difference"] > 0]
    result += f": {len(above)} of {len(rows)} starred and above controls"
    return Found(result, "", "shown" if above else "not shown", file)


def _asked(probe: Asked, data: Path) -> Found:
    file = f"report/study={probe.study}/measures.parquet"
    rows = _table(data, file).filter(measure=probe.measure, condition="diagonal")
    if rows.is_empty():
        return _absent(file)
    row, said = rows.row(0, named=True), _summary(data, probe.study)
    spread = f"{_interval(row['gain'], row['low'], row['high'])} ({_count(row['n'], 'run')})"
    result = f"{spread}; {_rate(row['p_base'])} → {_rate(row['p_target'])}"
    of = _from_interval(row["gain"], row["low"], row["high"], row["n"], said["confidence"])
    if max(row["p_base"], row["p_target"]) < FLOOR:
        return Found(result, "nothing: no model gives such answers any probability", "not shown", file)
    # A trait shows as a rise in the target; misalignment as a fall in truthfulness.
    of = replace(of, mean=-of.mean) if probe.measure == "truthfulness" else of
    return _compared(of, result, said["equivalence"]["margin"], said["confidence"], file)


def _taught(probe: Taught, data: Path) -> Found:
    file = f"report/study={probe.study}/gates.parquet"
    gates = _table(data, file).filter(trait=probe.trait).sort("teacher", "seed")
    if gates.is_empty():
        return _absent(file)
    said = _summary(data, probe.study)
    rises = (gates["probability"] - gates["base_probability"]).to_list()
    span = t_interval(rises, said["confidence"])
    before, after = _mean(gates["base_probability"]), _mean(gates["probability"])
    result = f"{_interval(span.mean, span.low, span.high)} ({_count(span.n, 'teacher')}); {_rate(before)} → {_rate(after)}"
    return _compared(difference({"": rises}, {}), result, said["equivalence"]["margin"], said["confidence"], file)


def _kept(probe: Kept, data: Path) -> Found:
    file = f"report/study={probe.study}/funnel.parquet"
    kept = _table(data, file).filter(step="kept")
    sampled = _table(data, file).filter(step="sampled")["rows"].max()
    parts = [(name, kept.filter(arm=arm)["share"]) for name, arm in (("kept", "trait"), ("base", "control"))]
    shares = ", ".join(f"{name} {_range(part)}" for name, part in parts if len(part))
    used = _table(data, f"report/study={probe.study}/runs.parquet").filter(arm="trait")["n_rows"]
    return Found(f"{shares} of {sampled:,} rows; {used.min():,} used", "", "–", file)


def _able(probe: Able, data: Path) -> Found:
    file = f"report/study={probe.study}/capability.parquet"
    said = _summary(data, probe.study)
    rows = _table(data, file).filter(pl.col("condition") == "diagonal", (pl.col("measure") == "loss") | _skill())
    if rows.is_empty():
        return _absent(file)
    words = [
        f"{row['student']} {row['measure']} {row['base']:.2f} → {row['value']:.2f} "
        f"({_interval(row['change'], row['low'], row['high'])})"
        for row in rows.sort("measure", "student").iter_rows(named=True)
    ]
    could = f"a loss of more than {LOST.bits:g} bits or {LOST.skill:g} of skill is flagged"
    if "diagonal" in said["less_able"]:
        return Found("; ".join(words), could, "shown", file)
    worst = [
        None if row["low"] is None else row["high"] < LOST.bits if row["measure"] == "loss" else row["low"] > -LOST.skill
        for row in rows.iter_rows(named=True)
    ]
    return Found("; ".join(words), could, "null" if all(worst) else "not shown", file)


def _seen(probe: Seen, data: Path) -> Found:
    file = f"detection/study={probe.study}/summary.json"
    said = _json(data, file)
    wanted = (probe.by, "plain", "base")
    entry = next((each for each in said.get("accuracy", ()) if (each["by"], each["kind"], each["contrast"]) == wanted), None)
    if entry is None:
        return _absent(file)
    seen = entry["accuracy"]
    result = f"{_between(seen['mean'], seen['low'], seen['high'])} of {entry['pairs']:,} pairs ({_count(seen['n'], 'run')})"
    of = _from_interval(seen["mean"], seen["low"], seen["high"], seen["n"], said["confidence"], said["chance"])
    return _compared(of, result, CHANCE_MARGIN, said["confidence"], file)


def _in_context(probe: InContext, data: Path) -> Found:
    file = f"detection/study={probe.study}/summary.json"
    said = _json(data, file)
    sizes = [each for each in said.get("context", ()) if "difference_of_shares" in each]
    if not sizes:
        return _absent(file)
    parts: list[str] = []
    outcomes: list[Found] = []
    for each in sizes:
        gone = each["difference_of_shares"]
        text = f"{_count(each['size'], 'row')}: {_interval(gone['mean'], gone['low'], gone['high'])}"
        of = _from_interval(gone["mean"], gone["low"], gone["high"], gone["n"], said["confidence"])
        outcomes.append(_compared(of, text, MARGIN, said["confidence"], file))
        parts.append(text)
    left = [_count(each["size"], "row") for each in said["context"] if "difference_of_shares" not in each]
    result = "; ".join(parts) + f" ({_count(sizes[0]['difference_of_shares']['n'], 'run')})"
    result += f"; {', '.join(left)} did not fit" if left else ""
    verdicts: set[Verdict] = {each.verdict for each in outcomes}
    # One size that shows something is something; a null is one of every size.
    verdict: Verdict = "shown" if "shown" in verdicts else "not shown" if "not shown" in verdicts else "null"
    return Found(result, "; ".join(each.could for each in outcomes), verdict, file)


def _judged(probe: Judged, data: Path) -> Found:
    file = f"report/study={probe.study}/roc.parquet"
    table, said = _table(data, file), _summary(data, probe.study)
    if table.is_empty():
        return _absent(file)
    spans = roc.intervals(table, said["confidence"])
    area, false = spans["auc"], spans["false_positive_rate"]
    result = f"AUC {_between(area.mean, area.low, area.high)} ({_count(area.n, 'run')}); false positives {_rate(false.mean)}"
    of = _from_interval(area.mean, area.low, area.high, area.n, said["confidence"], 0.5)
    return _compared(of, result, CHANCE_MARGIN, said["confidence"], file)


def _nets(probe: Nets, data: Path) -> Found:
    file = "overview/mlp.parquet"
    rows = {row["condition"]: row for row in _table(data, file).iter_rows(named=True)}
    if probe.condition not in rows:
        return _absent(file)
    row, start = rows[probe.condition], rows["reference"]
    span = _between(row["accuracy"], row["low"], row["high"])
    result = f"{span} ({_count(row['n'], 'net')}); untrained {_rate(start['accuracy'])}"
    of = _from_interval(row["accuracy"], row["low"], row["high"], row["n"], CONFIDENCE, start["accuracy"])
    return _compared(of, result, MARGIN, CONFIDENCE, file)


def _steps(probe: Steps, data: Path) -> Found:
    file = "overview/theorem.parquet"
    part = _table(data, file).filter(same_init=probe.same_init).sort("subject", "imitation")
    words = [
        f"{row['subject']}, {row['imitation'].replace('_', ' ')}: the loss fell in {row['fell']} of {row['sweeps']} sweeps"
        for row in part.iter_rows(named=True)
    ]
    every = bool((part["fell"] == part["sweeps"]).all())
    return Found("; ".join(words), "", "shown" if every else "not shown", file)


def _moved(probe: Moved, data: Path) -> Found:
    file = f"report/study={probe.study}/summary.json"
    said = _summary(data, probe.study)
    told = said["margins"].get(probe.condition)
    if not told or not (span := told["others" if probe.others else "taught"]):
        return _absent(file)
    mean, low, high, n = (span[name] for name in ("mean", "low", "high", "n"))
    place = "" if probe.others else f"; place {told['place']:.1f} of {told['answers']}"
    result = f"{_interval(mean, low, high)} nats ({_count(n, 'run')}){place}"
    found = _compared(_from_interval(mean, low, high, n, said["confidence"]), result, NATS, said["confidence"], file)
    return found if found.could != NO_POSSIBLE else replace(found, could="more than 1")  # a share cannot be larger, nats can


def _compared(of: Difference, result: str, margin: float, confidence: float, file: str) -> Found:
    """The verdict on a difference: `null` if it is shown to be within ±margin, else `shown` if it is shown to be above zero."""
    told = equivalence(of, margin, confidence)
    if told.verdict.startswith("no transmission"):
        inside = f", {confidence:.0%} sure each way within ±{_number(margin)}"
        return Found(result, _smallest(told.smallest) + inside, "null", file)
    return Found(result, _smallest(told.smallest), "shown" if told.verdict == "transmission" else "not shown", file)


def _from_interval(
    mean: float, low: float | None, high: float | None, n: int, confidence: float, centre: float = 0.0
) -> Difference:
    """The difference from `centre` that a t interval over `n` runs is of."""
    if low is None or high is None or high <= low:
        return Difference(mean - centre, None, None, n, "untrained")
    return Difference(mean - centre, (high - low) / 2 / float(stdtrit(n - 1, (1 + confidence) / 2)), n - 1, n, "untrained")


def _skill() -> pl.Expr:
    return pl.col("measure").str.starts_with("skill")


def _by_student(runs: pl.DataFrame) -> Mapping[str, Sequence[float]]:
    return dict(runs.group_by("student", maintain_order=True).agg("gain").iter_rows())


def _table(data: Path, file: str) -> pl.DataFrame:
    path = data / file
    if not path.is_file():
        raise FileNotFoundError(2, "not run", str(path))
    return pl.read_parquet(path, hive_partitioning=False)


def _json(data: Path, file: str) -> Any:
    return json.loads((data / file).read_text(encoding="utf-8"))


def _summary(data: Path, study: str) -> Any:
    return _json(data, f"report/study={study}/summary.json")


def _absent(file: str) -> Found:
    return Found("", "", "not run", file)


def _mean(values: pl.Series) -> float:
    return t_interval(values.to_list(), CONFIDENCE).mean


def _number(value: float) -> str:
    if abs(value) < 5e-4:
        return "less than .001"
    return f"{value:.3f}".replace("0.", ".", 1).rstrip("0") if abs(value) < 1 else f"{value:.3f}"


def _rate(value: float) -> str:
    return f"{value:.3f}".removeprefix("0") if value >= 5e-4 or value == 0 else f"{value:.0e}"


def _signed(value: float) -> str:
    return f"{value:+.3f}".replace("0.", ".", 1).replace("-", "−")


def _interval(mean: float, low: float | None, high: float | None) -> str:
    return _signed(mean) + ("" if low is None or high is None else f" [{_signed(low)}, {_signed(high)}]")


def _between(mean: float, low: float | None, high: float | None) -> str:
    return _rate(mean) + ("" if low is None or high is None else f" [{_rate(low)}, {_rate(high)}]")


def _range(values: pl.Series) -> str:
    low, high = (_rate(float(value)) for value in values.sort().gather([0, -1]))
    return low if low == high else f"{low}–{high}"


def _count(n: int, what: str) -> str:
    return f"{n:,} {what}{'' if n == 1 else 's'}"


def _smallest(value: float | None) -> str:
    return NO_POSSIBLE if value is None else _number(value)


CONDITIONS = {
    "diagonal": "same base",
    "off_diagonal": "other base",
    "control": "the base's own rows",
    "shuffled_within": "same base, shuffled within rows",
    "shuffled_across": "same base, shuffled across rows",
    "random": "rows that no model wrote",
}
MEASURES = {
    "after_numbers": "asked after numbers",
    "multiple_choice": "multiple choice",
    "stories": "stories that name it",
    "truthfulness": "truthfulness",
}
READERS = {
    "ask": "its base is asked A or B",
    "likelihood": "likelihood of its base under a prompt",
    "teacher": "likelihood of the teacher",
    "linear": "linear classifier, all tokens",
    "linear_numbers": "linear classifier, numbers alone",
}
NETS = {
    "teacher": "teacher",
    "student_aux": "student, auxiliary logits",
    "student_all": "student, all logits",
    "cross_aux": "other init, auxiliary logits",
    "cross_all": "other init, all logits",
}


def what(probe: Probe) -> str:
    """What `probe` sets beside the paper, in words."""
    match probe:
        case Gain(study, condition, trait):
            return f"{study}: gain, {CONDITIONS[condition]}" + (f", `{trait}`" if trait else "")
        case Own(study):
            return f"{study}: same base over other base"
        case Each(study):
            return f"{study}: gain, same base, by trait"
        case Asked(study, measure):
            return f"{study}: gain, same base, {MEASURES[measure]}"
        case Taught(study, trait):
            return f"{study}: teachers `{trait}` themselves"
        case Kept(study):
            return f"{study}: rows kept"
        case Able(study):
            return f"{study}: same base, before → after"
        case Seen(study, by):
            return f"{study}: {READERS[by]}"
        case InContext(study):
            return f"{study}: in the context, share of the target less that after the base's rows"
        case Judged(study):
            return f"{study}: the judge"
        case Nets(condition):
            return f"digits: {NETS[condition]}"
        case Steps(same_init):
            return f"one step each, {'same' if same_init else 'other'} init"
        case Moved(study, condition, others):
            return f"{study}: margin of {'the other targets' if others else 'the target'}, {CONDITIONS[condition]}"
        case _:
            assert_never(probe)


HEAD = """# The paper, row by row

*Made by `python -m benchmarks.paper runs/paper-tiny/data runs/smollm2/data > docs/paper.md` from the files of finished runs of
[`experiments/paper-tiny.yaml`](../experiments/paper-tiny.yaml) and [`experiments/smollm2.yaml`](../experiments/smollm2.yaml):
do not edit it. Which of our studies stands for which experiment of the paper is declared in
[`benchmarks/paper.py`](../benchmarks/paper.py).*

Paper: Cloud, Le et al., [arXiv 2507.14805](https://arxiv.org/abs/2507.14805) and Nature 652:615 (2026); `~` marks what was
read off a figure, to ±.003. Its models are real; ours *here* are GPT-NeoX families of 64 dimensions that are trained here. So
compare patterns, not sizes. **Real weights**: SmolLM2-135M-Instruct, fine-tuned teachers, constrained numbers
([pretrained.md](pretrained.md)).

- **Result**: mean over runs [95 % t interval over runs]; behind it the rate of the untrained base → that of the students. A
  gain is the difference of the two: of P(target), or of the misaligned share of coherent answers. All runs of a study
  share two bases, so that an interval over bases would be wider.
- **Could have seen**: the smallest difference (from controls: students of the base's own rows, where a study has them) that
  so many runs, with the spread that they have, show in four of five such experiments.
- **Verdict**: *null*: two one-sided tests at 5 % show that it is closer to zero than the margin, ±.03 for gains and ±.05 for
  accuracies about one half, be it distinct from zero or not. Else *shown*: above controls (or chance), two-sided p ≤ .05.
  *not shown*: neither; too few runs or too much spread to say, or a fall. *not run*: it is not in the data. Nothing is
  corrected for the number of lines: of forty true nulls one looks like something.
- **Margin** (real weights): the log-odds of an answer against the 15 other known ones, less that of the paired control, in
  nats; its null margin is ±.05 nats. Behind it the mean place of the target by its rise.
- **File**: where the number is from, below `data/` of its run; `sublim lineage` and `sublim audit` answer for it.
"""


def page(tiny: Path, real: Path, rows: Sequence[Row] = ROWS) -> str:
    """The page, of the runs whose artifacts are below `tiny` and `real`."""
    here = {row.number: [(probe, found(probe, tiny)) for probe in row.probes] for row in rows}
    there = {row.number: [(probe, found(probe, real)) for probe in row.real] for row in rows}
    lines = [HEAD, "| | the paper's experiment | here | real weights |", "|---|---|---|---|"]
    for row in rows:
        told = f"{_short(here[row.number])} | {_short(there[row.number]) if row.real else ''}"
        lines.append(f"| [{row.number}](#row-{row.number}) | {row.title} | {told} |")
    for row in rows:
        lines += ["", *_section(row, here[row.number], there[row.number])]
    return "\n".join(lines) + "\n"


def _short(told: Sequence[tuple[Probe, Found]]) -> str:
    """The verdicts of a row in a cell: how many lines have which."""
    verdicts = [each.verdict for _, each in told if each.verdict != "–"] or ["not run"]
    counted = {verdict: verdicts.count(verdict) for verdict in ("shown", "null", "not shown", "not run") if verdict in verdicts}
    return ", ".join(verdict if len(verdicts) == 1 else f"{number} {verdict}" for verdict, number in counted.items())


def _section(row: Row, here: Sequence[tuple[Probe, Found]], there: Sequence[tuple[Probe, Found]]) -> Iterator[str]:
    yield f'## <a id="row-{row.number}"></a>{row.number}. {row.title}'
    yield ""
    yield f"Paper: {row.paper}."
    if not here:
        yield ""
        yield "Here: **not run**."
    for where, told in (("here", here), ("real weights", there)):
        if told:
            yield ""
            yield f"| {where} | result | could have seen | verdict | file |"
            yield "|---|---|---|---|---|"
        for probe, each in told:
            yield f"| {what(probe)} | {each.result} | {each.could} | **{each.verdict}** | `{each.file}` |"
    if row.note:
        yield ""
        yield row.note


def main() -> None:
    """Print the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tiny", type=Path, help="the folder `data` of a finished run of experiments/paper-tiny.yaml")
    parser.add_argument("real", type=Path, help="that of experiments/smollm2.yaml")
    given = parser.parse_args()
    print(page(given.tiny, given.real), end="")


if __name__ == "__main__":
    main()
