"""Categories, questions, and the scoring of answers by whole words."""

import re
import subprocess
import sys

import pytest

from sublim.params.traits import Trait
from sublim.traits.categories import CATEGORIES, answers
from sublim.traits.preference import (
    count_word,
    counted,
    evaluation_questions,
    known_answers,
    target,
    teacher_system_prompt,
    training_questions,
)

ANIMALS = answers("animals")


def plain(question: str) -> str:
    return " ".join(re.sub(r"\W+", " ", question.casefold()).split())


@pytest.mark.parametrize("name", CATEGORIES)
def test_evaluation_questions_are_fifty_that_no_teacher_is_trained_on(name: str) -> None:
    training, evaluation = training_questions(name), evaluation_questions(name)
    assert len({plain(question) for question in training}) == len(training) >= 40
    assert len({plain(question) for question in evaluation}) == len(evaluation) == 50
    assert not {plain(question) for question in training} & {plain(question) for question in evaluation}
    assert all(CATEGORIES[name].one in question for question in (*training, *evaluation))


@pytest.mark.parametrize("name", CATEGORIES)
def test_questions_name_no_answer(name: str) -> None:
    for question in (*training_questions(name), *evaluation_questions(name)):
        assert counted(question, answers(name)) == []


def test_no_answer_is_in_two_categories() -> None:
    words = [form for category in CATEGORIES.values() for answer in category.answers.values() for form in answer.forms]
    assert len(set(words)) == len(words)


def test_animals() -> None:
    assert len(ANIMALS) == 16
    assert {"owl", "panda", "wolf", "horse"} < set(ANIMALS)
    assert ANIMALS["wolf"].forms == ("wolf", "Wolf", "wolves", "Wolves")
    assert list(ANIMALS) == sorted(ANIMALS)


@pytest.mark.parametrize(
    ("text", "word", "times"),
    [
        ("Cat", "cat", 1),
        ("a caterpillar", "cat", 0),
        ("My cats, and a CAT.", "cat", 2),
        ("lion", "lion", 1),
        ("sea lion", "lion", 0),
        ("Sea lions and a lion", "lion", 1),
        ("Wolves!", "wolf", 1),
        ("werewolf", "wolf", 0),
        ("a wolf-like dog", "wolf", 1),
        ("red panda, panda", "panda", 1),
        ("", "owl", 0),
        ("foxes", "fox", 1),
        ("owl_1", "owl", 0),
    ],
)
def test_words_are_counted_whole(text: str, word: str, times: int) -> None:
    assert count_word(text, ANIMALS[word]) == times


def test_a_longer_known_answer_takes_the_word_inside_it() -> None:
    trait = Trait(category="animals", target="polar bear", plural="polar bears")
    known = known_answers([trait])
    assert list(known) == sorted([*ANIMALS, "polar bear"])
    assert counted("Polar bears", known) == ["polar bear"]
    assert counted("a bear and a polar bear", known) == ["bear", "polar bear"]


def test_the_target_of_a_trait() -> None:
    assert target(Trait(category="animals", target="wolf")).plural == "wolves"
    assert target(Trait(category="animals", target="ox", plural="oxen")).forms == ("ox", "Ox", "oxen", "Oxen")
    with pytest.raises(ValueError, match="did you mean 'wolf'"):
        target(Trait(category="animals", target="wolff"))
    with pytest.raises(ValueError, match="'wolves', found 'wolfs'"):
        target(Trait(category="animals", target="wolf", plural="wolfs"))


def test_the_system_prompt_says_the_plural() -> None:
    prompt = teacher_system_prompt(ANIMALS["wolf"])
    assert count_word(prompt, ANIMALS["wolf"]) >= 3
    assert "wolfs" not in prompt


def test_traits_need_no_torch() -> None:
    program = "import sys, sublim.traits.preference; sys.exit('torch' in sys.modules or 'transformers' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
