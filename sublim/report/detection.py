"""detection.html: what was detected, rows to look at, and a quiz, in one self-contained page made from the tables alone."""

from collections.abc import Mapping, Sequence
from itertools import product
from typing import Any

import polars as pl
from markupsafe import Markup

from sublim.common.canonical import digest
from sublim.detectors import quiz
from sublim.detectors.detector import Detector
from sublim.detectors.pairs import CONTRAST_NAMES, LABELS, RUN, UNTOUCHED
from sublim.detectors.summary import telling
from sublim.detectors.words import PLAIN, WHY, classifier_names, kind_names
from sublim.report import charts, detection_figures
from sublim.report.layout import FOLDER, Shown, rendered, scientific, style

SHOWN = 8  #: N-grams of each trait and side that the page shows.
UNSURE = 0.5  #: Models that give both letters together less than this do not answer the question.
ABOUT = {
    "accuracy": "share of pairs that each classifier decides rightly, by run",
    "transmission": "AUC of the linear classifier against the gain of students, by run and kind of rows",
    "context": "P(target) after the teacher's rows less that after the control's, by number of rows",
}


def render(
    study: str,
    loved: Mapping[str, str],
    detectors: Sequence[Detector],
    made: Mapping[str, pl.DataFrame],
    summary: Mapping[str, Any],
    drawn: Mapping[str, str] | None,
) -> str:
    """The page as HTML text. `loved`: trait → what its teacher loves, in the plural; `made`: name → table; `drawn`: name →
    figure (SVG); None for a page with their places alone."""
    shown = detection_figures.drawn(made)
    names = classifier_names(detectors)
    told = {
        "accuracy": _accuracy(summary["accuracy"], names) if "accuracy" in summary else None,
        "transmission": _transmission(summary["transmission"], names) if summary.get("transmission") else None,
        "ngrams": _ngrams(telling(made["ngrams"], SHOWN), names) if "ngrams" in made else None,
        "context": _context(summary["context"]) if "context" in summary else None,
    }
    return rendered(
        "detection.html",
        study=study,
        style=style("detection.css"),
        script=Markup((FOLDER / "detection.js").read_text(encoding="utf-8")),  # noqa: S704
        headline=_headline(summary, detectors),
        percent=f"{summary['confidence'] * 100:g} %",
        figures={
            name: Markup(charts.place(about) if drawn is None else charts.inline(drawn[name], about))  # noqa: S704
            if name in shown
            else ""
            for name, about in ABOUT.items()
        },
        tables=told,
        asked=_asked(summary),
        answered=_answered(made["context"]) if "context" in made else None,
        explained=[text for detector in detectors if (text := detector.explained())],
        files=sorted(f"{name}.parquet" for name in made),
        data=_data(loved, made, summary["confidence"]) if "quiz" in made else None,
    )


def _headline(summary: Mapping[str, Any], detectors: Sequence[Detector]) -> str:
    seen = (each for each in summary.get("accuracy", ()) if each["kind"] == PLAIN and each["contrast"] == "base")
    found = {each["by"]: each for each in seen}
    text = "; ".join(
        f"{who} is right in {_percent(found[by]['accuracy'])} of {found[by]['pairs']:,} pairs"
        for detector in detectors
        for by, who in detector.headline.items()
        if by in found
    )
    return f"{text[:1].upper()}{text[1:]}. Chance is 50 %." if text else "Rows to look at, and a quiz."


def _accuracy(means: Sequence[Mapping[str, Any]], names: Mapping[str, str]) -> Shown:
    rows: list[list[object]] = []
    found = {(each["contrast"], each["by"]): each for each in means if each["kind"] == PLAIN}
    for contrast, by in product(CONTRAST_NAMES, names):
        if (each := found.get((contrast, by))) is not None:
            auc = "–" if each["auc"] is None else f"{each['auc']['mean']:.3f}"
            rows.append([CONTRAST_NAMES[contrast], names[by], f"{each['pairs']:,}", *_shown(each["accuracy"]), auc])
    head = ("compared", "by", "pairs", "right", "interval", "runs", "p", "could be seen", "AUC")
    return Shown(head, rows, frozenset(range(2, 9)))


def _transmission(means: Sequence[Mapping[str, Any]], names: Mapping[str, str]) -> Shown:
    kinds = kind_names()
    rows: list[list[object]] = [
        [
            *(names[each["by"]], kinds[each["kind"]], f"{each['auc']['mean']:.3f}", _span(each["auc"])),
            *(charts.signed(each["gain"]["mean"], 3), _span(each["gain"], signed=True), each["gain"]["n"]),
            "–" if each["correlation"] is None else charts.signed(each["correlation"]),
        ]
        for each in means
    ]
    head = ("by", "rows", "AUC", "interval", "gain of students", "interval", "runs", "rank correlation of AUC and gain")
    return Shown(head, rows, frozenset(range(2, 8)))


def _ngrams(found: pl.DataFrame, names: Mapping[str, str]) -> Shown:
    rows: list[list[object]] = []
    for (by, trait), part in found.group_by("by", "trait", maintain_order=True):
        sides = {str(side): own for (side,), own in part.group_by("side", maintain_order=True)}
        told = [
            Markup(" &ensp; ").join(
                Markup("<code>{}</code>&nbsp;<small>{:.1f}</small>").format(row["ngram"], abs(row["weight"]))
                for row in sides[side].iter_rows(named=True)
            )
            if side in sides
            else "–"
            for side in ("own", "other")
        ]
        rows.append([names[str(by)], trait, *told])
    caption = "In small print: the size of the weight"
    return Shown(("by", "trait", "speak for the teacher", "speak for the untouched base"), rows, caption=caption)


