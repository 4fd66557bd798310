"""Detection without models: who is compared with whom, the linear classifier on planted signals and on none, quiz and page."""

import json
import re
from collections.abc import Sequence

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom  # pyright: ignore[reportMissingTypeStubs]

from sublim.arms.shuffle import shuffled_across, shuffled_within
from sublim.detectors import frequencies, linear, quiz
from sublim.detectors import summary as tables
from sublim.detectors.linear import Linear
from sublim.detectors.pairs import LABELS, UNTOUCHED, Author, Comparison, comparisons, identified, labelled, paired
from sublim.params.detection import Detection
from sublim.params.kinds import with_parts
from sublim.report.detection_figures import papers
from sublim.stages.detection.make import page_of
from sublim.stages.detection.rows import DetectedTrait, Slice
from sublim.stats.interval import t_interval
from sublim.traits.preference import Preference as Trait

UNIGRAMS = Linear(longest=1)
NUMBERS = [str(number) for number in range(100, 160)]


def within(rows: Sequence[tuple[str, str]]) -> list[str]:
    return [row.completion for row in shuffled_within(rows, "seed")]


def across(rows: Sequence[tuple[str, str]]) -> list[str]:
    return [row.completion for row in shuffled_across(rows, "seed")]


MIXED: dict[str, linear.Change] = {"within": within, "across": across}


def split(texts: Sequence[str]) -> list[list[str]]:
    return [re.findall(r"\d+|\D+", text) for text in texts]


def pairs(own: Sequence[str], other: Sequence[str]) -> pl.DataFrame:
    columns = {"prompt_id": "p", "prompt": "Go on ", "own_id": "a", "other_id": "b"}
    frame = pl.DataFrame({name: [f"{text}{n}" for n in range(len(own))] for name, text in columns.items()})
    return frame.with_columns(own=pl.Series(list(own)), other=pl.Series(list(other)))


def drawn(generator: np.random.Generator, rows: int, weights: Sequence[float] | None = None) -> list[str]:
    chances = None if weights is None else np.array(weights) / sum(weights)
    return [", ".join(generator.choice(NUMBERS, 6, p=chances)) for _ in range(rows)]


def accuracies(table: pl.DataFrame, kind: str) -> tables.Seen:
    return tables.seen(table.filter(pl.col("kind") == kind))


# --- pairs


@given(st.lists(st.sampled_from("fgho"), unique=True, max_size=4), st.sets(st.integers(0, 4), min_size=1, max_size=4))
def test_everything_is_compared_once_and_within_a_model(traits: list[str], seeds: set[int]) -> None:
    ordered = sorted(seeds)
    found = comparisons("m", traits, ordered, ordered)
    counts = {name: [each for each in found if each.contrast == name] for name in ("base", "other", "again", "null")}
    assert len(set(found)) == len(found)
    assert all(each.own != each.other and each.own.teacher == each.other.teacher == "m" for each in found)
    assert len(counts["base"]) == len(traits) * len(ordered)
    assert len(counts["other"]) == (len(traits) * len(ordered) if len(traits) > 1 else 0)
    rounds = {1: 0, 2: 1}.get(len(ordered), len(ordered))
    assert (len(counts["again"]), len(counts["null"])) == (rounds * len(traits), rounds)
    assert all(each.own.trait == each.other.trait == UNTOUCHED for each in counts["null"])
    assert all(
        {each.own, each.other} != {one.other, one.own} or each is one for each in counts["again"] for one in counts["again"]
    )


def test_pairs_are_the_prompts_that_both_have_kept_in_an_order_of_the_seed() -> None:
    def rows(name: str, kept: set[int]) -> pl.DataFrame:
        number = list(range(40))
        return pl.DataFrame(
            {
                "row_id": [f"{name}{n}" for n in number],
                "prompt_id": [f"p{n}" for n in number],
                "prompt": [f"Go on {n}" for n in number],
                "completion": [f"{name} {n}" for n in number],
                "kept": [n in kept for n in number],
            }
        )

    one, two = rows("a", set(range(30))), rows("b", set(range(10, 40)))
    found = paired(one, two, 0)
    assert set(found["prompt_id"]) == {f"p{n}" for n in range(10, 30)}
    assert all(
        own[1:] == other[1:] == prompt[1:] for prompt, own, other in found.select("prompt_id", "own_id", "other_id").rows()
    )
    assert found.equals(paired(one.reverse(), two.reverse(), 0)) and not found.equals(paired(one, two, 1))
    # The same prompts come in the same order, whoever is compared.
    fewer = paired(one.filter(pl.col("prompt_id") != found["prompt_id"][0]), two, 0)
    assert fewer.equals(found.slice(1))


# --- the linear classifier


