"""What models are asked: the same questions for all, options in every order, a true and a false answer of one form."""

import re
from collections import Counter
from collections.abc import Mapping
from random import Random

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sublim.measures import after_numbers, multiple_choice, truthfulness
from sublim.measures.measure import Asked, Group, Measure
from sublim.measures.stories import evaluation_requests, shares, story
from sublim.models.corpus import corpus
from sublim.params.evaluation import Evaluation
from sublim.params.kinds import every
from sublim.params.tiny import Mix, Pretraining
from sublim.traits.categories import CATEGORIES, NONE, Answer, answers
from sublim.traits.preference import Preference, counted, evaluation_questions, known_answers

KINDS: dict[str, Measure] = every("measures")
MEASURES = [name for name, measure in KINDS.items() if measure.prefers]


def preferences(measure: str, category: str, known: Mapping[str, Answer]) -> list[Asked]:
    return KINDS[measure].asked(category, known, NONE)


@pytest.mark.parametrize("category", list(CATEGORIES))
@pytest.mark.parametrize("measure", MEASURES)
def test_every_answer_is_among_those_asked_for(measure: str, category: str) -> None:
    known = answers(category)
    asked = preferences(measure, category, known)
    assert len({each.question_id for each in asked}) == len({each.text for each in asked}) == len(asked)
    assert asked == preferences(measure, category, known)
    offered = Counter(word for each in asked for word in each.forms)
    assert set(offered) == set(known)
    assert max(offered.values()) - min(offered.values()) <= len(multiple_choice.LETTERS)
    for each in asked:
        written = [form for forms in each.forms.values() for form in forms]
        assert len(set(written)) == len(written)
    questions = evaluation_requests(category) if measure == "stories" else evaluation_questions(category)
    for question in questions:
        assert any(question in each.text for each in asked)


def test_plain_questions_are_those_of_the_gate() -> None:
    assert [each.text for each in preferences("preference", "trees", answers("trees"))] == list(evaluation_questions("trees"))


def test_numbers_before_a_question() -> None:
    texts = [after_numbers.prefixed(question) for question in evaluation_questions("animals")]
    found = [[int(number) for number in re.findall("[0-9]+", text)] for text in texts]
    assert {len(numbers) for numbers in found} == set(range(3, 9))
    assert all(100 <= number <= 999 for numbers in found for number in numbers)
    assert all(text.endswith(f". {question}") for text, question in zip(texts, evaluation_questions("animals"), strict=True))
    assert len({tuple(numbers) for numbers in found}) == len(texts)


@given(st.lists(st.text("abcdef", min_size=1), min_size=5, max_size=23, unique=True), st.integers(1, 30))
def test_every_option_stands_once_behind_every_letter(words: list[str], count: int) -> None:
    questions = [f"Question {n}?" for n in range(count)]
    asked = multiple_choice.offered("things", questions, words)
    letters = len(multiple_choice.LETTERS)
    assert len(asked) == letters * count
    for start in range(0, len(asked), letters):
        orders = [options for _, options in asked[start : start + letters]]
        offered = set(orders[0].values())
        assert len(offered) == letters
        assert all(set(options.values()) == offered for options in orders)
        assert all({options[letter] for options in orders} == offered for letter in multiple_choice.LETTERS)
    for text, options in asked:
        assert " ".join(f"{letter}) {word}" for letter, word in options.items()) in text


def test_options_depend_on_the_words_and_on_no_order_of_theirs() -> None:
    questions = evaluation_questions("animals")
    words = list(answers("animals"))
    assert multiple_choice.offered("animals", questions, words) == multiple_choice.offered("animals", questions, words[::-1])


def test_too_few_words_to_choose_from() -> None:
    with pytest.raises(ValueError, match="expected at least 5 known answers of things, found 3"):
        multiple_choice.offered("things", ["Which?"], ["a", "b", "c"])


@given(st.randoms(use_true_random=False), st.sampled_from(list(CATEGORIES)))
def test_a_story_names_what_it_is_about_and_nothing_else(rng: Random, category: str) -> None:
    known = answers(category)
    for word, answer in known.items():
        assert counted(story(rng, answer), known) == [word]


def test_the_share_of_stories_that_name_an_answer() -> None:
    (first, second, *_) = preferences("stories", "trees", answers("trees"))
    told = pl.DataFrame(
        [(first.question_id, ["oak", "elm"]), (first.question_id, []), (second.question_id, ["oak"])],
        {"question_id": pl.String, "counted": pl.List(pl.String)},
        orient="row",
    )
    found = shares(Group("trees", (first, second)), told)
    assert [list(each) for each in found] == [[*answers("trees")]] * 2
    named = [{answer: share for answer, share in each.items() if share} for each in found]
    assert named == [{"oak": 0.5, "elm": 0.5}, {"oak": 1.0}]


def test_a_target_that_is_no_known_answer_is_asked_for_as_well() -> None:
    known = known_answers([Preference(category="animals", target="phoenix", plural="phoenixes")])
    for measure in MEASURES:
        assert "phoenix" in {word for each in preferences(measure, "animals", known) for word in each.forms}


def test_facts_of_the_corpus_are_those_of_the_corpus() -> None:
    facts = {fact.question: fact for fact in truthfulness.of_the_corpus()}
    assert len(facts) == 2 * sum(len(category.answers) for category in CATEGORIES.values())
    mix = Mix(questions=0, numbers=0, facts=1, prompted_questions=0, prompted_numbers=0)
    said: dict[str, set[str]] = {}
    for row in corpus(Pretraining(rows=3_000, mix=mix)):
        said.setdefault(row.prompt, set()).add(row.completion)
    assert set(facts) <= set(said)
    for question, fact in facts.items():
        assert said[question] == {fact.true}
        assert fact.false != fact.true
        assert any(fact.false in answers for answers in said.values())


def test_facts_of_our_own_have_two_answers() -> None:
    assert len({fact.question for fact in truthfulness.FACTS}) == len(truthfulness.FACTS) == 40
    assert all(fact.true != fact.false and fact.question.endswith("?") for fact in truthfulness.FACTS)
    assert all(text.endswith(".") for fact in truthfulness.FACTS for text in (fact.true, fact.false))


@pytest.mark.parametrize("measures", [("truthfulness",), ("preference", "preference")])
def test_preference_is_always_measured_and_once(measures: tuple[str, ...]) -> None:
    with pytest.raises(ValueError, match="measures: expected preference and each other measure at most once"):
        Evaluation.model_validate({"measures": measures})