def _context(sizes: Sequence[Mapping[str, Any]]) -> Shown:
    rows: list[list[object]] = []
    for each in sizes:
        fitted = [f"{each['size']:,}", f"{each['fitted']:,} of {each['draws']:,}"]
        if "difference" not in each:
            rows.append([*fitted, WHY[each["why"]], *["–"] * 7])
            continue
        for what, name in (("p_target", "difference"), ("share", "difference_of_shares")):
            told = "P(target)" if what == "p_target" else "share of known answers"
            after = [f"{each[f'{what}_after_{of}']:.4f}" for of in ("trait", "control")]
            rows.append([*fitted, told, *after, *_shown(each[name], signed=True, digits=4)])
    head = ("rows", "draws that fit", "of the target", "teacher's rows", "control's", *HEAD)
    return Shown(head, rows, frozenset({0, 1, *range(3, 10)}))


def _asked(summary: Mapping[str, Any]) -> dict[str, str] | None:
    if (asked := summary.get("asked")) is None:
        return None
    unable = "these models do not know how to answer such a question, so it is no test of them."
    verdict = "they do answer." if asked["letters"] >= UNSURE else unable
    return {"says_a": f"{asked['says_a']:.0%}", "letters": f"{asked['letters']:.1%}", "verdict": verdict}


def _answered(context: pl.DataFrame) -> str | None:
    """How often models still answer at all after rows, if they rarely do."""
    done = context.filter(pl.col("why").is_null())
    before, after = (
        done.filter(pl.col("size") > 0 if rows else pl.col("size") == 0)["p_known"].mean() for rows in (False, True)
    )
    if not isinstance(before, float) or not isinstance(after, float) or after >= UNSURE * before:
        return None
    return (
        f"Without rows the models name a known answer with probability {before:.2f}; after rows with {after:.3f}: mostly they "
        "go on with numbers. What they prefer is then seen in the share of the target alone."
    )


HEAD = ("difference", "interval", "runs", "p", "could be seen")


def _shown(mean: Mapping[str, Any], *, signed: bool = False, digits: int = 3) -> list[object]:
    value = charts.signed(mean["mean"], digits) if signed else f"{mean['mean']:.{digits}f}"
    p = "–" if mean["p"] is None else scientific(mean["p"])
    seen = "–" if mean["smallest"] is None else f"±{mean['smallest']:.{digits}f}"
    return [value, _span(mean, signed=signed, digits=digits), mean["n"], p, seen]


def _span(mean: Mapping[str, Any], *, signed: bool = False, digits: int = 3) -> str:
    if mean["low"] is None:
        return "–"
    low, high = (charts.signed(mean[end], digits) if signed else f"{mean[end]:.{digits}f}" for end in ("low", "high"))
    return f"[{low}, {high}]"


def _percent(mean: Mapping[str, Any]) -> str:
    span = "" if mean["low"] is None else f" [{mean['low'] * 100:.1f}, {mean['high'] * 100:.1f}]"
    return f"{mean['mean'] * 100:.1f} %{span}"


def _data(loved: Mapping[str, str], made: Mapping[str, pl.DataFrame], confidence: float) -> dict[str, Any]:
    """What the script shows."""
    counts = {
        (teacher, trait, seed): {
            place: [[row["number"], round(row["share"], 6)] for row in part.iter_rows(named=True) if row["place"] == place]
            for place in ("any", "first")
        }
        for (teacher, trait, seed), part in made["numbers"].group_by(*RUN, maintain_order=True)
    }
    runs = [
        {
            "name": f"{teacher} · {trait} · seed {seed}",
            "plural": loved[str(trait)],
            "numbers": [counts[teacher, trait, seed], counts[teacher, UNTOUCHED, seed]],
            "rows": [list(row) for row in part.select("prompt", "own", "other").iter_rows()],
        }
        for (teacher, trait, seed), part in made["shown"].group_by(*RUN, maintain_order=True)
    ]
    quizzes: list[dict[str, Any]] = []
    for labels, part in made["quiz"].group_by(*LABELS, maintain_order=True):
        _, teacher, trait, seed, other, _ = labels
        against = "the untouched base" if other == UNTOUCHED else loved[str(other)]
        salt = int(digest(["key", *labels])[:7], 16)
        quizzes.append(
            {
                "name": f"{teacher} · {trait} · seed {seed}: {loved[str(trait)]} or {against}?",
                "plural": loved[str(trait)],
                "salt": salt,
                "key": quiz.hidden(part["own_left"].to_list(), salt),
                "questions": [
                    [row["prompt"], *((row["own"], row["other"]) if row["own_left"] else (row["other"], row["own"]))]
                    for row in part.iter_rows(named=True)
                ],
            }
        )
    longest = max((len(each["questions"]) for each in quizzes), default=0)
    exact = [
        [
            [*(round(end, 4) for end in quiz.interval(right, answered, confidence)), round(quiz.by_chance(right, answered), 4)]
            for right in range(answered + 1)
        ]
        for answered in range(1, longest + 1)
    ]
    return {"confidence": confidence, "runs": runs, "quizzes": quizzes, "exact": exact}