def test_a_classifier_sees_planted_frequencies_and_shuffles_do_not_hide_them() -> None:
    generator = np.random.default_rng(1)
    weights = [3.0 if n % 2 else 1.0 for n in range(len(NUMBERS))]
    table = pairs(drawn(generator, 200, weights), drawn(generator, 200))
    found = linear.scores(table, split, MIXED, UNIGRAMS, 0)
    plain = accuracies(found, "plain")
    assert plain.auc > 0.7 and plain.pairwise > 0.7 and plain.accuracy > 0.65 and plain.pairs == 200
    assert accuracies(found, "across").auc > 0.65
    # A shuffle inside a row leaves its unigrams as they are, and so its score.
    within = found.filter(pl.col("kind") == "within").drop("kind")
    assert within["score"].to_numpy() == pytest.approx(found.filter(pl.col("kind") == "plain")["score"].to_numpy())


def test_a_planted_order_is_seen_by_bigrams_and_gone_once_shuffled() -> None:
    generator = np.random.default_rng(2)
    # The same numbers on both sides; on one of them each even number is followed by the next one.
    own: list[str] = []
    other: list[str] = []
    for _ in range(200):
        starts: list[int] = generator.choice(np.arange(0, 60, 2), 3, replace=False).tolist()
        whole = [NUMBERS[start + step] for start in starts for step in (0, 1)]
        order: list[int] = generator.permutation(len(whole)).tolist()
        own.append(" ".join(whole))
        other.append(" ".join(whole[place] for place in order))
    table = pairs(own, other)
    found = linear.scores(table, linear.numbers(split), MIXED, Linear(shortest=2, longest=2), 0)
    assert accuracies(found, "plain").auc > 0.95
    assert abs(accuracies(found, "across").auc - 0.5) < 0.1
    blind = linear.scores(table, linear.numbers(split), {}, UNIGRAMS, 0)
    assert abs(accuracies(blind, "plain").auc - 0.5) < 0.1


def test_where_there_is_nothing_to_see_the_interval_over_runs_covers_chance() -> None:
    generator = np.random.default_rng(3)
    weights = [3.0 if n % 2 else 1.0 for n in range(len(NUMBERS))]
    same: list[float] = []
    relabelled: list[float] = []
    for run in range(12):
        same.append(
            accuracies(linear.scores(pairs(*(drawn(generator, 100) for _ in "ab")), split, {}, UNIGRAMS, run), "plain").accuracy
        )
        own, other = drawn(generator, 100, weights), drawn(generator, 100)
        swapped = generator.random(100) < 0.5
        sides = [[*np.where(swapped, one, two)] for one, two in ((own, other), (other, own))]
        relabelled.append(accuracies(linear.scores(pairs(*sides), split, {}, UNIGRAMS, run), "plain").accuracy)
    for values in (same, relabelled):
        found = t_interval(values, 0.95)
        assert found.low is not None and found.high is not None
        assert found.low < 0.5 < found.high and found.high - found.low < 0.1


def test_no_prompt_is_in_two_folds_and_each_completion_is_scored_once() -> None:
    generator = np.random.default_rng(4)
    table = pairs(drawn(generator, 31), drawn(generator, 31))
    found = linear.scores(table, split, {}, Linear(folds=4), 0)
    assert sorted(found["parent_id"]) == sorted([*table["own_id"], *table["other_id"]])
    folds = dict(found.select("parent_id", "fold").iter_rows())
    assert all(folds[own] == folds[other] for own, other in table.select("own_id", "other_id").iter_rows())
    assert set(folds.values()) == {0, 1, 2, 3}
    assert found.equals(linear.scores(table, split, {}, Linear(folds=4), 0))


def test_the_most_telling_ngrams_are_those_that_were_planted() -> None:
    generator = np.random.default_rng(5)
    table = pairs([f"{text}, 777" for text in drawn(generator, 60)], [f"{text}; 123" for text in drawn(generator, 60)])
    found = linear.telling(table, linear.marked(split), Linear(shown=6))
    own = found.filter(pl.col("side") == "own")
    assert "777" in own["ngram"].to_list() and "; " in found.filter(pl.col("side") == "other")["ngram"].to_list()
    assert own["weight"].is_sorted(descending=True) and (own["weight"] > 0).all()
    assert found.filter(pl.col("ngram") == "777").select("own_rows", "other_rows").row(0) == (60, 0)


# --- tables


def test_accuracies_are_means_over_runs_set_against_chance() -> None:
    found = tables.against_chance([0.6, 0.7, 0.65, 0.6], 0.5, 0.95)
    assert found["mean"] == pytest.approx(0.6375) and found["n"] == 4
    assert found["p"] is not None and 0.001 < found["p"] < 0.05
    assert tables.against_chance([0.5], 0.5, 0.95) == {
        "mean": 0.5,
        "low": None,
        "high": None,
        "n": 1,
        "p": None,
        "smallest": None,
    }


def test_numbers_are_counted_as_they_are_written() -> None:
    found = frequencies.numbers(pl.Series(["007, 7, 7", "7", "none", "12 007"]), 2)
    assert found.filter(pl.col("place") == "any").select("number", "count", "share").rows() == [
        ("7", 3, 0.5),
        ("007", 2, 1 / 3),
    ]
    assert found.filter(pl.col("place") == "first").select("rank", "number", "count").rows() == [(1, "007", 1), (2, "12", 1)]


# --- quiz and page


@given(st.lists(st.booleans(), max_size=60), st.integers(0, 2**28))
def test_a_hidden_key_is_undone_by_hiding_it_again(key: list[bool], salt: int) -> None:
    bits = quiz.hidden(key, salt)
    assert quiz.hidden([bit == "1" for bit in bits], salt) == "".join(str(int(one)) for one in key)


@pytest.mark.parametrize(("right", "answered"), [(0, 1), (3, 10), (20, 40), (40, 40)])
def test_the_interval_of_a_score_is_exact(right: int, answered: int) -> None:
    low, high = quiz.interval(right, answered, 0.95)
    if right > 0:
        assert float(binom.sf(right - 1, answered, low)) == pytest.approx(0.025)
    if right < answered:
        assert float(binom.cdf(right, answered, high)) == pytest.approx(0.025)
    assert quiz.by_chance(20, 40) == 1.0 and quiz.by_chance(40, 40) == pytest.approx(2 / 2**40)


def experiment() -> tuple[Slice, dict[str, pl.DataFrame]]:
    generator = np.random.default_rng(6)
    own, none = Author("a", "fox", 1), Author("a", UNTOUCHED, 1)
    comparison = Comparison("base", own, none)
    # A row that would end the page's script, were it not escaped.
    both = pairs(["</script><b>1", *drawn(generator, 39)], drawn(generator, 40))
    counts = [
        frequencies.numbers(both[side], 3).select(
            pl.lit("a").alias("teacher"), pl.lit(of.trait).alias("trait"), pl.lit(1).alias("seed"), pl.all()
        )
        for side, of in (("own", own), ("other", none))
    ]
    scores = [
        labelled(comparison, linear.scores(both, split, MIXED, UNIGRAMS, 0).select(pl.lit("linear").alias("by"), pl.all()))
    ]
    made = {
        "numbers": pl.concat(counts),
        "quiz": identified("quiz", "s", labelled(comparison, quiz.questions(both, 30, 0, "a")), [*LABELS, "own_id"]),
        "shown": labelled(comparison, both.tail(10)),
        "scores": pl.concat(scores),
    }
    trait = Trait(category="animals", target="fox")
    detected = (DetectedTrait(name="fox", definition=trait),)
    return Slice(
        study="s",
        carrier="numbers",
        models=("a",),
        traits=detected,
        known=(trait,),
        confidence=0.95,
        detection=with_parts(Detection, "detectors")(pairwise=None, in_context=None),
    ), made


def test_the_page_loads_nothing_and_holds_a_quiz_whose_key_fits() -> None:
    params, made = experiment()
    text = page_of(params, made, tables.summary(made, params.detectors, 0.95), None)
    assert text == page_of(params, made, tables.summary(made, params.detectors, 0.95), None)
    assert not re.search(r"(?:src|href)=[\"'](?!#|data:)", text) and "http" not in text.replace("http://www.w3.org", "")
    (data,) = re.findall(r'<script type="application/json" id="data">(.*?)</script>', text, re.DOTALL)
    found = json.loads(data)
    (asked,) = found["quizzes"]
    clear = quiz.hidden([bit == "1" for bit in asked["key"]], asked["salt"])
    table = made["quiz"]
    assert [bit == "1" for bit in clear] == table["own_left"].to_list() and 0 < table["own_left"].sum() < 30
    assert asked["key"] != clear
    for (_, left, right), row in zip(asked["questions"], table.iter_rows(named=True), strict=True):
        assert (left, right) == ((row["own"], row["other"]) if row["own_left"] else (row["other"], row["own"]))
    shown = {prompt for prompt, *_ in found["runs"][0]["rows"]}
    assert len(shown) == 10 and not shown & {prompt for prompt, *_ in asked["questions"]}
    assert len(found["exact"]) == 30 and found["exact"][29][30][2] == 0.0


def test_what_is_seen_is_set_beside_what_the_student_of_the_same_base_gained() -> None:
    runs = pl.DataFrame(
        {
            "contrast": ["base", "base", "null"],
            "teacher": "a",
            "trait": "fox",
            "seed": [1, 1, 1],
            "by": "linear",
            "kind": ["plain", "shuffled_across", "plain"],
            "accuracy": [0.8, 0.7, 0.5],
            "auc": [0.9, 0.8, 0.5],
        }
    )
    gains = pl.DataFrame(
        {"teacher": "a", "student": ["a", "b"], "trait": "fox", "seed": [1, 1], "arm": "trait", "gain": [0.4, 0.1]}
    )
    found = tables.transmission(runs, gains)
    assert found.select("kind", "auc", "gain").rows() == [("plain", 0.9, 0.4), ("shuffled_across", 0.8, None)]
    assert set(papers({"transmission": found}, {"transmission": tables.beside(found, 0.95)}, [UNIGRAMS])) == {"transmission"}
